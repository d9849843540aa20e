"""transformers on the same shape, in the same run: continuous batching where it runs."""

import time

import torch

from llmosd.architectures.config import ModelConfig


def peer_rate(
    config: ModelConfig, device: str, batch: list[list[int]], max_tokens: int
) -> tuple[str, float]:
    """How it was run, and tokens per second, prompts' computation included.

    Raises ImportError where transformers is missing.
    """
    import transformers

    shape = transformers.LlamaConfig(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_hidden_layers=config.num_layers,
        num_attention_heads=config.num_heads,
        num_key_value_heads=config.num_kv_heads,
        head_dim=config.head_dim,
        max_position_embeddings=config.context_length,
        rms_norm_eps=config.norm_eps,
    )
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    with torch.device(device):
        model = transformers.AutoModelForCausalLM.from_config(shape, dtype=dtype).eval()
    # No token ends an answer: every one has max_tokens.
    settings = transformers.GenerationConfig(
        do_sample=False, max_new_tokens=max_tokens, eos_token_id=-1, pad_token_id=0, use_cache=True
    )
    try:
        rate = _rate(_continuous, model, settings, batch, max_tokens)
    except Exception as error:  # noqa: BLE001 - whatever it cannot do here, generate can
        how = f"generate, since generate_batch failed ({type(error).__name__}: {error})"
        return how[:200], _rate(_static, model, settings, batch, max_tokens)
    finally:
        model.destroy_cached_continuous_batching_manager()
    return "generate_batch", rate


def _rate(generate, model, settings, batch, max_tokens):
    generate(model, settings, batch)
    start = time.perf_counter()
    count = generate(model, settings, batch)
    seconds = time.perf_counter() - start
    if count != len(batch) * max_tokens:
        raise RuntimeError(f"{count} tokens instead of {len(batch) * max_tokens}")
    return count / seconds


def _continuous(model, settings, batch):
    # The manager stays for the next call: its graphs are captured in the one that does not count.
    answers = model.generate_batch(
        inputs=batch, generation_config=settings, progress_bar=False, persistent_manager=True
    )
    return sum(len(answer.generated_tokens) for answer in answers.values())


def _static(model, settings, batch):
    ids = torch.tensor(batch, device=model.device)
    with torch.inference_mode():
        out = model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=settings)
    return (out.shape[1] - ids.shape[1]) * len(batch)
