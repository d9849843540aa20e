"""Room on the disk: the quota, what is collected before somebody is refused, and llmos gc."""

import json

import pytest

from daemon import DaemonProcess
from factory import tiny_llama_folder
from llmos_client import InsufficientDiskError, PermissionDeniedError
from llmos_client.cli.main import run

MIB = 1 << 20


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("etc") / "llmosd.toml"
    path.write_text("")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_llama_folder(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def daemon(tmp_path_factory, file, folder):
    process = DaemonProcess(tmp_path_factory.mktemp("disk"), flags=("--config", str(file)))
    for _ in range(4):
        process.install("tiny", folder)
    process.add("rows", "a few words\n" * 50, "text")
    yield process
    process.stop()


@pytest.fixture
def quota(daemon, file):
    def set_quota(number):
        file.write_text(f"disk_quota_bytes = {number}")
        with daemon.client() as client:
            client.reload_config()

    yield set_quota
    set_quota(0)


def test_uploads_and_jobs_are_refused_up_front(daemon, folder, quota):
    """With the numbers and the fix; nothing is kept. Without the quota the same is done."""
    quota(MIB)
    before = len(list((daemon.folder / "state/models/tiny").iterdir()))
    with pytest.raises(InsufficientDiskError, match="of the 1 MiB of disk_quota_bytes") as caught:
        daemon.install("tiny", folder)
    assert caught.value.code == "RESOURCE_EXHAUSTED"
    assert int(caught.value.metadata["needed_bytes"]) > 0
    assert len(list((daemon.folder / "state/models/tiny").iterdir())) == before
    with daemon.client() as client:
        quota(1)
        with pytest.raises(InsufficientDiskError, match="a job needs"):
            client.train_model("t", "rows", family="gpt2", settings={"steps": 1})
        quota(0)
        job = client.train_model("t", "rows", family="gpt2", settings={"steps": 1})
        client.cancel_operation(job.name)
        client.wait_operation(job)
    daemon.install("tiny", folder)


def test_caches_give_way(daemon, folder, quota):
    """What only fits without a cache fits: the cache goes, and nothing else does."""
    with daemon.client() as client:
        used = client.collect_garbage(dry_run=True).used_bytes
    junk = daemon.folder / "state/packed/gone-int8-1"
    junk.mkdir(parents=True)
    (junk / "arrays").write_bytes(bytes(20 * MIB))
    quota(used + 10 * MIB)
    daemon.install("tiny", folder)
    assert not junk.exists()


def test_the_command(daemon, capsys):
    at = ["--address", daemon.address, "-o", "json"]
    daemon.load("tiny/versions/2")
    versions = daemon.folder / "state/models/tiny"
    before = sorted(int(path.name) for path in versions.iterdir())
    assert run(["gc", "--keep", "1", "--older-than", "1h", *at]) == 0
    assert sorted(int(path.name) for path in versions.iterdir()) == before
    capsys.readouterr()
    assert run(["gc", "--keep", "1", "--dry-run", *at]) == 0
    would = json.loads(capsys.readouterr().out)["garbage"]["items"]
    assert sorted(int(path.name) for path in versions.iterdir()) == before
    assert run(["gc", "--keep", "1", *at]) == 0
    done = json.loads(capsys.readouterr().out)["garbage"]["items"]
    assert done == would
    left = sorted(int(path.name) for path in versions.iterdir())
    assert left == [2, *before[-2:]]  # loaded; what a rollback brings back; live
    with daemon.client() as client:
        assert client.generate("tiny/versions/2", tokens=[1], max_tokens=1).choices


def test_it_needs_an_administrator(daemon):
    with daemon.client() as client:
        secret = client.create_token("no-gc", "manage").secret
    with (
        type(client)(daemon.address, token=secret) as other,
        pytest.raises(PermissionDeniedError),
    ):
        other.collect_garbage(dry_run=True)
