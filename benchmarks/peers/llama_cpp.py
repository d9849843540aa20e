"""llama.cpp by its C interface: the same file at another width, all requests in one batch."""

import time
from pathlib import Path
from typing import Any

from benchmarks.peer import Request, Timing, missing, processors

_FILE_TYPES = {"q8_0": 7, "bf16": 32, "q4_1": 3}  # enum llama_ftype
_SEQUENCES, _CONTEXT, _BATCH = 32, 1024, 512


class LlamaCpp:
    """Prompts first, then a token for every sequence per step, as its server does it."""

    def __init__(self, kind: str) -> None:
        self.name = f"llama.cpp-{kind}"
        self._kind = kind

    def available(self) -> str:
        return missing("llama_cpp", "llama-cpp-python (it builds with a C++ compiler)")

    def load(self, gguf: str) -> str:
        import llama_cpp

        self._api = llama_cpp
        path = gguf if self._kind == "q4_1" else str(self._requantized(Path(gguf)))
        self._model = llama_cpp.llama_model_load_from_file(
            path.encode(), llama_cpp.llama_model_default_params()
        )
        params = llama_cpp.llama_context_default_params()
        params.n_ctx, params.n_seq_max = _SEQUENCES * _CONTEXT, _SEQUENCES
        params.n_batch = params.n_ubatch = _BATCH
        params.n_threads = params.n_threads_batch = processors()
        self._context = llama_cpp.llama_init_from_model(self._model, params)
        self._batch = llama_cpp.llama_batch_init(_BATCH, 0, 1)
        vocabulary = llama_cpp.llama_model_get_vocab(self._model)
        self._width = llama_cpp.llama_vocab_n_tokens(vocabulary)
        return f"{self._kind}, one batch"

    def generate(self, batch: list[Request]) -> list[Timing]:
        api, began = self._api, time.perf_counter()
        api.llama_memory_clear(api.llama_get_memory(self._context), True)
        firsts: dict[int, float] = {}
        latest: dict[int, int] = {}
        for part in _chunks(batch):
            for sequence, token in self._decode(part).items():
                latest[sequence], firsts[sequence] = token, time.perf_counter() - began
        place = {sequence: len(request.ids) for sequence, request in enumerate(batch)}
        for _ in range(batch[0].tokens - 1):
            entries = [(token, place[at], at, True) for at, token in latest.items()]
            latest = self._decode(entries)
            place = {at: position + 1 for at, position in place.items()}
        total = time.perf_counter() - began
        return [Timing(firsts[at], total, request.tokens) for at, request in enumerate(batch)]

    def close(self) -> None:
        pass

    def _decode(self, entries: list[tuple[int, int, int, bool]]) -> dict[int, int]:
        """Run (token, position, sequence, wants logits); the most likely next token of each."""
        import numpy as np

        api, batch = self._api, self._batch
        batch.n_tokens = len(entries)
        for index, (token, position, sequence, wanted) in enumerate(entries):
            batch.token[index], batch.pos[index] = token, position
            batch.n_seq_id[index], batch.seq_id[index][0] = 1, sequence
            batch.logits[index] = wanted
        if api.llama_decode(self._context, batch):
            raise RuntimeError("llama_decode failed")
        drawn = {}
        for index, (_, _, sequence, wanted) in enumerate(entries):
            if wanted:
                logits = api.llama_get_logits_ith(self._context, index)
                drawn[sequence] = int(np.ctypeslib.as_array(logits, (self._width,)).argmax())
        return drawn

    def _requantized(self, gguf: Path) -> Path:
        """The file's weights at another width, made once."""
        target = Path("build", "bench-model", f"{gguf.name[:12]}-{self._kind}.gguf").absolute()
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            params = self._api.llama_model_quantize_default_params()
            params.ftype, params.allow_requantize = _FILE_TYPES[self._kind], True
            partial = target.with_suffix(".partial")
            names = str(gguf).encode(), str(partial).encode()
            if self._api.llama_model_quantize(*names, params):
                raise RuntimeError("llama.cpp could not convert the file")
            partial.rename(target)
        return target


def _chunks(batch: list[Request]) -> Any:
    """Prompts cut into batches of _BATCH; logits are wanted after each one's last token."""
    entries = [
        (token, position, sequence, position == len(request.ids) - 1)
        for sequence, request in enumerate(batch)
        for position, token in enumerate(request.ids)
    ]
    for start in range(0, len(entries), _BATCH):
        yield entries[start : start + _BATCH]
