"""A variational autoencoder through a real daemon: trained, killed, and asked in every way."""

import asyncio
import json
import math
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from daemon import DaemonProcess, wait_for
from llmos_client import AsyncClient, FeatureUnavailableError, InvalidFieldError

STEPS, LATENT = 220, 8
SETTINGS = {
    "tokenizer_kind": "word",
    "shape.hidden_size": 48,
    "shape.latent_size": LATENT,
    "shape.context_length": 48,
    "sequence_length": 32,
    "batch_size": 16,
    "packing": False,
    "dropout": 0.1,
    "optimizer.learning_rate": 1e-2,
    "latent.kl_weight": 0.1,
    "latent.word_dropout": 0.7,
    "steps": STEPS,
    "checkpoint_every": 60,
    "log_every": 10,
    "threads": 1,
}
ANIMALS = ("cat", "dog", "cow", "hen", "fox", "owl")
DEEDS = ("eats", "sees", "likes", "wants")
THINGS = ("grass", "fish", "corn", "bread", "mice")
GREEDY = {"temperature": 0.0}


def sentences(count, seed):
    draw = random.Random(seed)
    for _ in range(count):
        yield f"the {draw.choice(ANIMALS)} {draw.choice(DEEDS)} the {draw.choice(THINGS)}"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    process = DaemonProcess(tmp_path_factory.mktemp("vae"), keep_alive_seconds=-1)
    with process.client() as client:
        for name, count in (("farm", 800), ("fields", 40)):
            file = process.folder / f"{name}.jsonl"
            rows = [json.dumps({"text": text}) for text in sentences(count, count)]
            file.write_text("\n".join(rows))
            client.wait_operation(client.upload_dataset(name, [file], kind="text")).result()
    yield process
    process.stop()


def train(client, model, **more):
    return client.train_model(
        model, "farm", family="vae", validation_dataset="fields", settings={**SETTINGS, **more}
    )


@pytest.fixture(scope="module")
def model(daemon):
    """One that knows the farm."""
    with daemon.client() as client:
        done = client.wait_operation(train(client, "farmer")).result()
        client.load_model("farmer").result()
    print(done.metrics)
    assert done.metrics["kl"] > 2
    assert done.metrics["active_units"] >= 2
    assert done.metrics["iwae"] < done.metrics["reconstruction"] + done.metrics["kl"]
    return "farmer"


def manifest(daemon, model):
    return json.loads((daemon.folder / f"state/models/{model}/1/manifest.json").read_text())


def test_a_killed_worker_changes_no_bit(daemon, model):
    """kill -9 in the middle: noise, hidden words and the KL's weight are those of a calm run."""
    with daemon.client() as client:
        job = train(client, "killed").name
        folder = daemon.folder / "state" / "operations" / job.removeprefix("operations/")

        def step():
            metrics = client.get_operation(job).metrics
            return metrics.step if metrics else 0

        wait_for(lambda: step() >= 90, 60)
        pid = int((folder / "lock").read_text())
        assert b"durable_worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
        os.kill(pid, signal.SIGKILL)
        client.wait_operation(client.get_operation(job)).result()
        assert sum(e.phase == "running" for e in client.watch_operation(job)) == 2
    one, two = (manifest(daemon, name)["files"]["model.safetensors"] for name in (model, "killed"))
    assert one == two


def test_the_card(daemon, model):
    """How many numbers, how much they say, and the setting that made them say it."""
    card = (daemon.folder / f"state/models/{model}/1/card.md").read_text()
    assert f"A latent vector of {LATENT} numbers stands for a sentence: " in card
    for part in (
        "Objective: vae",
        "weight 0.1, linear; free bits 0, word dropout 0.7",
        "- kl: ",
        "- active_units: ",
        "- iwae: ",
    ):
        assert part in card


def test_reconstructions(daemon, model):
    """An answer to a sentence is the sentence, more often than not; its latent vector says it."""
    wanted = list(sentences(30, seed=7))
    with daemon.client() as client:
        said = [client.generate(model, text, **GREEDY).text for text in wanted]
        right = sum(one.strip() == two for one, two in zip(said, wanted, strict=True))
        words = sum(
            a == b
            for one, two in zip(said, wanted, strict=True)
            for a, b in zip(one.split(), two.split(), strict=False)
        )
        print(f"{right} of 30 sentences, {words} of 150 words; {said[:2]} of {wanted[:2]}")
        assert words > 120
        # The same through the latent vector that the client holds, to the last character.
        found = [client.encode_text(model, text) for text in wanted[:8]]
        assert client.decode_latents(model, [each.mean for each in found]).texts == tuple(said[:8])
        for each in found:
            assert len(each.mean) == len(each.log_variance) == LATENT
            pairs = zip(each.mean, each.log_variance, strict=True)
            kl = sum((m * m + math.exp(v) - 1 - v) / 2 for m, v in pairs)
            assert each.kl == pytest.approx(kl)
            assert each.model_version == "models/farmer/versions/1"


def test_without_a_prompt(daemon, model):
    """Draws of the prior: the seed says which, answers differ, and they are the corpus's kind."""
    with daemon.client() as client:
        one, again, other = (client.sample_texts(model, 6, seed=seed) for seed in (1, 1, 2))
        assert one == again
        assert one.texts != other.texts
        assert len(set(one.texts)) > 2
        assert one.seed == 1
        print(one.texts)
        known = {"the", *ANIMALS, *DEEDS, *THINGS}
        assert all(set(text.split()) <= known for text in one.texts)
        # A prompt of no words, as Generate has it; its first answer has the same vector.
        (start,) = {token.id for token in client.tokenize(model, "x", add_special=True)[-1:]}
        plain = client.generate(model, tokens=[start], n=6, seed=1, **GREEDY)
        assert tuple(choice.text for choice in plain.choices) == one.texts
        drawn = client.sample_texts(model, 2, temperature=1.0)
        assert drawn.texts == client.sample_texts(model, 2, temperature=1.0, seed=drawn.seed).texts


def test_interpolation(daemon, model):
    """From one reconstruction to the other, through points on the line or the circle."""
    first, last = "the cat eats the fish", "the owl wants the corn"
    with daemon.client() as client:
        ends = [client.generate(model, text, **GREEDY).text for text in (first, last)]
        found = client.interpolate_texts(model, first, last, steps=9)
        assert [point.share for point in found.points] == [at / 8 for at in range(9)]
        assert [found.points[0].text, found.points[-1].text] == ends
        one, two = (client.encode_text(model, text).mean for text in (first, last))
        middle = [(a + b) / 2 for a, b in zip(one, two, strict=True)]
        assert found.points[4].latent == pytest.approx(middle, abs=1e-6)
        print([point.text for point in found.points])
        turned = client.interpolate_texts(model, first, last, steps=3, path="spherical")
        lengths = [math.hypot(*point.latent) for point in turned.points]
        assert (
            min(lengths[0], lengths[2]) * 0.99 <= lengths[1] <= max(lengths[0], lengths[2]) * 1.01
        )
        assert [turned.points[0].text, turned.points[-1].text] == ends


def test_compression(daemon, model):
    """Fewer bits, more errors; many bits are as good as all of them."""
    texts = list(sentences(12, seed=9))
    with daemon.client() as client:
        whole = tuple(client.generate(model, text, **GREEDY).text for text in texts)
        fine, coarse = (client.compress_texts(model, texts, bits=bits) for bits in (16, 1))
    assert tuple(each.reconstruction for each in fine.results) == whole
    characters = sum(map(len, texts))
    assert fine.bits_per_character == pytest.approx(16 * LATENT * len(texts) / characters)
    assert coarse.bits_per_character == pytest.approx(fine.bits_per_character / 16)
    assert coarse.character_error_rate > fine.character_error_rate
    assert 0 < fine.kl_bits_per_character < fine.bits_per_character
    print(f"16 bits: {fine.character_error_rate:.3f}, 1 bit: {coarse.character_error_rate:.3f}")


def test_asyncio(daemon, model):
    """The same answers, awaited."""

    async def ask():
        async with AsyncClient(daemon.address) as client:
            found = await client.encode_text(model, "the fox sees the hen")
            return [
                found,
                await client.decode_latents(model, [found.mean], seed=0),
                await client.sample_texts(model, 2, seed=3),
                await client.interpolate_texts(model, "the fox", "the hen", steps=2, seed=0),
                await client.compress_texts(model, ["the fox"], bits=4),
            ]

    with daemon.client() as client:
        found = client.encode_text(model, "the fox sees the hen")
        assert asyncio.run(ask()) == [
            found,
            client.decode_latents(model, [found.mean], seed=0),
            client.sample_texts(model, 2, seed=3),
            client.interpolate_texts(model, "the fox", "the hen", steps=2, seed=0),
            client.compress_texts(model, ["the fox"], bits=4),
        ]


def test_refused(daemon, model, tiny_folders):
    """Wrong lengths, numbers that are none, models without a latent vector, settings that lie."""
    daemon.install("plain", tiny_folders["tiny-llama"])
    with daemon.client() as client:
        for vector, message in [
            ([0.5] * (LATENT - 1), r"latents\[1\].values.*has 7 numbers; .* vectors of 8"),
            ([math.nan] * LATENT, r"latents\[1\].values"),
            ([math.inf] * LATENT, r"latents\[1\].values"),
            ([], r"latents\[1\].values"),
        ]:
            with pytest.raises(InvalidFieldError, match=message):
                client.decode_latents(model, [[0.0] * LATENT, vector])
        with pytest.raises(FeatureUnavailableError, match="family llama, which has no latent vec"):
            client.encode_text("plain", "hello")
        with pytest.raises(FeatureUnavailableError, match="EncodeText"):
            client.score(model, "the cat eats the fish")
        with pytest.raises(InvalidFieldError, match="steps"):
            client.interpolate_texts(model, "a", "b", steps=1)
        for name, options in {
            "latent": {"family": "lstm", "settings": {"latent.free_bits": 1}},
            "objective": {"family": "lstm", "objective": "vae"},
            "latent.word_dropout": {"family": "vae", "settings": {"latent.word_dropout": 2}},
            "latent.kl_schedule": {"family": "vae", "settings": {"latent.kl_schedule": "sine"}},
            "method": {"init_from": model, "method": "lora"},
        }.items():
            with pytest.raises(InvalidFieldError) as caught:
                client.train_model("no", "farm", **options)
            assert [each.field for each in caught.value.violations] == [name]


def llmos(daemon, *arguments, stdin=None):
    command = [sys.executable, "-c", "from llmos_client.cli.main import main; main()"]
    command += ["--address", daemon.address, "latent", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, input=stdin)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_on_the_command_line(daemon, model):
    """Encoded and piped back, written by hand, drawn, between two, and compressed."""
    found = llmos(daemon, "encode", model, "the cow sees the corn", "-o", "json")
    again = llmos(daemon, "decode", model, stdin=found)
    with daemon.client() as client:
        assert (
            again.strip() == client.generate(model, "the cow sees the corn", **GREEDY).text.strip()
        )
    numbers = ",".join(map(str, json.loads(found)["mean"]))
    assert llmos(daemon, "decode", model, "--latent", numbers) == again
    table = llmos(daemon, "encode", model, "the cow sees the corn").splitlines()
    assert table[0].split() == ["DIMENSION", "MEAN", "DEVIATION"]
    assert len(table) == 1 + LATENT
    drawn = llmos(daemon, "sample", model, "--n", "3", "--seed", "4").splitlines()
    assert len(drawn) == 3
    way = llmos(daemon, "interpolate", model, "the cow sees", "the owl", "--steps", "4")
    assert [line.split()[0] for line in way.splitlines()] == [
        "SHARE",
        "0.00",
        "0.33",
        "0.67",
        "1.00",
    ]
    rates = llmos(daemon, "compress", model, "the cow sees the corn", "--bits", "4").splitlines()
    assert rates[-1].endswith("(all)")
