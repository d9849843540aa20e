"""llama.cpp through llama-cpp-python, on the GGUF file as it is; several requests one by one."""

import time
from itertools import islice

from benchmarks.peer import Request, Timing, missing, processors


class LlamaCpp:
    """The Python package has one sequence per context, so a batch is answered in turn."""

    name = "llama.cpp"

    def available(self) -> str:
        return missing("llama_cpp", "llama-cpp-python (it builds with a C++ compiler)")

    def load(self, gguf: str) -> str:
        from llama_cpp import Llama

        threads = processors()
        self._llama = Llama(
            gguf, n_ctx=2048, n_threads=threads, n_threads_batch=threads, verbose=False
        )
        return "the file's own Q4_1; several streams one after the other"

    def generate(self, batch: list[Request]) -> list[Timing]:
        began = time.perf_counter()
        return [self._one(request, began) for request in batch]

    def close(self) -> None:
        pass

    def _one(self, request: Request, began: float) -> Timing:
        self._llama.reset()
        first, drawn = 0.0, 0
        for _ in islice(self._llama.generate(request.ids, temp=0.0, top_k=1), request.tokens):
            first = first or time.perf_counter() - began
            drawn += 1
        return Timing(first, time.perf_counter() - began, drawn)
