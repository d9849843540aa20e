"""The package and its unit under a real systemd, in a container that is thrown away.

LLMOS_DEB names the package that `make deb` makes; `make acceptance` sets it. Needs root, Debian's
systemd-container, and the sandbox in ../shared/tools, which boots the container.
"""

import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from subprocess import DEVNULL

import pytest

from daemon import wait_for

SANDBOX = Path(__file__).parents[3] / "shared" / "tools" / "systemd_sandbox.sh"
DEB = os.environ.get("LLMOS_DEB", "")
UNIT = "llmosd.service"
LOG = ("journalctl", "-u", UNIT, "-o", "cat", "--no-pager")

pytestmark = [
    pytest.mark.skipif(not DEB, reason="LLMOS_DEB names a package; `make acceptance` makes one"),
    pytest.mark.skipif(
        os.geteuid() != 0 or shutil.which("systemd-nspawn") is None or not SANDBOX.exists(),
        reason="needs root, systemd-container and ../shared/tools",
    ),
]


class Machine:
    """The container; commands run in it as root."""

    def __call__(self, *command, check=True, timeout=120, **more):
        done = subprocess.run(
            [SANDBOX, "exec", *map(str, command)],
            capture_output=True, text=True, timeout=timeout, **({"stdin": DEVNULL} | more),
        )  # fmt: skip
        assert not check or done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout.strip() if check else done

    def show(self, name):
        return self("systemctl", "show", "-p", name, "--value", UNIT)

    def pid(self):
        """As the container counts them."""
        return int(self.show("MainPID"))

    def llmos(self, *command, **more):
        return self("llmos", *command, **more)

    def json(self, *command):
        return json.loads(self.llmos(*command, "-o", "json"))

    def engines(self):
        """Processes of models: not the spare one."""
        return [each["pid"] for each in residencies(self) if each["state"] == "loaded"]

    def ask(self, text):
        """SmolLM2's answer."""
        return self.llmos(
            "run", "smollm2", text, "--temperature", "0", "--max-tokens", "20", timeout=180
        )

    def starts(self):
        return int(self.show("NRestarts"))


def residencies(machine):
    return [version["residency"] for version in machine.json("ps")["versions"]]


def serving(machine):
    return machine("llmos", "status", check=False).returncode == 0


@pytest.fixture(scope="module")
def machine(tmp_path_factory, smollm2_gguf):
    """With the package installed, the service started, and SmolLM2 in it as int8."""
    environment = {"SDBOX_TMPFS": "8g", "SDBOX_DIR": str(tmp_path_factory.mktemp("sdbox"))}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        subprocess.run([SANDBOX, "up"], check=True, timeout=120)
        try:
            here = Machine()
            # Images of containers forbid packages to start services; this one is a machine.
            here("rm", "-f", "/usr/sbin/policy-rc.d")
            here("dpkg", "-i", Path(DEB).resolve(), timeout=300)
            here.llmos("import", "--name", "smollm2", smollm2_gguf, timeout=300)
            here.llmos("load", "smollm2", "--dtype", "int8", "--keep-alive", "never", timeout=300)
            yield here
        finally:
            subprocess.run([SANDBOX, "down"], check=True, timeout=120)


def test_installing_starts_it(machine):
    """READY when it serves, enabled, as a user of its own, in the group that people can join."""
    assert machine.show("ActiveState") == "active"
    assert machine.show("UnitFileState") == "enabled"
    assert "serving on unix:/run/llmosd/llmosd.sock" in machine.show("StatusText")
    status = machine("cat", f"/proc/{machine.pid()}/status")
    uid = int(re.search(r"^Uid:\s+(\d+)", status, re.MULTILINE)[1])
    assert 61184 <= uid <= 65519  # systemd's dynamic users
    assert machine("stat", "-c", "%G %a", "/run/llmosd/llmosd.sock") == "llmos 660"
    score = machine("systemd-analyze", "security", UNIT, "--no-pager").splitlines()[-1]
    print(score)
    assert float(re.search(r"(\d+\.\d)", score)[1]) <= 1.0


def test_who_may_use_it(machine):
    """A member of the group, and nobody else."""
    machine("useradd", "-m", "-G", "llmos", "member")
    machine("useradd", "-m", "stranger")
    ask = ("llmos", "status")
    machine("runuser", "-u", "member", "--", *ask)
    refused = machine("runuser", "-u", "stranger", "--", *ask, check=False)
    assert refused.returncode == 69
    assert "group" in refused.stderr or "permission" in refused.stderr.lower()


def test_hardening(machine):
    """From within the service's own name spaces: what it may not, and what it must."""
    probes = {
        "read /home": "import os; os.listdir('/home')",
        "write /etc": "open('/etc/probe', 'w')",
        "write /opt": "open('/opt/llmos/probe', 'w')",
        "network": "import socket; socket.socket(socket.AF_INET)",
        "raw packets": "import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
        "mount": "import ctypes; assert ctypes.CDLL(None, use_errno=True).mount(b'a', b'/tmp', b'tmpfs', 0, b'') == 0",
    }
    must = {
        "write state": "open('/var/lib/llmosd/probe', 'w')",
        "compile": "import numba; numba.njit(lambda x: x + 1)(1)",
        "bfloat16": "import torch; a = torch.ones(64, 64).bfloat16(); (a @ a).sum()",
        "see the processor": "open('/proc/cpuinfo').read().index('model name')",
    }
    for name, code in (probes | must).items():
        done = machine(
            "systemd-run", "--quiet", "--wait", "--pipe", *properties(machine),
            "/opt/llmos/bin/python", "-c", code, check=False,
        )  # fmt: skip
        allowed = done.returncode == 0
        assert allowed == (name in must), (name, done.stderr[-600:])


def properties(machine):
    """The unit's settings, for another process of the same kind."""
    wanted = re.compile(
        r"^(DynamicUser|Group|StateDirectory|CacheDirectory|Protect\w+|Private\w+|Restrict\w+|NoNewPrivileges"
        r"|CapabilityBoundingSet|SystemCall\w+|LockPersonality|RemoveIPC|IPAddressDeny)=.*$", re.MULTILINE,
    )  # fmt: skip
    text = machine("cat", f"/usr/lib/systemd/system/{UNIT}")
    found = [match[0] for match in wanted.finditer(text)]
    return [part for line in found for part in ("-p", line)] + ["-p", "User=llmosd"]


def test_wrong_settings_are_no_loop(machine):
    """78, once; the sentence is in the journal; put right, it starts again."""
    settings = "/etc/llmos/llmosd.toml"
    machine("cp", settings, "/srv/kept.toml")
    machine("sh", "-c", f"echo 'max_quue = 3' >> {settings}")
    try:
        assert machine("systemctl", "restart", UNIT, check=False).returncode != 0
        time.sleep(3)
        assert machine.show("ActiveState") == "failed"
        assert machine.show("ExecMainStatus") == "78"
        assert machine.starts() == 0
        assert "max_quue" in machine(*LOG, "-n", "20")
    finally:
        machine("cp", "/srv/kept.toml", settings)
        machine("systemctl", "reset-failed", UNIT)
        machine("systemctl", "start", UNIT)
    assert serving(machine)


def test_kill(machine):
    """Back within five seconds, with its models."""
    before = machine.pid()
    began = time.monotonic()
    machine("systemctl", "kill", "-s", "KILL", "--kill-whom=main", UNIT)
    wait_for(lambda: machine.pid() not in (0, before) and serving(machine), 20)
    print(f"kill -9 to an answer: {time.monotonic() - began:.1f} s")
    assert time.monotonic() - began < 5
    assert "Paris" in machine.ask("What is the capital of France?")


def test_memory(machine):
    """What does not fit into the service's memory fails, refused or killed; the daemon goes on."""
    machine.llmos("unload", "smollm2")
    before, starts = machine.pid(), machine.starts()
    machine("systemctl", "set-property", "--runtime", UNIT, "MemoryMax=600M")
    try:
        done = machine("llmos", "load", "smollm2", "--dtype", "int8", check=False, timeout=180)
        print(done.stderr.splitlines()[-1])
        assert done.returncode == 1
    finally:
        machine("systemctl", "set-property", "--runtime", UNIT, "MemoryMax=95%")
    assert (machine.pid(), machine.starts()) == (before, starts)
    machine.llmos("load", "smollm2", "--dtype", "int8", "--keep-alive", "never", timeout=180)
    assert machine.ask("Hello.")


def test_frozen_engine(machine):
    """The daemon ends it, and starts another; it goes on itself."""
    machine.ask("Hello.")
    (engine,) = machine.engines()
    before = machine.pid()
    machine("kill", "-STOP", str(engine))
    wait_for(lambda: machine.engines() not in ([], [engine]), 60)
    assert machine.pid() == before
    assert machine.ask("Hello.")


def test_frozen_daemon(machine):
    """The watchdog ends it, and systemd starts it again."""
    before, starts = machine.pid(), machine.starts()
    machine("kill", "-STOP", str(before))
    wait_for(lambda: machine.starts() == starts + 1 and machine.pid() not in (0, before), 90)
    wait_for(lambda: serving(machine), 10)
    assert "Watchdog timeout" in machine(*LOG, "-n", "60")


def test_a_job_outlives_a_restart(machine):
    """Stopped, it is checkpointed; started, it goes on; and a model was trained and served by the unit."""
    rows = "".join(f'{{"text": "the man in the inn {at}"}}\n' for at in range(200))
    machine("sh", "-c", "cat > /srv/rows.jsonl", stdin=None, input=rows)
    machine.llmos("dataset", "add", "/srv/rows.jsonl", "--name", "rows", "--kind", "text")
    settings = {
        "tokenizer_kind": "character", "shape.num_layers": 1, "shape.hidden_size": 64, "steps": 3000,
        "checkpoint_every": 100000, "batch_size": 4, "sequence_length": 32,
    }  # fmt: skip
    given = [part for each in settings.items() for part in ("--set", "{}={}".format(*each))]
    job = machine.llmos(
        "train", "small", "--dataset", "rows", "--family", "gru", *given, "--detach"
    )
    wait_for(lambda: "step" in machine.llmos("jobs"), 60)
    time.sleep(2)
    began = time.monotonic()
    machine("systemctl", "restart", UNIT)
    print(f"restart beside a job: {time.monotonic() - began:.1f} s")
    (kept,) = machine("sh", "-c", f"ls /var/lib/llmosd/operations/{job}/ckpt").split()[-1:]
    assert int(kept.removeprefix("step-")) > 0
    machine.llmos("watch", job, timeout=300)
    machine.llmos("load", "small")
    assert machine.llmos("run", "small", "--raw", "the man", "--max-tokens", "8")


def test_stop_with_streams(machine):
    """Health says no within a tenth of a second; a stream ends by itself; then the process does."""
    stream = subprocess.Popen(
        [SANDBOX, "exec", "llmos", "run", "smollm2", "Tell me a long story.", "--max-tokens", "300"],
        stdin=DEVNULL, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_for(lambda: any(each["running"] for each in residencies(machine)), 60)
    began = time.monotonic()
    machine("systemctl", "stop", UNIT)
    taken = time.monotonic() - began
    said, _ = stream.communicate(timeout=60)
    print(f"stopped in {taken:.1f} s beside a stream of {len(said)} characters")
    assert machine.show("Result") == "success"
    assert machine.show("ExecMainStatus") == "0"
    assert taken < 31
    assert len(said) > 100
    machine("systemctl", "start", UNIT)


def test_upgrade_and_removal(machine):
    """Edited settings and an edited unit stay; `remove` leaves the models, `purge` nothing."""
    machine("sh", "-c", "echo 'max_queue = 77' >> /etc/llmos/llmosd.toml")
    machine("mkdir", "-p", f"/etc/systemd/system/{UNIT}.d")
    machine(
        "sh", "-c", f"printf '[Service]\\nNice=3\\n' > /etc/systemd/system/{UNIT}.d/override.conf"
    )
    machine("systemctl", "daemon-reload")
    machine("dpkg", "-i", Path(DEB).resolve(), timeout=300)
    assert serving(machine)
    assert "max_queue = 77" in machine("cat", "/etc/llmos/llmosd.toml")
    assert machine.show("Nice") == "3"
    assert "smollm2" in machine.llmos("list")
    machine("dpkg", "-r", "llmos", timeout=120)
    assert machine.show("ActiveState") != "active"
    assert "catalog.db" in machine("ls", "/var/lib/private/llmosd")
    machine("dpkg", "-i", Path(DEB).resolve(), timeout=300)
    wait_for(lambda: serving(machine), 20)
    assert "smollm2" in machine.llmos("list")
    machine("dpkg", "--purge", "llmos", timeout=120)
    assert machine("sh", "-c", "ls -d /var/lib/private/llmosd /etc/llmos/llmosd.toml; true") == ""
