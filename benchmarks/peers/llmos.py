"""llmos, through gRPC, as any client meets it: a private daemon, the asyncio SDK."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.peer import Request, Timing, missing

MODEL = "smollm2"


class Llmos:
    """The daemon is a child of the worker, and ends with it."""

    def __init__(self, dtype: str) -> None:
        self.name = f"llmos-{dtype}"
        self._dtype = dtype
        self._stack = contextlib.ExitStack()

    def available(self) -> str:
        return missing("torch", "'.[server]'") or missing("llmos_client", "'.[server]'")

    def load(self, gguf: str) -> str:  # noqa: ARG002 - the CLI's cache has the same file
        from llmos_client import AsyncClient

        address, client = self._stack.enter_context(private_daemon())
        loaded = client.load_model(MODEL, keep_alive=-1, dtype=self._dtype).result()
        self._loop = asyncio.Runner()
        self._client = self._loop.run(_open(AsyncClient, address))
        residency = loaded.version.residency
        return f"{residency.dtype}, {residency.runner}, nothing guessed ahead"

    def generate(self, batch: list[Request]) -> list[Timing]:
        return self._loop.run(self._all(batch))

    def close(self) -> None:
        if hasattr(self, "_loop"):
            self._loop.run(self._client.close())
            self._loop.close()
        self._stack.close()

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


@contextlib.contextmanager
def private_daemon(**settings: object) -> Iterator[tuple[str, Any]]:
    """A daemon that has the model, in a folder of its own: its address and a client.

    Nothing is guessed ahead unless `settings` say so: how much that brings depends on the text.
    """
    from llmos_client import Client

    with tempfile.TemporaryDirectory(prefix="llmos-bench-") as name:
        folder = Path(name)
        address = f"unix:{folder}/llmosd.sock"
        commands = Path(sys.executable).parent
        command = [str(commands / "llmosd"), "--state-dir", name, "--listen", address]
        chosen = {"draft_tokens": 0, "keep_alive_seconds": -1, **settings}
        environment = {f"LLMOSD_{key.upper()}": str(value) for key, value in chosen.items()}
        with (folder / "llmosd.log").open("w") as log:
            daemon = subprocess.Popen(
                command, stdout=log, stderr=log, env={**os.environ, **environment}
            )
        try:
            _wait_for(folder / "llmosd.sock", daemon)
            pull = [str(commands / "llmos"), "--address", address, "pull", MODEL]
            subprocess.run(pull, check=True, stdout=subprocess.DEVNULL)
            with Client(address) as client:
                yield address, client
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(timeout=60)


async def _open(cls, address: str):
    return cls(address)


def _wait_for(socket: Path, daemon: "subprocess.Popen[bytes]") -> None:
    """Return once the daemon has bound its socket."""
    for _ in range(3000):
        if socket.exists():
            return
        if daemon.poll() is not None:
            break
        time.sleep(0.01)
    raise RuntimeError(f"the daemon did not start: {(socket.parent / 'llmosd.log').read_text()}")
