"""Encoder-decoders through a real daemon: words said backwards, all of them right."""

import json
import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from daemon import DaemonProcess
from llmos_client import InvalidFieldError

LETTERS = "abcdef"
SETTINGS = {
    "tokenizer_kind": "character",
    "sequence_length": 24,
    "batch_size": 64,
    "packing": False,
    "schedule.name": "cosine",
    "schedule.warmup_steps": 30,
    "checkpoint_every": 100,
}
FAMILIES = {
    "seq2seq": {
        "shape.num_layers": 1, "shape.encoder_layers": 2, "shape.hidden_size": 64,
        "optimizer.learning_rate": 4e-3, "steps": 400,
    },
    "seq2seq-lstm": {
        "shape.num_layers": 1, "shape.encoder_layers": 1, "shape.hidden_size": 64,
        "optimizer.learning_rate": 1e-2, "steps": 400,
    },
}  # fmt: skip


def words(count):
    rng = random.Random(0)
    found = set()
    while len(found) < count:
        found.add("".join(rng.choices(LETTERS, k=rng.randint(3, 6))))
    # A set's order is another one in each process.
    return sorted(sorted(found), key=lambda _: rng.random())


TRAINED, HELD_OUT = words(3200)[:3000], words(3200)[3000:]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    # One thread: two processes of tests share two processors.
    process = DaemonProcess(tmp_path_factory.mktemp("seq2seq"), keep_alive_seconds=-1, threads=1)
    file = process.folder / "backwards.jsonl"
    rows = ({"prompt": word, "completion": word[::-1]} for word in TRAINED)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with process.client() as client:
        client.wait_operation(client.upload_dataset("backwards", [file], kind="pairs")).result()
    yield process
    process.stop()


@pytest.fixture(scope="module", params=FAMILIES)
def model(request, daemon):
    """One that turns words round."""
    with daemon.client() as client:
        client.wait_operation(
            client.train_model(
                request.param, "backwards", family=request.param,
                settings=SETTINGS | FAMILIES[request.param],
            )
        ).result()  # fmt: skip
        client.load_model(request.param).result()
    return request.param


def test_words_it_never_saw(daemon, model, record_testsuite_property):
    """At least 99 % exact, sixteen at once; the search with beams says the same or better."""
    with daemon.client() as client, ThreadPoolExecutor(16) as threads:

        def right(options):
            answers = threads.map(
                lambda word: client.generate(model, word, max_tokens=10, **options), HELD_OUT
            )
            texts = [answer.choices[0].text for answer in answers]
            return sum(t == w[::-1] for t, w in zip(texts, HELD_OUT, strict=True)) / len(HELD_OUT)

        greedy, searched = right({"temperature": 0.0}), right({"beams": 4})
    record_testsuite_property(f"exact_{model}", f"greedy {greedy:.3f}, 4 beams {searched:.3f}")
    assert greedy >= 0.99
    assert searched >= 0.99


def test_the_best_answers_come_first(daemon, model):
    """Several answers of one search, with what was in effect."""
    with daemon.client() as client:
        found = client.generate(
            model, "abc", beams=4, n=3, length_penalty=0.5, max_tokens=10, logprobs=0
        )
        scores = [
            sum(token.logprob for token in choice.tokens) / len(choice.tokens) ** 0.5
            for choice in found.choices
        ]
    assert found.choices[0].text == "cba"
    assert scores == sorted(scores, reverse=True)
    assert len({choice.text for choice in found.choices}) == 3
    assert (found.parameters.beams, found.parameters.length_penalty) == (4, 0.5)
    assert found.parameters.temperature == 0.0


@pytest.mark.parametrize(("options", "field"), [
    ({"beams": 2, "n": 3}, "sampling.n"),
    ({"beams": 2, "temperature": 0.5}, "sampling.temperature"),
    ({"beams": 30}, "sampling.beams"),
    ({"length_penalty": 1.0}, "sampling.length_penalty"),
    ({"beams": 2, "regex": "a+"}, "sampling.beams"),
])  # fmt: skip
def test_what_does_not_fit_is_named(daemon, model, options, field):
    """Before anything runs; and the control."""
    with daemon.client() as client:
        with pytest.raises(InvalidFieldError) as caught:
            client.generate(model, "abc", max_tokens=10, **options)
        assert field in str(caught.value)
        assert client.generate(model, "abc", max_tokens=10, beams=2, n=2).choices


def test_there_is_no_text_to_score(daemon, model):
    """Said so, where a language model would answer."""
    with daemon.client() as client, pytest.raises(InvalidFieldError, match="no text to score"):
        client.score(model, "abc")


def test_tokens_say_where_the_prompt_ends(daemon, model):
    """Without the token that ends it they are refused; with it they are the text."""
    with daemon.client() as client:
        ids = [token.id for token in client.tokenize(model, "abc")]
        with pytest.raises(InvalidFieldError, match=r"tokens.ids.*must have the token"):
            client.generate(model, tokens=ids, temperature=0.0, max_tokens=10)
        whole = [token.id for token in client.tokenize(model, "abc", add_special=True)]
        assert whole[:-1] == ids
        answer = client.generate(model, tokens=whole, temperature=0.0, max_tokens=10)
        assert answer.choices[0].text == "cba"
        # What stands behind the end is the answer's beginning.
        begun = [*whole, ids[2]]
        answer = client.generate(model, tokens=begun, temperature=0.0, max_tokens=10)
        assert answer.choices[0].text == "ba"
