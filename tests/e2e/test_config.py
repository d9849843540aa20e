"""Settings of a running daemon: shown with their origin, checked, read again."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from daemon import DaemonProcess, wait_for
from factory import tiny_llama_folder
from llmos_client import InvalidConfigError, LimitExceededError, PermissionDeniedError
from llmos_client.cli.main import run

FIRST = """
max_queue = 7
keep_alive_seconds = -1
tls_key = "/etc/keys/server.pem"
tenant_quotas = { web = { tokens_per_minute = 1000000 } }
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("etc") / "llmosd.toml"
    path.write_text(FIRST)
    return path


class Told:
    """What the service manager is told."""

    def __init__(self, path):
        self.path = path
        self.messages = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self):
        while message := self._socket.recv(4096):
            self.messages.append(message.decode())

    def close(self):
        self._socket.sendto(b"", str(self.path))
        self._thread.join()
        self._socket.close()


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    listener = Told(tmp_path_factory.mktemp("run") / "notify")
    yield listener
    listener.close()


@pytest.fixture(scope="module")
def daemon(tmp_path_factory, file, told):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NOTIFY_SOCKET", str(told.path))
        process = DaemonProcess(
            tmp_path_factory.mktemp("config"),
            flags=("--config", str(file), "--threads", "1"),
            max_jobs=2,
        )
    process.install(
        "tiny", tiny_llama_folder(tmp_path_factory.mktemp("tiny"), max_position_embeddings=8192)
    )
    process.load("tiny")
    yield process
    process.stop()


@pytest.fixture(autouse=True)
def _as_it_was(daemon, file):
    yield
    file.write_text(FIRST)
    with daemon.client() as client:
        client.reload_config()


def settings(daemon):
    with daemon.client() as client:
        return {each.name: each for each in client.get_config()}


def test_each_setting_says_where_it_comes_from(daemon, file):
    found = settings(daemon)
    assert (found["max_queue"].value, found["max_queue"].origin) == (7, "file")
    assert found["max_queue"].origin_name == str(file)
    assert (found["max_jobs"].value, found["max_jobs"].origin_name) == (2, "LLMOSD_MAX_JOBS")
    assert (found["threads"].origin, found["threads"].origin_name) == ("flag", "--threads")
    assert (found["max_sequences"].origin, found["max_sequences"].origin_name) == ("default", "")
    assert found["tls_key"].value == "set"
    assert found["keep_alive_seconds"].reloadable
    assert not found["listen"].reloadable


def test_show(daemon, file, capsys):
    at = ["--address", daemon.address]
    assert run(["config", "show", "--origin", *at]) == 0
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if line.startswith("max_queue = 7")]
    assert line.endswith(f"# file {file}")
    assert not any("/etc/keys" in line for line in lines)
    assert run(["config", "show", "-o", "json", *at]) == 0
    shown = json.loads(capsys.readouterr().out)["settings"]
    (queue,) = [each for each in shown if each["name"] == "max_queue"]
    assert (queue["value"], queue["origin"], queue["origin_name"]) == (7, "file", str(file))


def test_reload_by_signal(daemon, file, told):
    """What can change does, the rest is named; the service manager hears of both ends."""
    del told.messages[:]
    file.write_text('max_queue = 9\nthreads = 3\nspare_engine = true\nlog_level = "warning"')
    daemon.process.send_signal(signal.SIGHUP)
    wait_for(lambda: len(told.messages) == 2, 10)
    begins, ends = told.messages
    assert begins.startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert 0 < time.monotonic_ns() // 1000 - int(begins.rpartition("=")[2]) < 20e6
    assert ends == "READY=1"
    found = settings(daemon)
    assert found["max_queue"].value == 9
    assert found["keep_alive_seconds"].value == 300.0  # its line is gone: the default
    assert found["threads"].value == 1  # a flag wins
    # The environment says false, and would go on saying so after a restart.
    assert not found["spare_engine"].restart_pending
    before = daemon.log.read_text()
    with daemon.client() as client:
        assert client.server_info().limits.max_queue == 9
    assert daemon.log.read_text() == before  # no line of a call: the level is warning
    file.write_text('cache_dir = "/nowhere"\nlog_level = "info"\ndevice = "cpu"')
    with daemon.client() as client:
        done = client.reload_config()
        assert (done.applied, done.restart_needed) == (
            ("log_level", "max_queue"),
            ("device", "tls_key"),
        )
        assert settings(daemon)["device"].restart_pending
        assert settings(daemon)["device"].value == "auto"
    assert daemon.log.read_text() != before


def test_the_status_line(daemon, told):
    """Told when something changes, once a second at most, and never by an idle daemon."""
    time.sleep(1.1)  # what other tests began has been told
    del told.messages[:]
    with daemon.client() as client:
        with client.stream("tiny", "hello", max_tokens=8000, ignore_eos=True) as events:
            next(events)
            wait_for(lambda: any("1 generation," in each for each in told.messages), 10)
        wait_for(lambda: "0 generations" in told.messages[-1], 10)
    assert told.messages[-1].endswith("; 1 model loaded, 0 generations, 0 jobs")
    count = len(told.messages)
    time.sleep(1.5)
    assert len(told.messages) == count


def test_a_broken_file_changes_nothing(daemon, file):
    """F09: one error line, the RPC says every fault; the daemon goes on as it was."""
    file.write_text('max_queu = 3\nmax_queue = "many"\nkeep_alive_seconds = 1')
    before = len(daemon.log_lines())
    daemon.process.send_signal(signal.SIGHUP)
    wait_for(lambda: len(daemon.log_lines()) > before, 10)
    (line,) = [each for each in daemon.log_lines()[before:] if each["level"] == "error"]
    assert line["event"] == "config_not_reloaded"
    assert f"{file}: max_queu: there is no such setting; did you mean max_queue?" in line["reason"]
    with daemon.client() as client:
        with pytest.raises(InvalidConfigError) as caught:
            client.reload_config()
        assert [each.field for each in caught.value.violations] == ["max_queu", "max_queue"]
        assert client.generate("tiny", "hello", max_tokens=1).choices
    assert settings(daemon)["max_queue"].value == 7
    assert settings(daemon)["keep_alive_seconds"].value == -1
    file.write_text("= 3")
    with daemon.client() as client, pytest.raises(InvalidConfigError, match="stay as they are"):
        client.reload_config()


def test_reload_by_command(daemon, file, capsys):
    at = ["--address", daemon.address]
    file.write_text(FIRST + "max_sequences = 3")
    assert run(["config", "reload", *at]) == 0
    assert capsys.readouterr().out == "changed: max_sequences\n"
    file.write_text(FIRST + 'device = "cpu"\nmax_sequences = 0')
    assert run(["config", "reload", *at]) == 1
    assert "max_sequences: must be above 0" in capsys.readouterr().err
    file.write_text(FIRST + 'device = "cpu"')
    assert run(["config", "reload", *at]) == 0
    assert "needs a restart: device" in capsys.readouterr().out


def test_quotas_and_weights_hold_at_once(daemon, file):
    """Of models that are loaded, too; before the reload the same call was let through."""
    with daemon.client() as client:
        secret = client.create_token("web", "use").secret
        type(client)(daemon.address, token=secret).generate("tiny", "hello", max_tokens=1)
        quotas = "tenant_quotas = { web = { tokens_per_minute = 1 } }"
        file.write_text(f"{quotas}\ntenant_weights = {{ web = 2.5 }}")
        assert client.reload_config().applied[-2:] == ("tenant_quotas", "tenant_weights")
        with type(client)(daemon.address, token=secret) as web:
            web.generate("tiny", "hello", max_tokens=1)
            with pytest.raises(LimitExceededError):
                web.generate("tiny", "hello", max_tokens=1)

        def weight():
            (model,) = next(client.watch_load(interval=0.1)).models
            return {each.tenant: each.weight for each in model.tenants}.get("web")

        wait_for(lambda: weight() == 2.5, 10)


def test_roles(daemon):
    """Looking needs the role manage, reloading admin."""
    with daemon.client() as client:
        secrets = {
            role: client.create_token(f"r-{role}", role).secret for role in ("use", "manage")
        }
        kind = type(client)
    with (
        kind(daemon.address, token=secrets["use"]) as client,
        pytest.raises(PermissionDeniedError),
    ):
        client.get_config()
    with kind(daemon.address, token=secrets["manage"]) as client:
        assert client.get_config()
        with pytest.raises(PermissionDeniedError):
            client.reload_config()


def check(*arguments):
    command = [sys.executable, "-m", "llmosd", "check-config", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_check_config(tmp_path):
    """One line and 0, or every fault and 78: file, key, fix."""
    path = tmp_path / "llmosd.toml"
    path.write_text("max_queue = 3")
    good = check("--config", str(path))
    assert (good.returncode, good.stdout.count("\n")) == (0, 1)
    path.write_text(
        'max_jobs = 0\nmax_sequence = 3\ndrain_seconds = "soon"\ntcp_listen = "0.0.0.0:1"\n'
        "tenant_quotas = { a = { generation = 1 } }"
    )
    bad = check("--config", str(path), "--state-dir", str(tmp_path / "state"))
    assert bad.returncode == 78
    lines = bad.stderr.splitlines()
    assert all(line.startswith(f"llmosd: {path}: ") for line in lines)
    for wanted in (
        "max_jobs: must be above 0",
        "max_sequence: there is no such setting; did you mean max_sequences?",
        "drain_seconds: Expected `float`",
        "tcp_listen: tokens and prompts would cross the network in the clear",
        "tenant_quotas: Object contains unknown field `generation`",
    ):
        assert any(line.startswith(f"llmosd: {path}: {wanted}") for line in lines), bad.stderr
    assert not (tmp_path / "state").exists()


def test_check_config_reads_the_policy(tmp_path):
    """The file of rules is checked, too."""
    rules, path = tmp_path / "rules.toml", tmp_path / "llmosd.toml"
    path.write_text(f'content_policy = "rules"\ncontent_policy_file = "{rules}"\n')
    rules.write_text('[[rule]]\nname = "x"\npattern = "("\n')
    bad = check("--config", str(path))
    assert bad.returncode == 78
    assert "content_policy_file: " in bad.stderr
    assert "rule 'x': pattern: " in bad.stderr
    rules.write_text('[[rule]]\nname = "x"\npattern = "y"\n')
    assert check("--config", str(path)).returncode == 0
