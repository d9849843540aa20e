"""`python -m benchmarks.kernels`: what the machine and single kernels do, as a line of JSON.

Runs with an engine's environment: its threads, its OpenMP.
"""

import json
import time
from collections.abc import Callable
from statistics import median

import numpy as np
from numba import get_num_threads, prange, set_num_threads

from benchmarks.peer import processors
from llmos_kernels._jit import address, parallel_kernel
from llmos_kernels._lanes import sum_of
from llmos_kernels.sampling import BIAS, PARAMS, SEEN, sample

_ROWS, _VOCABULARY = 32, 49_152
_BYTES = 512 * 1024 * 1024  # no cache holds it


@parallel_kernel
def _read(data, sums):
    share = data.shape[0] // sums.shape[0]
    for part in prange(sums.shape[0]):
        sums[part] = sum_of(address(data, part * share), np.int64(share))


def bandwidth() -> float:
    """Bytes per second that all threads read from memory together: the best of several runs."""
    data, sums = np.ones(_BYTES // 4, np.float32), np.zeros(get_num_threads(), np.float32)
    return _BYTES / min(_times(lambda: _read(data, sums), 10))


def sampling(**options: float) -> float:
    """Seconds for a batch of 32 rows: the median."""
    params = np.zeros(_ROWS, PARAMS)
    for name, value in {"repetition": 1.0, "num_logprobs": -1, **options}.items():
        params[name] = value
    random = np.random.default_rng(0)
    logits = random.standard_normal((_ROWS, _VOCABULARY), np.float32) * 3
    lines, starts = np.empty_like(logits), np.zeros(_ROWS + 1, np.int64)
    seeds, places = np.arange(_ROWS, dtype=np.uint64), np.zeros((_ROWS, 2), np.int64)
    tokens, logprobs = np.empty(_ROWS, np.int32), np.empty(_ROWS, np.float32)
    top = np.empty((_ROWS, 1), np.int32), np.empty((_ROWS, 1), np.float32)
    none = np.empty((0, 0), np.int32), np.full(_ROWS, -1, np.int32)

    def once() -> None:
        sample(
            lines, params, seeds, places, np.empty(0, SEEN), starts, np.empty(0, BIAS), starts,
            *none, tokens, logprobs, *top,
        )  # fmt: skip

    return median(_times(once, 40, prepare=lambda: np.copyto(lines, logits)))


def _times(
    action: Callable[[], None], runs: int, prepare: Callable[[], None] = lambda: None
) -> list[float]:
    taken = []
    for _ in range(runs + 1):  # the first compiles
        prepare()
        began = time.perf_counter()
        action()
        taken.append(time.perf_counter() - began)
    return taken[1:]


def main() -> None:
    """Print all figures."""
    set_num_threads(processors())
    figures = {
        "bandwidth": bandwidth(),
        "sampling, top-k 50, top-p 0.9": sampling(temperature=1.0, top_k=50, top_p=0.9),
        "sampling, top-p 0.9": sampling(temperature=1.0, top_p=0.9),
        "sampling, greedy": sampling(temperature=0.0, top_p=1.0),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
