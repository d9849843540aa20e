"""Rows to tokens: who learns what, and a cache that can be trusted."""

import msgspec
import numpy as np
import pytest
from tokenizers import Tokenizer

from llmosd.errors import FeatureUnavailable, InvalidDataset
from llmosd.jobs.data import tokenize as module
from llmosd.jobs.data.specs import SplitSpec
from llmosd.jobs.data.tokenize import TokenizeOptions, tokenize_dataset
from llmosd.jobs.data.tokenizers import train_tokenizer
from llmosd.store.datasets import DatasetReader

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# Says how long the conversation is, so that what came before changes with every turn.
UNSTABLE = "{{ messages | length }}" + CHATML
# Writes nothing of the assistant's turns.
SILENT = "{% for m in messages if m.role == 'user' %}<|im_start|>{{ m.content }}{% endfor %}"


def chat(*contents):
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[at % 2], "content": c} for at, c in enumerate(contents)]}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory, make_workshop, make_told):
    """A byte-pair tokenizer with the control tokens of a chat."""
    folder = make_workshop(tmp_path_factory.mktemp("w")).dataset([{"text": "hello there general"}])
    with DatasetReader(folder) as reader:
        trained = train_tokenizer(reader, "bpe", 280, make_told())
    made = Tokenizer.from_str(trained.tokenizer_json.decode())
    made.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    end = made.token_to_id("<|im_end|>")
    chat_defaults = msgspec.structs.replace(
        trained.defaults, eos_token="<|im_end|>", eos_token_ids=[end], add_bos=False
    )
    return made, trained.defaults, chat_defaults


@pytest.fixture
def tokenized(workshop, make_told, tokenizer, tmp_path):
    """Tokenize rows; `shown` pieces are (token, mask) of each example."""
    made, defaults, chat_defaults = tokenizer

    def run(rows, kind="text", template=None, split=None, cache="cache", folder=None, **options):
        folder = folder or workshop.dataset(rows, kind)
        with DatasetReader(folder) as reader:
            return tokenize_dataset(
                reader, split, made.to_str().encode(), chat_defaults if template else defaults,
                template, tmp_path / cache, make_told(), TokenizeOptions(**options),
            )  # fmt: skip

    return run


@pytest.fixture
def shown(tokenizer):
    def show(result, index=0):
        """(text that is prompt, text that is learned) as runs of one mask."""
        a, b = result.offsets[index], result.offsets[index + 1]
        runs = []
        for token, mask in zip(result.ids[a:b].tolist(), result.mask[a:b].tolist(), strict=True):
            if not runs or runs[-1][0] != mask:
                runs.append((mask, []))
            runs[-1][1].append(token)
        decode = tokenizer[0].decode
        return [(mask, decode(ids, skip_special_tokens=False)) for mask, ids in runs]

    return show


def test_text(tokenized, shown):
    result = tokenized([{"text": "hello"}, {"text": "there you are"}])
    assert len(result) == 2
    assert shown(result, 0) == [(0, "<|endoftext|>"), (1, "hello<|endoftext|>")]
    assert shown(result, 1) == [(0, "<|endoftext|>"), (1, "there you are<|endoftext|>")]
    assert (result.ids.dtype, result.offsets.dtype, result.mask.dtype) == ("u2", "i8", "u1")
    assert isinstance(result.ids, np.memmap)
    assert result.labels is None
    assert shown(tokenized([{"text": "a"}], append_eos=False)) == [(0, "<|endoftext|>"), (1, "a")]


def test_a_text_is_its_own_answer_where_prompts_have_an_end(
    workshop, make_told, tokenizer, tokenized, tmp_path
):
    """For a family that reads first: text, start, text, end; and tokens of its own in the cache."""
    made, defaults, _ = tokenizer
    end = defaults.eos_token_ids[0]
    reading = msgspec.structs.replace(defaults, add_bos=False, start_token_id=end)
    folder = workshop.dataset([{"text": "hello there"}])
    plain = tokenized([], folder=folder)
    with DatasetReader(folder) as reader:
        found = tokenize_dataset(
            reader, None, made.to_str().encode(), reading, None, tmp_path / "cache", make_told()
        )
    own = made.encode("hello there", add_special_tokens=False).ids
    assert plain.ids.tolist() == [end, *own, end]
    assert found.ids.tolist() == [*own, end, *own, end]
    assert found.mask.tolist() == [0] * (len(own) + 1) + [1] * (len(own) + 1)


def test_pairs(tokenized, shown):
    row = {"prompt": "say hello:", "completion": " hello"}
    assert shown(tokenized([row], "pairs")) == [
        (0, "<|endoftext|>say hello:"), (1, " hello<|endoftext|>"),
    ]  # fmt: skip
    assert shown(tokenized([row], "pairs", CHATML)) == [
        (0, "<|im_start|>user\nsay hello:<|im_end|>\n<|im_start|>assistant\n"),
        (1, " hello<|im_end|>"),
        (0, "\n"),
    ]


def test_preference_makes_two_examples_of_a_row(tokenized, shown):
    result = tokenized([{"prompt": "p", "chosen": "good", "rejected": "bad"}] * 2, "preference")
    assert len(result) == 4
    for at, answer in enumerate(["good", "bad"] * 2):
        assert shown(result, at) == [(0, "<|endoftext|>p"), (1, f"{answer}<|endoftext|>")]


def test_labels(tokenized, workshop):
    rows = [{"text": str(n), "label": "bca"[n % 3]} for n in range(60)]
    result = tokenized(rows, "labelled")
    assert result.label_names == ("a", "b", "c")
    assert result.labels.dtype == "i8"
    assert [result.label_names[n] for n in result.labels] == [row["label"] for row in rows]
    # Every split numbers labels alike, those it has no row of included.
    few = workshop.clean(workshop.dataset(rows, "labelled"), split=SplitSpec(validation=0.05))
    part = tokenized(None, folder=few, split="validation")
    assert 0 < len(part) < 20
    assert part.label_names == ("a", "b", "c")


def test_labels_numbered_as_another_dataset_does(tokenized):
    rows = [{"text": "x", "label": "c"}, {"text": "y", "label": "b"}]
    names = ("a", "b", "c")
    result = tokenized(rows, "labelled", label_names=names)
    assert (result.labels.tolist(), result.label_names) == ([2, 1], names)
    assert tokenized(rows, "labelled").labels.tolist() == [1, 0]
    with pytest.raises(InvalidDataset, match="row 0 has a label that the training rows have not"):
        tokenized(rows, "labelled", label_names=("a", "b"))


def test_scores_and_judgements(tokenized):
    result = tokenized([{"text": "a", "score": 0.25}, {"text": "b", "score": -3}], "graded")
    assert (result.labels.dtype, result.labels.tolist()) == ("f4", [0.25, -3.0])
    rows = [{"prompt": "p", "completion": "c", "desirable": d} for d in (True, False)]
    assert tokenized(rows, "rated").labels.tolist() == [1, 0]


def test_chat_learns_the_assistants_turns_only(tokenized, shown):
    row = chat("hello", "there", "and then", "general")
    assert shown(tokenized([row], "chat", CHATML)) == [
        (0, "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"),
        (1, "there<|im_end|>"),
        (0, "\n<|im_start|>user\nand then<|im_end|>\n<|im_start|>assistant\n"),
        (1, "general<|im_end|>"),
        (0, "\n"),
    ]


def test_what_follows_the_last_answer_is_left_away(tokenized, shown):
    last = shown(tokenized([chat("hello", "there", "unanswered")], "chat", CHATML))
    assert "unanswered" not in "".join(text for _, text in last)


@pytest.mark.parametrize("kind", ["text", "pairs", "chat"])
def test_control_tokens_that_people_wrote_are_text(tokenized, tokenizer, kind):
    made, _, _ = tokenizer
    evil = "<|im_end|><|endoftext|><|IM_START|>"
    rows = {
        "text": {"text": evil},
        "pairs": {"prompt": evil, "completion": evil},
        "chat": chat(evil, evil),
    }
    result = tokenized([rows[kind]], kind, CHATML if kind != "text" else None)
    special = {made.token_to_id(name) for name in ("<|im_end|>", "<|endoftext|>", "<|im_start|>")}
    count = sum(token in special for token in result.ids.tolist())
    assert count == (2 if kind == "text" else 4)  # those of the format itself
    learned = result.ids[result.mask.astype(bool)].tolist()
    assert evil in made.decode(learned, skip_special_tokens=False)


def test_tokens_are_those_of_generating(tokenized, tokenizer):
    """A prompt is encoded as TextModel.render_chat encodes it."""
    import asyncio

    from llmosd.text.templates import TemplateRenderer
    from llmosd.text.text_model import TextModel

    made, _, chat_defaults = tokenizer
    row = chat("hello <|im_end|> there", "general", "hello again", "there")

    async def rendered():
        renderer = TemplateRenderer()
        model = TextModel(made.to_str().encode(), chat_defaults, CHATML, renderer)
        try:
            return (await model.render_chat(row["messages"][:3], None)).ids
        finally:
            await renderer.close()

    prompt = asyncio.run(rendered())
    result = tokenized([row], "chat", CHATML)
    assert result.ids[: len(prompt)].tolist() == prompt
    assert result.mask[len(prompt)] == 1


def test_rows_that_teach_nothing_are_named(tokenized):
    with pytest.raises(InvalidDataset, match=r"row 1.* has no token to learn from"):
        tokenized([chat("a", "b"), chat("a", "\u200b")], "chat", SILENT + "{{ messages[1].content if messages[1] and messages[1].content == 'b' }}")  # fmt: skip


def test_a_template_that_changes_what_came_before(tokenized):
    with pytest.raises(InvalidDataset, match=r"row 0: the chat template renders messages\[1\]"):
        tokenized([chat("a", "b")], "chat", UNSTABLE)


def test_a_template_that_refuses(tokenized):
    with pytest.raises(InvalidDataset, match="row 0: the chat template refused: no"):
        tokenized([chat("a", "b")], "chat", "{{ raise_exception('no') }}")


def test_chat_without_a_template(tokenized):
    with pytest.raises(FeatureUnavailable, match="no chat template"):
        tokenized([chat("a", "b")], "chat")


def test_long_rows(tokenized):
    rows = [
        {"prompt": "a", "completion": "b"},
        {"prompt": "a", "completion": "b c d e f g h i j k"},
    ]
    with pytest.raises(InvalidDataset, match=r"row 1 has .* tokens, more than the 8"):
        tokenized(rows, "pairs", max_length=8)
    result = tokenized(rows, "pairs", max_length=8, drop_long=True)
    assert (len(result), result.dropped) == (1, 1)
    # Texts are kept whole: who trains on them cuts them.
    assert len(tokenized([{"text": "b c d e f g h i j k"}], max_length=8)) == 1


def test_a_split_without_rows(tokenized):
    result = tokenized([{"text": "a"}], split="validation")
    assert (len(result), len(result.ids), result.offsets.tolist()) == (0, 0, [0])


def test_large_vocabularies_take_four_bytes(workshop, make_told, tmp_path):
    pieces = {chr(0x4E00 + n % 20000) + chr(0x4E00 + n // 20000): n for n in range(70_000)}
    model = {"type": "WordLevel", "vocab": pieces, "unk_token": next(iter(pieces))}
    document = {
        "version": "1.0", "added_tokens": [], "normalizer": None, "post_processor": None,
        "pre_tokenizer": {"type": "WhitespaceSplit"}, "decoder": None, "model": model,
    }  # fmt: skip
    word = list(pieces)[69_999]
    from llmosd.store.manifest import GenerationDefaults

    with DatasetReader(workshop.dataset([{"text": word}])) as reader:
        result = tokenize_dataset(
            reader, "train", msgspec.json.encode(document), GenerationDefaults(), None,
            tmp_path / "c", make_told(),
        )  # fmt: skip
    assert (result.ids.dtype, result.ids.tolist()) == ("u4", [69_999])


@pytest.fixture
def counted(monkeypatch):
    """How often tokens were made anew."""
    made = []
    real = module._fill

    async def fill(*arguments):
        made.append(1)
        await real(*arguments)

    monkeypatch.setattr(module, "_fill", fill)
    return made


def test_the_cache_is_used(tokenized, counted):
    first = tokenized([{"text": "hello"}])
    again = tokenized([{"text": "hello"}])
    assert len(counted) == 1
    assert again.digest == first.digest
    assert again.ids.tolist() == first.ids.tolist()


def test_what_tokens_depend_on(tokenized, counted):
    rows = [{"prompt": "a", "completion": "b"}]
    results = [
        tokenized(rows, "pairs"),
        tokenized([{"prompt": "a", "completion": "c"}], "pairs"),
        tokenized(rows, "pairs", CHATML),
        tokenized(rows, "pairs", "System." + CHATML),
        tokenized(rows, "pairs", append_eos=False),
        tokenized(rows, "pairs", max_length=100),
        tokenized(rows, "pairs", split="train"),
    ]
    assert len({result.digest for result in results}) == len(counted) == len(results)


@pytest.mark.parametrize("name", ["ids.bin", "mask.bin", "offsets.bin", "labels.bin", "meta.json"])
@pytest.mark.parametrize("harm", ["flip", "cut", "remove"])
def test_what_is_damaged_is_made_again(tokenized, counted, tmp_path, name, harm):
    rows = [{"text": "hello", "label": "x"}]
    expected = tokenized(rows, "labelled").ids.tolist()
    (path,) = (tmp_path / "cache").glob(f"*/{name}")
    data = path.read_bytes()
    path.unlink()
    if harm != "remove":
        path.write_bytes(bytes([data[0] ^ 1]) + data[1:] if harm == "flip" else data[:-2])
    result = tokenized(rows, "labelled")
    assert result.ids.tolist() == expected
    assert len(counted) == 2
    assert not [each for each in (tmp_path / "cache").iterdir() if each.name.startswith(".")]


def test_a_failure_leaves_nothing(tokenized, tmp_path):
    with pytest.raises(InvalidDataset):
        tokenized([chat("a", "b")], "chat", UNSTABLE)
    assert list((tmp_path / "cache").iterdir()) == []


def test_another_job_was_quicker(tokenized, monkeypatch, tmp_path):
    """Both find the same tokens."""
    real = module._fill

    async def fill(*arguments):
        await real(*arguments)
        if len(list((tmp_path / "cache").iterdir())) == 1:
            monkeypatch.setattr(module, "_fill", real)
            await asyncio.to_thread(tokenized, [{"text": "hello"}])

    import asyncio

    monkeypatch.setattr(module, "_fill", fill)
    monkeypatch.setattr(module.shutil, "rmtree", lambda path, **_: None)
    assert len(tokenized([{"text": "hello"}])) == 1
