"""A daemon for the session, with real and tiny models; and a maker of private ones."""

import pytest

from daemon import DaemonProcess, wait_for
from factory import tiny_gpt2, tiny_llama_folder, tiny_mistral, tiny_qwen2, tiny_qwen3
from threats import forget_peak, memory

TINY = {
    "tiny-llama": tiny_llama_folder,
    "tiny-mistral": tiny_mistral,
    "tiny-qwen2": tiny_qwen2,
    "tiny-qwen3": tiny_qwen3,
    "tiny-gpt2": tiny_gpt2,
}


@pytest.fixture(scope="session")
def tiny_folders(tmp_path_factory):
    """Random models of every family, as Hugging Face folders."""
    root = tmp_path_factory.mktemp("tiny")
    for name, make in TINY.items():
        make(root / name)
    return {name: root / name for name in TINY}


@pytest.fixture(scope="session")
def daemon(tmp_path_factory, smollm2_gguf):
    """One daemon for all tests that leave it as they found it; smollm2 is loaded."""
    process = DaemonProcess(tmp_path_factory.mktemp("daemon"), keep_alive_seconds=-1)
    process.install("smollm2", smollm2_gguf)
    process.load("smollm2")
    yield process
    process.stop()


@pytest.fixture(scope="session")
def said(daemon):
    """What the loaded model answers before anybody does anything to the daemon."""
    return short_answer(daemon)


@pytest.fixture(scope="module")
def still_says(daemon, said):
    """After the last test of a file that asks for it, the model says what it said before."""
    yield
    assert short_answer(daemon) == said


@pytest.fixture
def unharmed(daemon, still_says):
    """After each test that asks for it, the daemon serves, and nothing is left running."""
    yield
    with daemon.client() as client:
        assert client.health() == "serving"
        wait_for(lambda: client.server_info().generations == 0, 20, daemon.log.read_text)
        client.set_log_level("info")  # which a message made at random may have changed


@pytest.fixture
def client(daemon):
    """A client of the shared daemon."""
    with daemon.client() as client:
        yield client


@pytest.fixture
def new_daemon(tmp_path):
    """Makes a daemon of the test's own: new_daemon(setting=value, ...)."""
    made = []

    def make(**settings):
        made.append(DaemonProcess(tmp_path / f"daemon{len(made)}", **settings))
        return made[-1]

    yield make
    for process in made:
        process.stop()


@pytest.fixture(scope="session")
def good(tmp_path_factory):
    """The files of a model that would be taken, by name."""
    folder = tiny_llama_folder(tmp_path_factory.mktemp("good"))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def nothing_kept(daemon):
    """No model, no staging folder, and no memory stays behind."""
    staging = daemon.folder / "state" / "models" / ".staging"
    with daemon.client() as client:
        models, folders = installed(client), set(staging.parent.iterdir())
        pid = daemon.process.pid
        forget_peak(pid)
        before = memory(pid)
        yield
        assert installed(client) == models
    assert list(staging.iterdir()) == []
    assert set(staging.parent.iterdir()) == folders
    # The row's 20 MiB, and as much for the parts of the upload that wait to be written.
    assert memory(pid, "VmHWM") - before <= 40 << 20


def installed(client):
    return [(model.name, model.version_count, model.live.digest) for model in client.list_models()]


def short_answer(daemon):
    with daemon.client() as client:
        answer = client.generate("smollm2", "One, two,", temperature=0.0, max_tokens=3, logprobs=1)
        return answer.choices
