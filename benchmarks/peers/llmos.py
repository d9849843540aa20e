"""llmos, through gRPC, as any client meets it: a private daemon, the asyncio SDK."""

import asyncio
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.peer import Request, Timing, missing

MODEL = "smollm2"


class Llmos:
    """The daemon is a child of the worker, and ends with it."""

    name = "llmos"

    def available(self) -> str:
        return missing("torch", "'.[server]'") or missing("llmos_client", "'.[server]'")

    def load(self, gguf: str) -> str:  # noqa: ARG002 - the CLI's cache has the same file
        from llmos_client import AsyncClient, Client

        self._folder = tempfile.TemporaryDirectory(prefix="llmos-bench-")
        folder = Path(self._folder.name)
        address = f"unix:{folder}/llmosd.sock"
        commands = Path(sys.executable).parent
        daemon = [str(commands / "llmosd"), "--state-dir", str(folder), "--listen", address]
        with (folder / "llmosd.log").open("w") as log:
            self._daemon = subprocess.Popen(daemon, stdout=log, stderr=log)
        _wait_for(folder / "llmosd.sock", self._daemon)
        pull = [str(commands / "llmos"), "--address", address, "pull", MODEL]
        subprocess.run(pull, check=True, stdout=subprocess.DEVNULL)
        with Client(address) as client:
            loaded = client.load_model(MODEL, keep_alive=-1).result()
        self._loop = asyncio.Runner()
        self._client = self._loop.run(_open(AsyncClient, address))
        residency = loaded.version.residency
        return f"{residency.dtype}, {residency.runner}"

    def generate(self, batch: list[Request]) -> list[Timing]:
        return self._loop.run(self._all(batch))

    def close(self) -> None:
        if hasattr(self, "_loop"):
            self._loop.run(self._client.close())
            self._loop.close()
        if hasattr(self, "_daemon"):
            self._daemon.send_signal(signal.SIGTERM)
            self._daemon.wait(timeout=60)
            self._folder.cleanup()

    async def _all(self, batch: list[Request]) -> list[Timing]:
        began = time.perf_counter()
        return await asyncio.gather(*(self._one(request, began) for request in batch))

    async def _one(self, request: Request, began: float) -> Timing:
        from llmos_client import Completed, Delta

        first = 0.0
        asked = {"tokens": request.ids, "max_tokens": request.tokens}
        stream = self._client.stream(MODEL, **asked, temperature=0.0, ignore_eos=True)
        async with stream as events:
            async for event in events:
                if isinstance(event, Delta):
                    first = first or time.perf_counter() - began
                elif isinstance(event, Completed):
                    tokens = event.usage.completion_tokens
        total = time.perf_counter() - began
        return Timing(first or total, total, tokens)


async def _open(cls, address: str):
    return cls(address)


def _wait_for(socket: Path, daemon: "subprocess.Popen[bytes]") -> None:
    """Return once the daemon has bound its socket."""
    for _ in range(300):
        if socket.exists():
            return
        if daemon.poll() is not None:
            break
        time.sleep(0.1)
    raise RuntimeError(f"the daemon did not start: {(socket.parent / 'llmosd.log').read_text()}")
