"""Training through a real daemon: jobs that survive what happens to them, and what they make."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from daemon import wait_for
from llmos_client import (
    DatasetInUseError,
    InvalidFieldError,
    ModelInUseError,
    OperationCancelledError,
    OperationEndedError,
    TrainingDivergedError,
)
from plain_text import plain_text

KILLS = int(os.environ.get("LLMOS_KILLS", "2"))
STEPS = 160
SMALL = {
    "tokenizer_kind": "character",
    "shape.num_layers": 2,
    "shape.hidden_size": 32,
    "shape.num_heads": 2,
    "shape.context_length": 32,
    "sequence_length": 32,
    "batch_size": 4,
    "dropout": 0.1,  # randomness that a resumption has to get right
    "optimizer.learning_rate": 1e-2,
    "steps": STEPS,
    "checkpoint_every": 25,
    "log_every": 1,
    "threads": 1,  # bits depend on their number
}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    from daemon import DaemonProcess

    process = DaemonProcess(tmp_path_factory.mktemp("training"), keep_alive_seconds=-1)
    process.add("words", plain_text(), "text")
    yield process
    process.stop()


def start(client, model, **settings):
    return client.train_model(model, "words", family="gpt2", settings={**SMALL, **settings}).name


def run_folder(daemon, job):
    return daemon.folder / "state" / "operations" / job.removeprefix("operations/")


def worker(daemon, job):
    """The process that holds the job's lock, if one does."""
    try:
        pid = (run_folder(daemon, job) / "lock").read_text()
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return None
    return int(pid) if b"durable_worker" in command else None


def step_of(client, job):
    metrics = client.get_operation(job).metrics
    return metrics.step if metrics else 0


def weights_digest(daemon, version):
    """What the store says the weights are, which it checks against the file."""
    _, model, _, number = version.split("/")
    folder = daemon.folder / "state" / "models" / model / number
    return json.loads((folder / "manifest.json").read_text())["files"]["model.safetensors"]


def check_events(client, job, steps=STEPS):
    """Numbers without a gap, every step's figures once, in order, and the end."""
    events = list(client.watch_operation(job))
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    told = [e.metrics.step for e in events if e.metrics and e.metrics.source == "training"]
    assert told == list(range(1, steps + 1))
    assert events[-1].done is not None


@pytest.fixture(scope="module")
def undisturbed(daemon):
    """A run to compare with: its version."""
    with daemon.client() as client:
        job = start(client, "calm")
        done = client.wait_operation(client.get_operation(job)).result()
        check_events(client, job)
    return done


def test_trained_and_served(daemon, undisturbed):
    """The result is a version like any other, and has learned something."""
    assert undisturbed.steps == STEPS
    assert undisturbed.version.name == "models/calm/versions/1"
    with daemon.client() as client:
        jobs = client.list_operations()
        job = next(each.name for each in jobs if each.target == "models/calm")
        metrics = (event.metrics for event in client.watch_operation(job))
        first = next(each.values["loss"] for each in metrics if each)
        assert undisturbed.metrics["loss"] < first - 0.8
        client.load_model("calm").result()
        answer = client.generate("calm", "the cat ", temperature=0.0, max_tokens=20)
        assert answer.usage.completion_tokens == 20
        assert (
            client.score("calm", "the dog lay").logprob > client.score("calm", "xq zzkw q").logprob
        )
        client.unload_model("calm").result()
    card = daemon.folder / "state/models/calm/1/card.md"
    assert "datasets/words/versions/1" in card.read_text()


def test_killed_workers_change_no_bit(daemon, undisturbed):
    """kill -9 at random steps: started again, and the weights are those of a calm run."""
    draw = random.Random(int(os.environ.get("LLMOS_SEED", "1")))
    with daemon.client() as client:
        job = start(client, "killed")
        at = 0
        for _ in range(KILLS):
            at = min(STEPS - 5, at + draw.randint(5, 2 * STEPS // (KILLS + 1)))
            wait_for(lambda at=at: step_of(client, job) >= at or client.get_operation(job).done, 90)
            pid = worker(daemon, job)
            if pid is None:
                break
            os.kill(pid, signal.SIGKILL)
        done = client.wait_operation(client.get_operation(job)).result()
        check_events(client, job)
        count = sum(e.phase == "running" for e in client.watch_operation(job))
        assert count >= 2  # it really was started again
    assert weights_digest(daemon, done.version.name) == weights_digest(
        daemon, undisturbed.version.name
    )


def test_a_killed_daemon_changes_no_bit(daemon, undisturbed):
    """kill -9 of the daemon: the worker goes on, the next daemon adopts it; and both killed."""
    with daemon.client() as client:
        job = start(client, "orphaned")
        wait_for(lambda: step_of(client, job) >= 20, 60)
    pid = worker(daemon, job)
    daemon.kill()
    daemon.start()
    assert worker(daemon, job) in (pid, None)  # adopted, or done meanwhile
    with daemon.client() as client:
        wait_for(lambda: step_of(client, job) >= 45 or client.get_operation(job).done, 60)
    pid = worker(daemon, job)
    daemon.kill()
    if pid is not None:
        os.kill(pid, signal.SIGKILL)
    daemon.start()
    with daemon.client() as client:
        done = client.wait_operation(client.get_operation(job)).result()
        check_events(client, job)
    assert weights_digest(daemon, done.version.name) == weights_digest(
        daemon, undisturbed.version.name
    )


def test_another_seed_is_another_result(daemon, undisturbed):
    """The control: equal bits are no accident of a network that learns nothing."""
    with daemon.client() as client:
        job = start(client, "other", seed=7)
        done = client.wait_operation(client.get_operation(job)).result()
    assert weights_digest(daemon, done.version.name) != weights_digest(
        daemon, undisturbed.version.name
    )


def test_stopped_paused_and_resumed(daemon, undisturbed):
    """An orderly stop of the daemon, a pause and a torn checkpoint: still the same bits."""
    with daemon.client() as client:
        job = start(client, "paused")
        wait_for(lambda: step_of(client, job) >= 35, 60)
    daemon.stop()
    assert worker(daemon, job) is None
    daemon.start()
    with daemon.client() as client:
        wait_for(lambda: step_of(client, job) >= 70, 60)
        client.pause_operation(job)
        wait_for(lambda: client.get_operation(job).state == "paused", 30)
        assert worker(daemon, job) is None
        checkpoints = client.list_checkpoints(job)
        assert checkpoints
        newest = run_folder(daemon, job) / "ckpt" / f"step-{checkpoints[-1].step:06d}"
        weights = newest / "model.safetensors"
        data = bytearray(weights.read_bytes())
        data[-10] ^= 1
        weights.write_bytes(data)
        client.resume_operation(job)
        done = client.wait_operation(client.get_operation(job)).result()
        check_events(client, job)
        warnings = [e.warning for e in client.watch_operation(job) if e.warning]
        assert any("checkpoint" in warning for warning in warnings)
        with pytest.raises(OperationEndedError):
            client.pause_operation(job)
    assert weights_digest(daemon, done.version.name) == weights_digest(
        daemon, undisturbed.version.name
    )


def test_cancelled_within_two_seconds_and_once_per_request_id(daemon):
    """A cancelled job ends with a checkpoint, and makes nothing."""
    with daemon.client() as client:
        first, again = (
            client.train_model(
                "gone",
                "words",
                family="gpt2",
                settings={**SMALL, "steps": 100_000},
                request_id="one",
            ).name
            for _ in range(2)
        )
        assert first == again
        wait_for(lambda: step_of(client, first) >= 10, 60)
        with pytest.raises(DatasetInUseError):
            client.delete_dataset("words")
        began = time.monotonic()
        client.cancel_operation(first)
        with pytest.raises(OperationCancelledError):
            client.wait_operation(client.get_operation(first)).result()
        assert time.monotonic() - began < 4  # two seconds, and a busy machine's delay
        assert client.list_checkpoints(first)
        assert "gone" not in [model.id for model in client.list_models()]
        client.delete_operation(first)
    assert not run_folder(daemon, first).exists()


def test_divergence_is_no_success(daemon):
    """A loss that is not finite: an error of its own, good checkpoints kept, nothing published."""
    with daemon.client() as client:
        job = start(
            client,
            "burst",
            **{"optimizer.name": "sgd", "optimizer.learning_rate": 1e30, "clip_norm": 0},
        )
        with pytest.raises(TrainingDivergedError):
            client.wait_operation(client.get_operation(job)).result()
        assert [each.step for each in client.list_checkpoints(job)]
        assert "burst" not in [model.id for model in client.list_models()]


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("family", {}),
        ("family", {"family": "gpt2", "init_from": "calm"}),
        ("init_from", {"family": "gpt2", "method": "lora"}),
        ("objective", {"family": "gpt2", "objective": "dpo"}),
        ("objective", {"family": "encoder", "objective": "language_model"}),
        ("shape.depth", {"family": "gpt2", "settings": {"shape.depth": 3}}),
        ("shape.num_layers", {"family": "gpt2", "settings": {"shape.num_layers": 0.5}}),
        (
            "parameters.accumulation",
            {"family": "gpt2", "settings": {"batch_size": 6, "accumulation": 4}},
        ),
        (
            "optimizer.learning_rate",
            {"family": "gpt2", "settings": {"optimizer.learning_rate": -1}},
        ),
        (
            "parameters.evaluate_every",
            {"family": "gpt2", "settings": {"early_stopping.patience": 2}},
        ),
        ("parameters.sampling", {"family": "gpt2", "settings": {"sampling": "tracks"}}),
        ("parameters.sampling", {"family": "gpt2", "settings": {"sampling": "all"}}),
        (
            "parameters.sampling",
            {"family": "encoder", "settings": {"sampling": "windows"}},
        ),
        (
            "parameters.sampling",
            {
                "family": "gru",
                "settings": {"sampling": "tracks", "privacy.noise_multiplier": 1},
            },
        ),
        ("steps", {"family": "gpt2", "settings": {"steps": "many"}}),
        ("optimiser", {"family": "gpt2", "settings": {"optimiser": "adamw"}}),
    ],
)
def test_what_does_not_fit_is_refused_by_name(daemon, undisturbed, field, options):
    """Before anything is queued."""
    with daemon.client() as client:
        before = len(client.list_operations())
        with pytest.raises(InvalidFieldError) as caught:
            client.train_model("bad", "words", **options)
        assert [v.field for v in caught.value.violations] == [field]
        assert len(client.list_operations()) == before


def test_an_adapter_beside_its_base(daemon, tiny_folders):
    """LoRA: a small version, served as the base with the adapter in it; the base cannot go."""
    daemon.install("tiny", tiny_folders["tiny-llama"])
    daemon.add("pairs", [{"prompt": "say", "completion": " yes yes yes"}] * 8, "pairs")
    settings = {
        "steps": 60,
        "batch_size": 4,
        "sequence_length": 64,
        "optimizer.learning_rate": 3e-2,
    }
    with daemon.client() as client:
        before = (
            client.score("tiny", "say yes yes yes").logprob if client.load_model("tiny").done else 0
        )
        for model, merge in (("adapted", False), ("merged", True)):
            client.wait_operation(
                client.train_model(
                    model,
                    "pairs",
                    init_from="tiny",
                    method="lora",
                    settings={**settings, "lora.merge": merge},
                )
            ).result()
        adapted, merged = (client.get_version(name) for name in ("adapted", "merged"))
        assert adapted.byte_size < merged.byte_size / 2
        scores = []
        for name in ("adapted", "merged"):
            client.load_model(name).result()
            scores.append(client.score(name, "say yes yes yes").logprob)
        assert scores[0] == pytest.approx(scores[1], abs=1e-3)
        assert scores[0] > before + 5
        with pytest.raises(ModelInUseError, match="adapter"):
            client.delete_model("tiny", force=True)
        goes_on(client, settings, scores[0])
        for name in ("adapted", "merged", "tiny"):
            client.delete_model(name, force=True)


def goes_on(client, settings, before):
    """An adapter is trained on as one, or as whole weights; of its own shape, which it keeps."""
    asked = {"init_from": "adapted", "method": "lora"}
    with pytest.raises(InvalidFieldError, match=r"lora\.rank.*has 8; leave it out"):
        client.train_model("adapted", "pairs", **asked, settings={**settings, "lora.rank": 4})
    made = client.wait_operation(client.train_model("adapted", "pairs", **asked, settings=settings))
    version = made.result().version
    client.load_model(version.name).result()
    assert client.score(version.name, "say yes yes yes").logprob > before
    assert client.get_version(version.name).residency.host == "models/tiny/versions/1"
    whole = client.wait_operation(
        client.train_model(
            "adapted", "pairs", init_from="adapted", settings=settings | {"steps": 2}
        )
    )
    assert whole.result().version.byte_size > 2 * version.byte_size


def llmos(daemon, *arguments):
    command = [sys.executable, "-c", "from llmos_client.cli.main import main; main()"]
    command += ["--address", daemon.address, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_on_the_command_line(daemon, tmp_path):
    """Estimate, train and follow, list, draw, and a pause that is too late."""
    sets = [f"--set={name}={value}" for name, value in {**SMALL, "steps": 30}.items()]
    train = ["train", "typed", "--dataset", "words", "--family", "gpt2", *sets]
    estimate = llmos(daemon, *train, "--estimate")
    assert estimate.returncode == 0, estimate.stderr
    assert "parameters" in estimate.stdout
    done = llmos(daemon, *train, "--sample", "the cat")
    assert done.returncode == 0, done.stderr
    assert "made models/typed/versions/1 after 30 steps" in done.stdout
    assert "'the cat' -> " in done.stdout
    jobs = llmos(daemon, "jobs")
    row = next(line for line in jobs.stdout.splitlines() if " typed " in line)
    job, *rest = row.split()
    assert rest[:3] == ["train-model", "typed", "succeeded"]
    watched = llmos(daemon, "watch", job, "-o", "json")
    lines = [json.loads(line) for line in watched.stdout.splitlines()]
    assert [line["sequence"] for line in lines] == list(range(1, len(lines) + 1))
    drawn = llmos(daemon, "curve", job, "--out", str(tmp_path / "loss.svg"))
    assert drawn.returncode == 0, drawn.stderr
    assert (tmp_path / "loss.svg").read_text().startswith("<?xml")
    assert "loss (training)" in llmos(daemon, "curve", job).stdout
    layers = llmos(daemon, "show", "typed", "--layers").stdout.splitlines()
    assert any(line.startswith("transformer.h.*.attn.c_attn.weight  2  ") for line in layers)
    with daemon.client() as client:
        counted = client.get_version("typed").parameter_count
    assert layers[-1].split()[-1] == f"{counted:,}"
    with daemon.client() as client:
        other = next(o.name for o in client.list_operations() if o.kind == "upload-dataset")
    assert "made datasets/" in llmos(daemon, "watch", other).stdout
    late = llmos(daemon, "pause", job)
    assert late.returncode == 1
    assert "OPERATION_ENDED" in late.stderr
    assert llmos(daemon, "jobs", "--remove", job).returncode == 0
    assert not run_folder(daemon, job).exists()
    wrong = llmos(daemon, "train", "typed", "--dataset", "words")
    assert wrong.returncode == 2
    assert "--family" in wrong.stderr
