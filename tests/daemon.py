"""A real llmosd for tests: its own process, state directory and socket."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from llmos_client import Client

CACHE = Path(__file__).parents[1] / "build" / "cache"


class DaemonProcess:
    """Started by the constructor; `stop` checks that it ends cleanly."""

    def __init__(
        self,
        folder: Path,
        *,
        address: str | None = None,
        flags: tuple[str, ...] = (),
        **settings: object,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._flags = flags
        self.log = folder / "llmosd.log"
        self.address = address or f"unix:{folder}/s.sock"
        # Dozens of daemons, each importing torch once more than its test needs.
        settings = {"spare_engine": False, **settings}
        self._settings = {f"LLMOSD_{name.upper()}": str(value) for name, value in settings.items()}
        self.start()

    def start(self) -> None:
        environment = {**os.environ, "LLMOSD_CACHE_DIR": str(CACHE), **self._settings}
        command = [sys.executable, "-m", "llmosd", "--state-dir", str(self.folder / "state")]
        command += ["--listen", self.address, *self._flags]
        if not self.address.startswith("unix:"):
            command.append("--insecure-loopback")
        with self.log.open("a") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
        with self.client() as client:
            wait_for(lambda: self._serving(client), 30, self.log.read_text)

    def client(self) -> Client:
        return Client(self.address)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(timeout=60) == 0, self.log.read_text()[-4000:]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def log_lines(self) -> list[dict]:
        """Every line is one JSON object, or this raises; one that is being written is not there."""
        return [json.loads(line) for line in self.log.read_text().split("\n")[:-1]]

    def logged(self, **fields) -> dict:
        """The first line that has these fields; a thread writes it, so it may take a moment."""

        def found():
            return [each for each in self.log_lines() if fields.items() <= each.items()]

        wait_for(found, 20, self.log.read_text)
        return found()[0]

    def install(self, name: str, source: Path) -> None:
        """Upload a GGUF file or a Hugging Face folder, and wait for its version."""
        files = [source] if source.is_file() else sorted(p for p in source.iterdir() if p.is_file())
        with self.client() as client:
            operation = client.upload_model(name, files, license="Apache-2.0", source="test")
            client.wait_operation(operation).result()

    def add(self, name: str, content: str | list[dict], kind: str) -> None:
        """Upload a dataset, of rows or of one plain text, and wait for its version."""
        plain = isinstance(content, str)
        file = self.folder / (f"{name}.txt" if plain else f"{name}.jsonl")
        file.write_text(content if plain else "".join(json.dumps(row) + "\n" for row in content))
        with self.client() as client:
            client.wait_operation(client.upload_dataset(name, [file], kind=kind)).result()

    def load(self, name: str, **options) -> None:
        with self.client() as client:
            client.load_model(name, **options).result()

    def residency(self, name: str):
        with self.client() as client:
            return client.get_version(name).residency

    def _serving(self, client: Client) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return client.health() == "serving"
        except Exception:
            return False


def llmos(address: str, *arguments: str) -> subprocess.CompletedProcess:
    """The command line in a process of its own."""
    code = "from llmos_client.cli.main import main; main()"
    command = [sys.executable, "-c", code, *arguments, "--address", address]
    return subprocess.run(command, capture_output=True, text=True)


def wait_for(condition, seconds: float, explain=lambda: "") -> None:
    """Poll until `condition()` holds; fail with `explain()` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {explain()}"
        time.sleep(0.005)
