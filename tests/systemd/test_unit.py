"""The unit file and the shipped configuration."""

import re
import shutil
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from daemon import DaemonProcess
from llmosd.config import Config
from llmosd.config_checks import ConfigError
from llmosd.config_sources import load_config

SYSTEMD = Path(__file__).parents[2] / "systemd"
NO_SYSTEMD = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


@pytest.fixture
def unit(tmp_path):
    """The unit with a command that is there: verify wants to see the file."""
    text = (SYSTEMD / "llmosd.service").read_text()
    path = tmp_path / "llmosd.service"
    path.write_text(text.replace("/opt/llmos/bin/llmosd", sys.executable))
    return path


@NO_SYSTEMD
def test_verify_accepts_the_unit(unit):
    """systemd-analyze verify says nothing against it; it does against a misspelt one."""
    good = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True
    )
    assert good.returncode == 0
    assert "llmosd.service" not in good.stderr
    unit.write_text(unit.read_text().replace("Type=notify", "Typ=notify"))
    bad = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True
    )
    assert "Typ" in bad.stderr


@NO_SYSTEMD
def test_verify_accepts_the_nightly_units(unit, tmp_path):
    """The timer, and the service it starts, of a model called tiny."""
    for end in ("service", "timer"):
        text = (SYSTEMD / f"llmos-learn@.{end}").read_text()
        path = tmp_path / f"llmos-learn@tiny.{end}"
        path.write_text(text.replace("/opt/llmos/bin/llmos", sys.executable))
        command = ["systemd-analyze", "verify", "--man=no", str(unit), str(path)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert "llmos-learn" not in done.stderr
        assert done.returncode == 0


@NO_SYSTEMD
def test_verify_accepts_the_metrics_units(unit, tmp_path):
    """The socket before the daemon's own, and the timer that writes node_exporter's file."""
    paths = [unit]
    for name in ("llmosd-metrics.socket", "llmosd-metrics.service"):
        paths.append(tmp_path / name)
        paths[-1].write_text((SYSTEMD / name).read_text())
    for name in ("llmos-textfile.service", "llmos-textfile.timer"):
        paths.append(tmp_path / name)
        text = (SYSTEMD / name).read_text()
        paths[-1].write_text(text.replace("/opt/llmos/bin/llmos", sys.executable))
    command = ["systemd-analyze", "verify", "--man=no", *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("llmos")) == (0, 0), done.stderr


@NO_SYSTEMD
def test_exposure(unit):
    """systemd's own score of the hardening, of 10: at most 1.0, with the drop-in for GPUs 1.5."""
    assert exposure(unit, 10) <= 1.0
    drop_in = (SYSTEMD / "llmosd-gpu.conf").read_text().partition("[Service]")[2]
    unit.write_text(unit.read_text().replace("[Install]", f"{drop_in}\n[Install]"))
    assert exposure(unit, 15) <= 1.5
    # The control: what the score is of a unit that hides and forbids nothing.
    unit.write_text("[Service]\nExecStart=/bin/true\n")
    assert exposure(unit, 100) > 9


def exposure(unit, threshold):
    result = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", f"--threshold={threshold}", str(unit)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-2000:]
    return float(re.search(r"(\d+\.\d)", result.stdout.splitlines()[-1])[1])


def test_unit_does_not_break_compilers():
    """The two settings that silently ruin numba and torch stay off."""
    directives = re.findall(r"^(\w+)=", (SYSTEMD / "llmosd.service").read_text(), re.MULTILINE)
    assert not {"MemoryDenyWriteExecute", "ProcSubset"} & set(directives)


def test_ready_after_the_socket_answers(tmp_path, monkeypatch):
    """READY=1 arrives when the address is bound, STOPPING=1 at SIGTERM."""
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        listener.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        daemon = DaemonProcess(tmp_path / "daemon")
        assert listener.recv(4096).startswith(b"READY=1\nSTATUS=serving on unix:")
        daemon.stop()
        assert listener.recv(4096).startswith(b"STOPPING=1\n")


def test_shipped_configuration_names_every_setting():
    """llmosd.toml is Config, field for field, with the real defaults."""
    text = (SYSTEMD / "llmosd.toml").read_text()
    uncommented = re.sub(r"^# (\w+ = )", r"\1", text, flags=re.MULTILINE)
    shipped = tomllib.loads(uncommented)
    assert list(shipped) == list(Config.__struct_fields__)
    defaults = Config()
    for name, value in shipped.items():
        if name not in ("state_dir", "cache_dir", "listen"):
            assert value == getattr(defaults, name), name


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("max_sequence = 3", "max_sequence"),
        ('max_queue = "many"', "max_queue"),
        ("max_queue = -1", "max_queue: must not be negative"),
        ('device = "tpu"', "device"),
        ("tenant_weights = {a = 0}", "tenant_weights: a: must be above 0"),
        ("tenant_weights = {a = inf}", "tenant_weights: a: must be above 0"),
        ('tenant_weights = {"a b" = 1}', "'a b' is no tenant's name"),
        ("tenant_quotas = {a = {generations = -1}}", "tenant_quotas: a: generations: must not"),
        ('tenant_quotas = {"a b" = {}}', "'a b' is neither a tenant's name nor '*'"),
        ('listen = "0.0.0.0:80"', "only loopback"),
        ('listen = "127.0.0.1:80"', "--insecure-loopback"),
        ('listen = "nowhere"', "neither unix:PATH nor HOST:PORT"),
        ("= 3", "Invalid"),
        (f'listen = "unix:/{"x" * 200}"', "107 bytes"),
        ('metrics_listen = "0.0.0.0:9470"', "metrics_listen: '0.0.0.0' is not this machine"),
        ('metrics_listen = "9470"', "metrics_listen: '9470' is neither unix:PATH nor HOST:PORT"),
        ('listen = "unix:/a"\nmetrics_listen = "unix:/a"', "metrics_listen: is a socket that gRPC"),
        ('otlp_endpoint = "localhost:4317"', "otlp_endpoint: 'localhost:4317' is none of http"),
        ('log_prompts = "perhaps"', "log_prompts"),
    ],
)
def test_wrong_configuration(tmp_path, text, says):
    """Each mistake is named, with exit status 78."""
    file = tmp_path / "llmosd.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(says)):
        load_config(str(file), {"HOME": str(tmp_path)}, {})
    command = [sys.executable, "-m", "llmosd", "--config", str(file)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 78
    assert says in result.stderr


def test_precedence(tmp_path):
    """Defaults < file < environment < flags."""
    file = tmp_path / "llmosd.toml"
    file.write_text("max_queue = 1\nmax_sequences = 2\nthreads = 3")
    environment = {"HOME": str(tmp_path), "LLMOSD_MAX_SEQUENCES": "20", "LLMOSD_THREADS": "30"}
    config = load_config(str(file), environment, {"threads": 300, "device": None})
    assert (config.max_queue, config.max_sequences, config.threads) == (1, 20, 300)
    assert config.device == "auto"
    assert config.state == tmp_path / ".local/state/llmos" or config.state_dir


def test_tenant_weights_in_the_environment(tmp_path):
    """As JSON; what is none is refused by the setting's name."""
    environment = {"HOME": str(tmp_path), "LLMOSD_TENANT_WEIGHTS": '{"a": 2, "b": 0.5}'}
    assert load_config(None, environment, {}).tenant_weights == {"a": 2.0, "b": 0.5}
    for wrong in ("a=2", "[1]", '{"a": "much"}'):
        with pytest.raises(ConfigError, match="tenant_weights"):
            load_config(None, environment | {"LLMOSD_TENANT_WEIGHTS": wrong}, {})
