"""OptimizeModel and SweepTraining: versions made, judged, and kept or not."""

import pytest

from daemon import DaemonProcess
from llmos_client import InvalidFieldError, MetricRegressedError, ModelNotFoundError

WORDS = [
    "the",
    "cat",
    "sat",
    "on",
    "a",
    "mat",
    "and",
    "dogs",
    "looked",
    "at",
    "it",
    "while",
    "birds",
    "sang",
]
TEXTS = [" ".join(WORDS[(at + n * n) % len(WORDS)] for n in range(20)) for at in range(40)]
SHAPE = {"shape.num_layers": 2, "shape.hidden_size": 64, "shape.num_heads": 4,
         "shape.intermediate_size": 128, "shape.context_length": 256}  # fmt: skip


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    """With a model that learned a little, so that there is something to lose."""
    made = DaemonProcess(tmp_path_factory.mktemp("optimizing") / "daemon", threads=1)
    try:
        prepare(made)
        yield made
    finally:
        made.stop()


def prepare(daemon):
    daemon.add("texts", [{"text": text} for text in TEXTS], "text")
    with daemon.client() as client:
        settings = {**SHAPE, "steps": 60, "optimizer.learning_rate": 3e-3, "tokenizer_kind": "word"}
        job = client.train_model("m", "texts", family="llama", settings=settings)
        client.wait_operation(job).result()


def test_fewer_bits(daemon):
    """The candidate is smaller, is served in int8 by itself, and is judged beside its source."""
    with daemon.client() as client:
        job = client.quantize_model(
            "m", "int8", calibration="texts", evaluate_on=["texts"], max_metric_regression=0.05
        )
        made = client.wait_operation(job).result()
        assert made.version.name == client.get_version("m@candidate").name
        assert made.version.dtype == "int8"
        assert made.version.byte_size < 0.6 * made.source.byte_size
        was, now = (each.results[0]["perplexity"] for each in (made.before, made.after))
        assert now == pytest.approx(was, rel=0.05)
        assert (made.before.cost.dtype, made.after.cost.dtype) == ("float32", "int8")
        dtypes = {tensor.dtype for tensor in client.list_tensors(made.version.name)}
        assert {"int8", "float32"} <= dtypes
        answers = [
            client.generate(name, "the cat", temperature=0.0, max_tokens=8).text
            for name in (made.source.name, made.version.name)
        ]
        assert answers[0] == answers[1]


def test_what_gets_too_bad_is_not_kept(daemon):
    """Refused with the figures; no version, no file, and the candidate is who it was."""
    with daemon.client() as client:
        before = client.get_model("m")
        folders = sorted((daemon.folder / "state/models/m").iterdir())
        pruning = {"sparsity": 0.95, "evaluate_on": ["texts"]}
        job = client.prune_model("m", **pruning, max_metric_regression=0.02)
        with pytest.raises(MetricRegressedError, match="perplexity on texts"):
            client.wait_operation(job).result()
        after = client.get_model("m")
        assert (after.aliases, after.version_count) == (before.aliases, before.version_count)
        assert sorted((daemon.folder / "state/models/m").iterdir()) == folders
        # The control: without a limit it is kept, and is as bad as was said.
        made = client.wait_operation(client.prune_model("m", **pruning)).result()
        was, now = (each.results[0]["perplexity"] for each in (made.before, made.after))
        assert now > 1.02 * was
        assert made.report["zeros"] > 0.9


def test_means_and_merged_adapters(daemon):
    """An adapter merged says what the adapter says; a mean with oneself changes nothing."""
    with daemon.client() as client:
        settings = {"steps": 4, "optimizer.learning_rate": 1e-2}
        job = client.train_model("a", "texts", init_from="m", method="lora", settings=settings)
        adapter = client.wait_operation(job).result().version.name
        merged = client.wait_operation(client.merge_adapter("a", output="merged")).result()
        for name in (adapter, merged.version.name):
            client.load_model(name).result()
        scores = [client.score(n, TEXTS[0]).logprob for n in (adapter, merged.version.name)]
        assert scores[0] == pytest.approx(scores[1], abs=1e-3)
        job = client.average_models("m", {"m@live": 2.0}, output="mean")
        mean = client.wait_operation(job).result().version.name
        client.load_model(mean).result()
        client.load_model("m").result()
        assert client.score(mean, TEXTS[0]).logprob == pytest.approx(
            client.score("m", TEXTS[0]).logprob, abs=1e-4
        )
        with pytest.raises(InvalidFieldError, match="nothing to merge"):
            client.wait_operation(client.merge_adapter("m")).result()
        with pytest.raises(InvalidFieldError, match="evaluate_on"):
            client.prune_model("m", sparsity=0.5, max_metric_regression=0.1)


def test_the_best_of_a_sweep_is_kept(daemon):
    """Every combination once; the version with the lowest loss stays, the others go."""
    with daemon.client() as client:
        job = client.sweep_training(
            "swept",
            "texts",
            {"optimizer.learning_rate": [1e-4, 1e-3, 1e-2]},
            family="llama",
            settings={**SHAPE, "steps": 12, "tokenizer_kind": "word"},
        )
        made = client.wait_operation(job).result()
        assert [trial.settings["optimizer.learning_rate"] for trial in made.trials] == [
            "0.0001", "0.001", "0.01",
        ]  # fmt: skip
        losses = [trial.value for trial in made.trials]
        assert None not in losses, made.trials
        assert losses[made.best] == min(losses)
        assert made.best == 2  # what hardly learns is not the best
        assert made.trials[made.best].version == made.version.name
        kept = {version.name for version in client.list_versions("swept")}
        assert made.version.name in kept
        assert len(kept) <= 2  # the first version of a model is live, and stays
        lost = next(trial for trial in made.trials[1:] if trial.version == "")
        assert lost.value is not None
        with pytest.raises(ModelNotFoundError):
            client.get_version("models/swept/versions/9")
        with pytest.raises(InvalidFieldError, match="axes"):
            client.sweep_training("swept", "texts", {"learning_rat": [1]}, family="llama")


def test_private_training_says_what_it_spent(daemon):
    """In its metrics and its card; for objectives that learn of several examples it is refused."""
    settings = {**SHAPE, "steps": 10, "batch_size": 8, "tokenizer_kind": "word",
                "optimizer.learning_rate": 1e-2, "privacy.noise_multiplier": 0.5}  # fmt: skip
    with daemon.client() as client:
        job = client.train_model("private", "texts", family="llama", settings=settings)
        made = client.wait_operation(job).result()
        assert 0 < made.metrics["epsilon"] < 1000
        card = daemon.folder / "state/models/private/1/card.md"
        assert "Differential privacy of every example: epsilon" in card.read_text()
        with pytest.raises(InvalidFieldError, match=r"privacy: is not for the objective vae"):
            client.train_model("v", "texts", family="vae", objective="vae", settings=settings)
