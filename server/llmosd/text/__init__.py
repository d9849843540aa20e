"""Between text and token ids: tokenizer, chat templates, detokenizer, stop texts."""
