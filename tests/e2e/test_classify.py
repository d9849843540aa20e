"""Classifiers and graders through a real daemon: trained, loaded, asked; and what is refused."""

import asyncio
import json
import random
import subprocess
import sys

import pytest

from daemon import DaemonProcess
from llmos_client import (
    AsyncClient,
    ContextLengthExceededError,
    FeatureUnavailableError,
    InvalidFieldError,
    ModelNotLoadedError,
)

GOOD = ["fine", "lovely", "great", "sweet"]
BAD = ["poor", "awful", "broken", "sour"]
NEITHER = ["the", "a", "soup", "hotel", "phone", "was", "and", "today", "we", "had"]
SETTINGS = {
    "tokenizer_kind": "word",
    "sequence_length": 24,
    "steps": 60,
    "batch_size": 16,
    "packing": "false",
    "optimizer.learning_rate": 1e-2,
    "schedule.warmup_steps": 5,
}
SIZES = {
    "naive-bayes": None,
    "cnn": {"shape.hidden_size": 32},
    "lstm": {"shape.hidden_size": 32, "shape.num_layers": 1},
    "encoder": {"shape.hidden_size": 32, "shape.num_layers": 2},
}


def texts(count, seed):
    """(text, mood) of words one of which tells; a third of the rows are good."""
    rng = random.Random(seed)
    for _ in range(count):
        mood = rng.choices(["bad", "good"], [2, 1])[0]
        words = rng.choices(NEITHER, k=rng.randrange(2, 9))
        words.insert(rng.randrange(len(words)), rng.choice(GOOD if mood == "good" else BAD))
        yield " ".join(words), mood


HELD_OUT = list(texts(60, seed=2))


def llmos(daemon, *arguments, piped=None):
    command = [sys.executable, "-c", "from llmos_client.cli.main import main; main()"]
    command += ["--address", daemon.address, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, input=piped)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory, tiny_folders):
    process = DaemonProcess(tmp_path_factory.mktemp("classify"), keep_alive_seconds=-1)
    rows = list(texts(240, seed=1))
    process.add("moods", [{"text": t, "label": m} for t, m in rows], "labelled")
    process.add("held-out", [{"text": t, "label": m} for t, m in HELD_OUT], "labelled")
    process.add("stars", [
        {"text": t, "score": 4.5 if m == "good" else 1.5} for t, m in rows
    ], "graded")  # fmt: skip
    process.install("tiny", tiny_folders["tiny-llama"])
    yield process
    process.stop()


def train(daemon, model, dataset="moods", *, load=True, validation="held-out", **options):
    with daemon.client() as client:
        operation = client.train_model(model, dataset, validation_dataset=validation, **options)
        done = client.wait_operation(operation).result()
        if load:
            client.load_model(model).result()
    return done


@pytest.fixture(scope="module")
def bayes(daemon):
    settings = {"tokenizer_kind": "word", "sequence_length": 24}
    train(daemon, "bayes", family="naive-bayes", settings=settings)
    return "bayes"


def asked(client, model):
    return [client.classify(model, text) for text, _ in HELD_OUT]


@pytest.mark.parametrize("family", SIZES)
def test_trained_and_asked(daemon, family):
    """What a model says over the wire has the accuracy that its training measured."""
    settings = {"tokenizer_kind": "word", "sequence_length": 24}
    if SIZES[family] is not None:
        settings = {**SETTINGS, **SIZES[family]}
    model = f"mood-{family}"
    done = train(daemon, model, family=family, settings=settings)
    assert done.metrics["accuracy"] > 0.9
    assert done.metrics["macro_f1"] > 0.9
    share = max(sum(m == mood for _, m in HELD_OUT) for mood in ("good", "bad")) / len(HELD_OUT)
    assert done.metrics["majority_baseline"] == pytest.approx(share)
    with daemon.client() as client:
        found = asked(client, model)
        right = sum(f.label == mood for f, (_, mood) in zip(found, HELD_OUT, strict=True))
        assert right / len(HELD_OUT) == pytest.approx(done.metrics["accuracy"])
        assert found[0].model_version == f"models/{model}/versions/1"
        for each in found:
            assert [s.label for s in each.labels] in (["good", "bad"], ["bad", "good"])
            assert each.labels[0].probability >= each.labels[1].probability
            assert sum(s.probability for s in each.labels) == pytest.approx(1)
            odds = each.labels[0].logit - each.labels[1].logit
            assert each.labels[1].probability == pytest.approx(1 / (1 + 2.718281828459045**odds))
            assert each.grade is None
        if family == "encoder":
            # A text is read as it is for ClassifyText: its end included.
            ids = [token.id for token in client.tokenize(model, "the soup", add_special=True)]
            texts, tokens = client.embed(model, ["the soup", ids]).vectors
            assert texts.tokens == tokens.tokens + 1
        client.delete_model(model, force=True)


def test_a_grade(daemon):
    """Of a model that regresses: one number, in the units of its rows."""
    settings = {**SETTINGS, **SIZES["encoder"], "steps": 120}
    train(daemon, "stars", "stars", family="encoder", settings=settings, validation="")
    with daemon.client() as client:
        good = client.classify("stars", "the soup was lovely today")
        bad = client.classify("stars", "the soup was awful today")
    assert good.labels == bad.labels == ()
    assert good.label == ""
    assert good.grade == pytest.approx(4.5, abs=0.8)
    assert bad.grade == pytest.approx(1.5, abs=0.8)
    assert llmos(daemon, "classify", "stars", "the soup was awful today").stdout == (
        f"{bad.grade:.3f}\tthe soup was awful today\n"
    )


def test_a_head_beside_a_model_of_language(daemon):
    """LoRA: the adapter's own head on another model's weights, served as it was trained."""
    settings = {
        "steps": 100, "batch_size": 16, "sequence_length": 64, "optimizer.learning_rate": 2e-2,
        "lora.targets": "q_proj,v_proj,down_proj", "packing": "false",
    }  # fmt: skip
    done = train(daemon, "adapted", init_from="tiny", method="lora", settings=settings)
    assert done.metrics["accuracy"] > 0.8
    with daemon.client() as client:
        adapted, base = (client.get_version(name) for name in ("adapted", "tiny"))
        assert adapted.byte_size < base.byte_size / 2
        pairs = zip(asked(client, "adapted"), HELD_OUT, strict=True)
        right = sum(found.label == mood for found, (_, mood) in pairs)
        assert right / len(HELD_OUT) == pytest.approx(done.metrics["accuracy"])
        with pytest.raises(InvalidFieldError, match="gives labels"):
            client.generate("adapted", "the soup")
        client.load_model("tiny").result()
        assert client.generate("tiny", "the soup", max_tokens=3).usage.completion_tokens
        client.delete_model("adapted", force=True)


def test_many_at_once(daemon, bayes):
    """What is asked beside others is what is asked alone."""

    async def crowd():
        async with AsyncClient(daemon.address) as client:
            calls = (client.classify(bayes, text) for text, _ in HELD_OUT)
            return await asyncio.gather(*calls)

    with daemon.client() as client:
        assert asyncio.run(crowd()) == asked(client, bayes)
    assert daemon.residency(bayes).kv_blocks_used == 0


def test_on_the_command_line(daemon, bayes):
    """Texts as arguments or lines; labels, all of them, or JSON."""
    one = llmos(daemon, "classify", bayes, "the hotel was lovely", "a broken\nphone")
    assert one.returncode == 0, one.stderr
    first, second = (line.split("\t") for line in one.stdout.splitlines())
    assert (first[0], first[2]) == ("good", "the hotel was lovely")
    assert (second[0], second[2]) == ("bad", "a broken phone")
    assert 0.5 < float(first[1]) <= 1
    piped = llmos(daemon, "classify", bayes, "--all", piped="we had sour soup\n\n fine \n")
    assert [line.split("\t")[::2] for line in piped.stdout.splitlines()] == [
        ["bad", "good", "we had sour soup"], ["good", "bad", "fine"],
    ]  # fmt: skip
    lines = llmos(daemon, "classify", bayes, "-o", "json", piped="a sweet hotel\n").stdout
    (found,) = map(json.loads, lines.splitlines())
    assert (found["text"], found["labels"][0]["label"]) == ("a sweet hotel", "good")
    assert found["grade"] is None


def test_words_and_labels_are_not_mistaken(daemon, bayes):
    """Each model is asked for what it gives; the message says what to call instead."""
    with daemon.client() as client:
        client.load_model("tiny").result()
        with pytest.raises(InvalidFieldError, match="gives text, not labels") as caught:
            client.classify("tiny", "the soup")
        assert [v.field for v in caught.value.violations] == ["model"]
        for refused in (
            lambda: client.generate(bayes, "the soup"),
            lambda: list(client.stream(bayes, "the soup")),
            lambda: client.score(bayes, "the soup was"),
            lambda: client.batch_generate(bayes, "moods", output="no"),
        ):
            with pytest.raises(InvalidFieldError, match=r"gives labels.*ClassifyText") as caught:
                refused()
            assert [v.field for v in caught.value.violations] == ["model"]
        with pytest.raises(FeatureUnavailableError, match=r"naive-bayes.*llama, gpt2, encoder"):
            client.embed(bayes, ["the soup"])
        assert client.count_tokens(bayes, "the soup").tokens == 3  # one begins every text
    told = llmos(daemon, "run", bayes, "the soup")
    assert told.returncode != 0
    assert "llmos classify bayes" in told.stderr


def test_bad_texts(daemon, bayes):
    """None, too long, no such tokens; and a model that nobody loaded."""
    with daemon.client() as client:
        with pytest.raises(InvalidFieldError):
            client.classify(bayes, "")
        with pytest.raises(InvalidFieldError):
            client.classify(bayes, tokens=[])
        with pytest.raises(InvalidFieldError, match=r"tokens.ids\[1\]"):
            client.classify(bayes, tokens=[1, 100_000])
        with pytest.raises(ContextLengthExceededError, match="65536"):
            client.classify(bayes, "a " * 70_000)
        assert len(client.classify(bayes, tokens=[5, 6]).labels) == 2  # the control
        train(daemon, "unloaded", family="naive-bayes", load=False,
              settings={"tokenizer_kind": "word", "sequence_length": 24})  # fmt: skip
        with pytest.raises(ModelNotLoadedError, match="llmos load unloaded"):
            client.classify("unloaded", "the soup")


@pytest.mark.parametrize(("field", "options"), [
    ("optimizer", {"settings": {"optimizer.learning_rate": 0.1}}),
    ("schedule", {"settings": {"schedule.name": "constant"}}),
    ("parameters.steps", {"settings": {"steps": 5}}),
    ("shape.hidden_size", {"settings": {"shape.hidden_size": 8}}),
    ("method", {"method": "lora", "init_from": "bayes", "family": ""}),
    ("init_from", {"init_from": "bayes", "family": ""}),
    ("objective", {"dataset": "stars"}),
])  # fmt: skip
def test_what_counting_has_no_use_for(daemon, bayes, field, options):
    """Steps, rates and sizes mean nothing to naive Bayes: refused by name, before a job."""
    assert bayes
    options = {"family": "naive-bayes", "dataset": "moods", **options}
    with daemon.client() as client:
        before = len(client.list_operations())
        with pytest.raises(InvalidFieldError) as caught:
            client.train_model("no", options.pop("dataset"), **options)
        assert [v.field for v in caught.value.violations] == [field]
        assert len(client.list_operations()) == before


def test_served_as(daemon, bayes):
    """Arithmetic that nobody wrote, and a head that is none, are refused before loading."""
    with daemon.client() as client:
        client.unload_model(bayes).result()
        with pytest.raises(InvalidFieldError, match="run as float32 on cpu"):
            client.load_model(bayes, dtype="bfloat16").result()
        client.load_model(bayes).result()
        daemon.add("text", [{"text": text} for text, _ in texts(240, seed=1)], "text")
        settings = {**SETTINGS, **SIZES["encoder"], "steps": 20}
        operation = client.train_model(
            "hidden", "text", family="encoder", objective="masked_language_model",
            settings=settings,
        )  # fmt: skip
        client.wait_operation(operation).result()
        with pytest.raises(InvalidFieldError, match="guesses hidden words"):
            client.load_model("hidden").result()
        # It is trained further: this is what such a network is for.
        done = train(
            daemon, "from-hidden", init_from="hidden",
            settings={"steps": 60, "sequence_length": 24, "batch_size": 16, "packing": "false",
                      "optimizer.learning_rate": 1e-2},
        )  # fmt: skip
        assert done.metrics["accuracy"] > done.metrics["majority_baseline"] + 0.1
        assert client.classify("from-hidden", "the soup was fine").labels
        with pytest.raises(InvalidFieldError, match="needs a model of language") as caught:
            client.train_model(
                "no", "text", init_from="from-hidden", objective="masked_language_model"
            )
        assert [v.field for v in caught.value.violations] == ["init_from"]
