"""Links, pipes, devices and folders where the store has files (T33)."""

import os
import shutil
import stat

import numba
import pytest

import threats
from daemon import DaemonProcess, wait_for
from factory import tiny_llama_folder
from llmos_client import LlmosError

SECRET = "the secret outside of the store"
FILES = ["model.safetensors", "config.json", "tokenizer.json", "manifest.json"]
UNSAFE = "INVALID_ARGUMENT/UNSAFE_FILE"
# A pipe is refused at once; this is only so that a hang ends.
SECONDS = 20


@pytest.fixture(scope="module")
def private(tmp_path_factory):
    """A daemon whose store is spoilt and mended again; its model is not loaded."""
    root = tmp_path_factory.mktemp("tampering")
    process = DaemonProcess(root / "daemon", keep_alive_seconds=-1)
    process.install("tiny", tiny_llama_folder(root / "tiny"))
    (root / "outside").mkdir()
    (root / "outside" / "secret").write_text(SECRET)
    yield process
    process.stop()


@pytest.fixture
def version(private):
    """The version's folder; put back as it was afterwards, and what was outside is untouched."""
    folder = private.folder / "state" / "models" / "tiny" / "1"
    saved = private.folder / "saved"
    shutil.copytree(folder, saved)
    yield folder
    assert (outside(private) / "secret").read_text() == SECRET
    remove(folder)
    saved.rename(folder)


def outside(private):
    return private.folder.parent / "outside"


def remove(path):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def link(path, private):
    target = outside(private) / path.name
    shutil.copy(path, target)
    remove(path)
    path.symlink_to(target)


def hard_link(path, private):
    os.link(path, outside(private) / f"hard-{path.name}-{os.urandom(4).hex()}")


def pipe(path, _):
    remove(path)
    os.mkfifo(path)


def device(path, _):
    remove(path)
    try:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))  # /dev/zero: it never ends
    except PermissionError:
        pytest.skip("only root may make a device")


def folder(path, _):
    remove(path)
    path.mkdir()


def dangling(path, _):
    remove(path)
    path.symlink_to("/etc/no-such-file")


PLANTS = [link, hard_link, pipe, device, folder, dangling]


def load_error(private):
    with private.client() as client:
        operation = client.load_model("tiny", wait=False)
        wait_for(lambda: client.get_operation(operation.name).done, SECONDS)
        error = client.get_operation(operation.name).error
    assert error is not None
    return error


def check(error):
    assert error.label == UNSAFE, error.message
    threats.check_text(error.message, [SECRET, "outside"])


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_loading(private, version, name, plant):
    """UNSAFE_FILE for each file and each kind, at once, and no process is started for it."""
    plant(version / name, private)

    check(load_error(private))

    assert private.residency("tiny").pid == 0


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_text(private, plant):
    """The front reads the tokenizer of a model it has not used yet: the same."""
    name = f"text-{plant.__name__}".replace("_", "-")
    private.install(name, private.folder.parent / "tiny")
    plant(private.folder / "state" / "models" / name / "1" / "tokenizer.json", private)
    with private.client() as client:
        for call in (client.count_tokens, client.tokenize):
            with pytest.raises(LlmosError) as error:
                call(name, "hello")
            check(error.value)
        client.delete_model(name)


def test_a_folder_that_is_a_link(private, version):
    """A version, or its model, that leads elsewhere is not followed, nor deleted through."""
    elsewhere = outside(private) / "1"
    version.rename(elsewhere)
    version.symlink_to(elsewhere)
    check(load_error(private))
    with private.client() as client, pytest.raises(LlmosError) as error:
        client.delete_version("tiny/versions/1")
    check(error.value)
    assert (elsewhere / "manifest.json").exists()
    assert private.residency("tiny").pid == 0  # it is still in the catalog
    shutil.rmtree(elsewhere)


def test_deleting_follows_nothing(private, version):
    """A link planted in a version goes with it; what it leads to stays."""
    with private.client() as client:
        private.install("gone", private.folder.parent / "tiny")
        folder = version.parent.parent / "gone" / "1"
        (folder / "extra").symlink_to(outside(private))
        client.delete_model("gone")
    assert not folder.exists()
    assert (outside(private) / "secret").exists()


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_short(private, version, name):
    """DATA_LOSS where a file lacks a byte, or all of them."""
    for size in ((version / name).stat().st_size - 1, 0):
        os.truncate(version / name, size)
        error = load_error(private)
        assert error.label == "DATA_LOSS/DATA_CORRUPT", error.message
        threats.check_text(error.message)


def test_mended_it_loads(private):
    """The control: with its own files, the same model loads and answers."""
    private.load("tiny")
    with private.client() as client:
        assert client.generate("tiny", "hello", max_tokens=2).choices[0].text is not None
        client.unload_model("tiny").result()


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_the_engine_looks_again(private, version, name, plant):
    """What is planted after the front has looked: the engine opens no such file either."""
    from llmosd.engine.loader import load
    from llmosd.errors import UnsafeFile
    from llmosd.ipc.messages import LoadEngine

    threads = numba.get_num_threads()  # other tests in this process need theirs
    order = LoadEngine(str(version), "cpu", "float32", "", 1 << 20, 1, 16, 0, threads, 1.0)
    plant(version / name, private)
    with pytest.raises(UnsafeFile):
        load(order, lambda *_: None)
