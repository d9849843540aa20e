"""Aliases that move while requests run: nothing fails, nothing is mixed, what is bad stays out.

LLMOS_PROMOTIONS says how often; `make acceptance` runs 50, under 32 streams.
"""

import asyncio
import json
import os
import signal
import time

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from daemon import DaemonProcess, wait_for
from factory import tiny_llama_folder
from llmos_client import (
    AliasConflictError,
    AsyncClient,
    DatasetNotFoundError,
    EngineLostError,
    GateCondition,
    GateRefusedError,
    InsufficientMemoryError,
    InvalidFieldError,
    ModelNotFoundError,
    ModelNotLoadedError,
    Probation,
)
from llmosd.store.aliases import Watching
from llmosd.store.catalog import Catalog
from promotions import (
    CRASHING,
    Crowd,
    answers_as,
    bad_folder,
    install,
    lost,
    mark,
    own_answers,
    prepare,
    say,
    say_as,
    state,
    version,
)

PROMOTIONS = int(os.environ.get("LLMOS_PROMOTIONS", "3"))
STREAMS = 32 if PROMOTIONS >= 50 else 8
UNWATCHED = Probation(seconds=0)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two models of one kind that say different things."""
    root = tmp_path_factory.mktemp("versions")
    return [tiny_llama_folder(root / f"seed{seed}", seed=seed) for seed in (1, 2)]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    process = DaemonProcess(
        tmp_path_factory.mktemp("promote"), keep_alive_seconds=-1, spare_engine=True
    )
    yield process
    process.stop()


@pytest.fixture
def fresh(daemon, folders):
    """A model of two versions, the first one live and loaded, with no past."""
    yield prepare(daemon, folders, "fresh")
    with daemon.client() as client:
        client.delete_model("fresh", force=True)


@pytest.fixture(scope="module")
def shared(daemon, folders):
    return prepare(daemon, folders, "shared")


@pytest.fixture
def model(daemon, shared):
    """As `fresh`, but for its past: each test leaves it as it found it."""
    yield shared
    with daemon.client() as client:
        client.set_gate_policy(shared, "live", [])
        client.set_alias(shared, "live", version(shared, 1))
        for name in set(client.get_model(shared).aliases) - {"live"}:
            client.delete_alias(shared, name)
        for found in client.list_versions(shared):
            loaded = found.residency.state != "unloaded"
            if found.number > 2:
                client.delete_version(found.name, force=True)
            elif loaded and (found.number == 2 or found.residency.dtype != "float32"):
                client.unload_model(found.name).result()
        client.load_model(shared).result()


def test_while_streams_run(daemon, model):
    """No request fails; each answer is the one of the version that its first event names."""
    own = own_answers(daemon, model)
    assert own[version(model, 1), 0] != own[version(model, 2), 0]
    seconds = []
    with daemon.client() as client, Crowd(daemon, model, STREAMS) as crowd:
        wait_for(lambda: len(crowd.answers) >= STREAMS, 60)
        for round_ in range(PROMOTIONS):
            number, before = 2 - round_ % 2, len(crowd.answers)
            began = time.monotonic()
            client.promote(version(model, number), probation=UNWATCHED).result()
            seconds.append(time.monotonic() - began)
            assert client.get_model(model).live.number == number
            # The next one has to load it again, under load.
            wait_for(lambda old=3 - number: state(client, model, old) == "unloaded", 60)
            wait_for(lambda start=before: len(crowd.answers) > start, 60)
    assert crowd.failures == []
    mixed = [each for each in crowd.answers if own[each[0], each[1]] != each[2]]
    assert mixed == []
    assert {who for who, _, _ in crowd.answers} == {version(model, 1), version(model, 2)}
    print(
        f"{PROMOTIONS} promotions under {STREAMS} streams: {len(crowd.answers)} answers, "
        f"{len(crowd.failures)} failed, {len(mixed)} mixed; a promotion took "
        f"{np.median(seconds):.2f} s, {max(seconds):.2f} s at most"
    )


def test_the_crowd_would_notice(daemon, model):
    """The control: where the old version is unloaded without waiting, requests fail."""
    with daemon.client() as client, Crowd(daemon, model, 4) as crowd:
        wait_for(lambda: len(crowd.answers) >= 4, 60)
        client.unload_model(version(model, 1), force=True).result()
        wait_for(lambda: crowd.failures, 60)
    assert {type(error) for error in crowd.failures} <= {EngineLostError, ModelNotLoadedError}


def test_what_is_asked_for_by_number_stays(daemon, model):
    """Loaded by its number, or under another alias: an alias that leaves does not unload it."""
    with daemon.client() as client:
        client.load_model(version(model, 1)).result()
        client.promote(version(model, 2), probation=UNWATCHED).result()
        client.set_alias(model, "stable", version(model, 2))
        client.promote(version(model, 1), probation=UNWATCHED).result()
        for number in (1, 2):
            assert say(client, version(model, number), 0)[0] == version(model, number)
        client.delete_alias(model, "stable")
        client.promote(version(model, 2), probation=UNWATCHED).result()
        client.promote(version(model, 1), probation=UNWATCHED).result()
        wait_for(lambda: state(client, model, 2) == "unloaded", 20)
        assert state(client, model, 1) == "loaded"
        client.unload_model(version(model, 1)).result()  # which is not pinned then


def test_rollback(daemon, fresh):
    """One after the other, back to the beginning; then there is nothing left to undo."""
    model = fresh
    with daemon.client() as client:
        client.promote(version(model, 2), dtype="bfloat16", probation=UNWATCHED).result()
        assert client.get_version(model).residency.dtype == "bfloat16"
        wait_for(lambda: state(client, model, 1) == "unloaded", 20)
        began = time.monotonic()
        undone = client.roll_back(model).result()
        seconds = time.monotonic() - began
        print(f"rolled back in {seconds:.2f} s, the old version loaded again")
        assert (undone.promotion.state, undone.promotion.automatic) == ("rolled_back", False)
        assert undone.version.name == version(model, 1)
        assert say(client, model, 0)[0] == version(model, 1)
        with pytest.raises(AliasConflictError, match="nothing to undo"):
            client.roll_back(model).result()
        moves = client.list_promotions(model)
        assert [(move.alias, move.state) for move in moves] == [("live", "rolled_back")]


@pytest.mark.parametrize("watched", [True, False])
def test_crashes_after_the_move(daemon, model, watched):
    """Its process killed again and again: back within seconds, by itself. Unwatched it stays."""
    probation = Probation(seconds=60, engine_losses=1) if watched else UNWATCHED
    with daemon.client() as client:
        client.promote(version(model, 2), probation=probation).result()
        wait_for(lambda: state(client, model, 1) == "unloaded", 20)
        for losses in (1, 2) if watched else (1,):
            wait_for(lambda: client.get_version(version(model, 2)).residency.pid, 30)
            began = time.monotonic()
            pid = client.get_version(version(model, 2)).residency.pid
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda n=losses: lost(client, model, n), 30)
        if not watched:
            wait_for(lambda: state(client, model, 2) == "loaded", 30)
            assert client.get_model(model).live.number == 2
            return
        wait_for(lambda: answers_as(client, model, 1), 10)
        print(f"automatic rollback: {time.monotonic() - began:.2f} s from the loss to an answer")
        move = client.list_promotions(model)[0]
        assert (move.state, move.automatic) == ("rolled_back", True)
        assert "process was lost 2 times" in move.rollback_reason
        wait_for(lambda: state(client, model, 2) == "unloaded", 20)


def test_numbers_that_are_not_finite(daemon, model, folders, tmp_path):
    """Weights that overflow in the network: finite in the file, not in the answer."""

    def overflow(weights):
        weights["model.layers.0.mlp.gate_proj.weight"][:] = 3e38
        weights["model.layers.0.mlp.up_proj.weight"][:] = -3e38

    bad = install(daemon, model, bad_folder(folders[1], tmp_path / "bad", overflow), alias="bad")
    refuse(daemon, model, bad.name, "not finite")


def refuse(daemon, model, name, match, gate="self-check", **options):
    """It is refused, nothing has moved, and it is out of memory again."""
    with daemon.client() as client:
        with pytest.raises(GateRefusedError, match=match) as caught:
            client.promote(name, **options).result()
        assert caught.value.metadata["gate"] == gate
        assert caught.value.code == "FAILED_PRECONDITION"
        assert client.get_model(model).live.number == 1
        assert client.get_version(name).residency.state == "unloaded"
        assert say(client, model, 0)[0] == version(model, 1)
        # The control: without the check it would go through.
        client.set_alias(model, "live", name)
        assert client.get_model(model).live.name == name
        client.set_alias(model, "live", version(model, 1))


def test_files_that_changed(daemon, fresh):
    """One bit of the weights on disk: loads, answers, and is refused by its digest."""
    model = fresh
    path = daemon.folder / "state" / "models" / model / "2" / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    path.chmod(0o640)
    path.write_bytes(data)
    refuse(daemon, model, version(model, 2), "differs from its digest")


def test_a_load_that_goes_wrong(daemon, model, folders):
    """The same version computes other numbers than when it was first checked: what is packed for it
    was damaged. Its files are whole, and nothing but the numbers shows it."""
    with daemon.client() as client:
        client.promote(version(model, 2), dtype="int8", probation=UNWATCHED).result()
        client.promote(version(model, 1), dtype="int8", probation=UNWATCHED).result()
        wait_for(lambda: state(client, model, 2) == "unloaded", 20)
    damaged = 0
    for path in (daemon.folder / "state" / "packed").rglob("*.safetensors"):
        weights = load_file(path)
        for name, values in weights.items():
            if values.dtype in (np.int8, np.uint8) and values.ndim > 1:
                weights[name] = np.ascontiguousarray(values[::-1])
                damaged += 1
        save_file(weights, path)
    assert damaged
    refuse(daemon, model, version(model, 2), "as it did when it was first checked")


@pytest.fixture
def crashing(tmp_path, folders):
    """A daemon whose engines die of a question where the weights have the mark."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(CRASHING)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(site), prepend=":")
        daemon = DaemonProcess(tmp_path / "daemon", keep_alive_seconds=-1, spare_engine=True)
        install(daemon, "m", folders[0])
        install(daemon, "m", bad_folder(folders[1], tmp_path / "bad", mark), alias="bad")
        daemon.load("m")
        yield daemon
        daemon.stop()


def test_a_candidate_that_crashes(crashing):
    """Weights that make the network end its process: refused, the alias is where it was."""
    refuse(crashing, "m", version("m", 2), "was lost while it answered a probe")
    probation_outlives_the_daemon(crashing)


def probation_outlives_the_daemon(daemon):
    """A daemon that is started again goes on watching what the one before had promoted."""
    daemon.stop()
    with Catalog(daemon.folder / "state" / "catalog.db") as catalog, catalog.atomically():
        # What a promotion would have written down, had no gate been there.
        catalog.aliases.move("m", "live", 2, "PROMOTED", watching=Watching(seconds=600))
        catalog.set_wanted("m", 2, True, keep_alive=-1.0)
    daemon.start()
    with daemon.client() as client:
        assert say(client, "m", 0)[0] == version("m", 2)
        os.kill(client.get_version("m").residency.pid, signal.SIGKILL)
        wait_for(lambda: answers_as(client, "m", 1), 30)
        assert client.list_promotions("m")[0].automatic


def test_licenses(daemon, model, folders):
    """Of the version itself, and of what it was made from."""
    made = install(daemon, model, folders[1], alias="candidate", license="CC-BY-NC-4.0")
    refuse(daemon, model, made.name, "allows no commercial use", gate="license")
    with daemon.client() as client:
        allowed = client.promote(made.name, allow_restricted_license=True, probation=UNWATCHED)
        assert allowed.result().promotion.version == made.name


def test_gate_policies(daemon, model, tmp_path):
    """A condition that nothing shows to hold refuses; one that holds does not."""
    (tmp_path / "held-out.txt").write_text("the tin and the inn\n" * 8)
    condition = GateCondition("held-out", "perplexity", at_most=2.0)
    with daemon.client() as client:
        assert client.set_gate_policy(model, "live", [condition]) == (condition,)
        assert client.get_gate_policy(model, "live") == (condition,)
        with pytest.raises(DatasetNotFoundError, match="held-out"):
            client.promote(version(model, 2)).result()
        file = tmp_path / "held-out.txt"
        client.wait_operation(client.upload_dataset("held-out", [file], kind="text")).result()
        with pytest.raises(
            GateRefusedError, match=r"has perplexity .*, and 2 is the most"
        ) as caught:
            client.promote(version(model, 2)).result()
        assert caught.value.metadata["gate"] == "evaluation"
        assert (client.get_model(model).live.number, state(client, model, 2)) == (1, "unloaded")
        with pytest.raises(AliasConflictError, match="gate policy"):
            client.set_alias(model, "live", version(model, 2))
        client.set_gate_policy(model, "live", [])
        with pytest.raises(InvalidFieldError, match=r"gate\[0\].*at_least"):
            client.promote(version(model, 2), gate=[GateCondition("a", "b")])
        bearable = GateCondition("held-out", "perplexity", at_most=1e6)
        moved = client.promote(version(model, 2), gate=[bearable], probation=UNWATCHED).result()
        assert moved.promotion.version == version(model, 2)


def test_gate_commands(daemon, model, capsys):
    """What llmos gate sets is what promotions ask for."""
    from llmos_client.cli.main import run

    where = ["--address", daemon.address]
    conditions = ["suites/anchors perplexity <= 2", "suites/anchors perplexity worse <= 2%"]
    assert run(["gate", "set", model, *conditions, *where]) == 0
    assert run(["gate", "show", model, *where]) == 0
    assert capsys.readouterr().out.splitlines() == 2 * conditions
    with daemon.client() as client, pytest.raises(GateRefusedError, match="and 2 is the most"):
        client.promote(version(model, 2)).result()
    assert run(["gate", "clear", model, *where]) == 0
    assert capsys.readouterr().out == "no conditions\n"
    promote = ["promote", version(model, 2), "--probation", "0", *where]
    assert run([*promote, "--require", conditions[0]]) == 1
    assert "and 2 is the most" in capsys.readouterr().err
    assert run([*promote, "--require", "suites/anchors perplexity <= 1e9"]) == 0


def test_memory_for_one(new_daemon, folders):
    """Where two do not fit, nothing moves, and the message says what would help."""
    mib = 1 << 20
    limits = {"memory_reserve_bytes": 0, "kv_cache_bytes": 4 * mib}
    daemon = new_daemon(memory_limit_bytes=700 * mib, keep_alive_seconds=-1, **limits)
    install(daemon, "m", folders[0])
    install(daemon, "m", folders[1], alias="candidate")
    daemon.load("m")
    with daemon.client() as client:
        with pytest.raises(InsufficientMemoryError, match="MiB may be used") as caught:
            client.promote("m/versions/2").result()
        assert int(caught.value.metadata["needed_bytes"]) > 0
        assert say(client, "m", 0)[0] == version("m", 1)


def test_aliases(daemon, model):
    """Set, compared, deleted; what is wrong is named."""
    with daemon.client() as client:
        aliases = client.set_alias(model, "stable", version(model, 1)).aliases
        assert aliases == {"live": version(model, 1), "stable": version(model, 1)}
        with pytest.raises(AliasConflictError, match="not at"):
            client.set_alias(model, "stable", version(model, 2), expected=version(model, 2))
        client.set_alias(model, "stable", version(model, 2), expected=version(model, 1))
        assert say_as(client, daemon, f"{model}@stable") == version(model, 2)
        with pytest.raises(ModelNotFoundError, match="no version 9"):
            client.set_alias(model, "stable", version(model, 9))
        with pytest.raises(InvalidFieldError, match="must be a version of"):
            client.set_alias(model, "stable", "other/versions/1")
        with pytest.raises(InvalidFieldError, match="every model has"):
            client.delete_alias(model, "live")
        assert "stable" not in client.delete_alias(model, "stable").aliases
        with pytest.raises(ModelNotFoundError, match='no alias "stable"'):
            client.delete_alias(model, "stable")
        again = client.promote(version(model, 1)).result()
        assert again.promotion is None


def test_async(daemon, model):
    """The same methods, awaited."""
    condition = GateCondition("held-out", "nll", at_most=2.0)

    async def run():
        async with AsyncClient(daemon.address) as client:
            await client.set_alias(model, "stable", version(model, 2))
            assert "stable" not in (await client.delete_alias(model, "stable")).aliases
            assert await client.set_gate_policy(model, "live", [condition]) == (condition,)
            assert await client.get_gate_policy(model, "live") == (condition,)
            assert await client.set_gate_policy(model, "live", []) == ()
            assert (await client.promote(version(model, 1))).result().promotion is None
            await client.set_alias(model, "live", version(model, 2))
            undone = (await client.roll_back(model)).result()
            assert undone.promotion == (await client.list_promotions(model))[0]

    asyncio.run(run())


def test_cancelled(daemon, model):
    """A promotion that somebody cancels has not happened, and leaves nothing in memory."""
    with daemon.client() as client:
        running = client.promote(version(model, 2), wait=False)
        client.cancel_operation(running.name)
        assert client.wait_operation(running).state == "cancelled"
        assert client.get_model(model).live.number == 1
        assert state(client, model, 2) == "unloaded"
        assert say(client, model, 0)[0] == version(model, 1)


def test_commands(daemon, fresh, llmos):
    """The same from the command line."""
    model = fresh
    out = llmos("promote", f"{model}/versions/2", "--probation", "0")
    assert out == f"live: {version(model, 1)} -> {version(model, 2)}\n"
    moves = json.loads(llmos("alias", "list", model, "-o", "json"))["promotions"]
    assert [move["cause"] for move in moves] == ["promoted"]
    assert "1 -> 2" in llmos("alias", "list", model)
    assert llmos("rollback", model) == f"live: {version(model, 2)} -> {version(model, 1)}\n"
    assert llmos("alias", "set", f"{model}/versions/2", "next") == f"next: {version(model, 2)}\n"
    assert llmos("alias", "delete", model, "next") == "next: deleted\n"


@pytest.fixture
def llmos(daemon, capsys):
    from llmos_client.cli.main import run

    def call(*words):
        code = run([*words, "--address", daemon.address])
        captured = capsys.readouterr()
        assert code == 0, captured.err
        return captured.out

    return call
