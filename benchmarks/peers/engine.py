"""llmos' engine alone, in this process: without gRPC, the front, and text."""

import time
from pathlib import Path

from benchmarks.peer import Request, Timing, missing, processors
from benchmarks.peers.llmos import MODEL, private_daemon


class BareEngine:
    """Steps by hand; a small daemon imports the model first, and ends."""

    def __init__(self, dtype: str) -> None:
        self.name = f"engine-{dtype}"
        self._dtype = dtype

    def available(self) -> str:
        return missing("torch", "'.[server]'")

    def load(self, gguf: str) -> str:  # noqa: ARG002 - the CLI's cache has the same file
        with private_daemon(spare_engine=False) as (address, _):
            folder = Path(address.removeprefix("unix:")).parent
            self.engine = _engine(folder / "models" / MODEL / "1", self._dtype)
        self._asked = 0
        return f"{self._dtype}, without the daemon"

    def generate(self, batch: list[Request], adapters: list[int] | None = None) -> list[Timing]:
        """Each of the batch through its adapter, where there are any; see benchmarks.adapters."""
        import msgspec

        from llmosd.ipc.messages import SamplingSpec, Submit

        greedy = SamplingSpec(0.0, 0, 1.0, 0.0, 1.0, 0.0, 0.0, 0, {})
        began, first, done = time.perf_counter(), {}, {}
        names = []
        for request, adapter in zip(batch, adapters or [0] * len(batch), strict=True):
            self._asked += 1
            names.append(self._asked)
            submit = Submit(self._asked, request.ids, 1, request.tokens, 0, [], greedy, -1)
            self.engine.submit(msgspec.structs.replace(submit, adapter=adapter))
        while self.engine.has_work:
            step = self.engine.step()
            now = time.perf_counter() - began
            for token in step.tokens:
                first.setdefault(token.id, now)
                if token.finish:
                    done[token.id] = now
        return [Timing(first[n], done[n], r.tokens) for n, r in zip(names, batch, strict=True)]

    def close(self) -> None:
        pass


def _engine(folder: Path, dtype: str):
    from llmosd.engine.loader import load
    from llmosd.ipc.messages import LoadEngine

    order = LoadEngine(
        model_dir=str(folder),
        device="cpu",
        dtype=dtype,
        packed_dir="",
        kv_cache_bytes=1 << 30,
        max_sequences=64,
        step_tokens=512,
        draft_tokens=0,
        threads=processors(),
        heartbeat_seconds=0.5,
    )
    engine, _ = load(order, lambda *_: None)
    return engine
