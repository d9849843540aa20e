"""The largest of many floats, and sums of their exponentials, at the speed of memory.

A line is looked at once, in chunks of CHUNK: their largest values tell where the rest of the work
is. For the fifty most likely of 49,152 tokens that is fifty chunks, a fifteenth of the line.
"""

from typing import Any

import numpy as np

from llmos_kernels._jit import LANES, address, exp32, inlined, kernel
from llmos_kernels._lanes import peak_of, sum_of

CHUNK = 64
_SUM_CHUNK = 1024
assert CHUNK % LANES == 0
assert _SUM_CHUNK % LANES == 0


@kernel
def chunk_peaks(line: Any) -> Any:
    """The largest value of each chunk of a contiguous float32 line; the last one may be short."""
    whole = line.shape[0] // CHUNK
    peaks = np.empty(-(-line.shape[0] // CHUNK), np.float32)
    for chunk in range(whole):
        peaks[chunk] = peak_of(address(line, chunk * CHUNK), np.int64(CHUNK))
    if whole < peaks.shape[0]:
        peaks[whole] = _slow_peak(line[whole * CHUNK :])
    return peaks


@kernel
def peak(line: Any) -> Any:
    """The largest value of a line of at least one."""
    whole = line.shape[0] - line.shape[0] % LANES
    if whole == 0:
        return _slow_peak(line)
    largest = peak_of(address(line, 0), np.int64(whole))
    return max(largest, _slow_peak(line[whole:])) if whole < line.shape[0] else largest


@inlined
def _slow_peak(line: Any) -> Any:
    largest = line[0]
    for at in range(line.shape[0]):
        largest = max(largest, line[at])
    return largest


@kernel
def argmax(line: Any) -> Any:
    """Index of the largest value, the lowest index among equals."""
    peaks = chunk_peaks(line)
    largest = peak(peaks)
    for chunk in range(peaks.shape[0]):
        if peaks[chunk] == largest:
            for at in range(chunk * CHUNK, min((chunk + 1) * CHUNK, line.shape[0])):
                if line[at] == largest:
                    return at
    return 0


@kernel
def most_likely(line: Any, count: Any) -> Any:
    """Indices of the `count` largest values, largest first, the lower index first among equals."""
    count = min(count, line.shape[0])
    heap = np.empty(count, np.int64)
    if count == 0:
        return heap
    peaks = chunk_peaks(line)
    # As many values as there are peaks are at least as large as the least of these.
    floor = _nth_largest(peaks, count) if count < peaks.shape[0] else np.float32(-np.inf)
    held = 0
    for chunk in range(peaks.shape[0]):
        if not peaks[chunk] < floor:
            for at in range(chunk * CHUNK, min((chunk + 1) * CHUNK, line.shape[0])):
                if not line[at] < floor:
                    held = _keep(line, heap, held, at)
    for end in range(count - 1, 0, -1):
        heap[0], heap[end] = heap[end], heap[0]
        _sift(line, heap, 0, end)
    return heap


@inlined
def _keep(line: Any, heap: Any, held: Any, at: Any) -> Any:
    """Put an index into the heap while it has room, then instead of what ranks last."""
    size = heap.shape[0]
    if held < size:
        heap[held] = at
        held += 1
        if held == size:
            _order(line, heap)
    elif _after(line, heap[0], at):
        heap[0] = at
        _sift(line, heap, 0, size)
    return held


@inlined
def _order(line: Any, heap: Any) -> None:
    for root in range(heap.shape[0] // 2 - 1, -1, -1):
        _sift(line, heap, root, heap.shape[0])


@kernel
def _nth_largest(values: Any, count: Any) -> Any:
    """The `count`-th largest of more than `count` values."""
    heap = np.arange(count)
    _order(values, heap)
    for at in range(count, values.shape[0]):
        if values[at] > values[heap[0]]:
            heap[0] = at
            _sift(values, heap, 0, count)
    return values[heap[0]]


@inlined
def _after(line: Any, a: Any, b: Any) -> Any:
    """Whether index a ranks behind b: smaller value, or equal and later."""
    return line[a] < line[b] or (line[a] == line[b] and a > b)


@kernel
def _sift(line: Any, heap: Any, root: Any, size: Any) -> None:
    """Restore the heap below `root`; the element that ranks last is on top."""
    while True:
        child = 2 * root + 1
        if child >= size:
            break
        if child + 1 < size and _after(line, heap[child + 1], heap[child]):
            child += 1
        if not _after(line, heap[child], heap[root]):
            break
        heap[root], heap[child] = heap[child], heap[root]
        root = child


@kernel
def sum_exp(line: Any, shift: Any, factor: Any, least: Any, out: Any) -> Any:
    """Sum of e**((x - shift) * factor), float64; terms below `least` count as 0.

    `out` receives the terms, float32; it may be the line, and is empty where nobody wants them.
    """
    total, size = 0.0, line.shape[0]
    # Apart from the line, or the compiler could not know that its vectors do not overlap.
    terms = np.empty(_SUM_CHUNK, np.float32)
    for start in range(0, size, _SUM_CHUNK):
        part = line[start : start + _SUM_CHUNK]
        count = part.shape[0]
        for at in range(count):
            term = exp32((part[at] - shift) * factor)
            terms[at] = term if term >= least else np.float32(0.0)
        total += _sum(terms[:count])
        if out.shape[0] >= size:
            out[start : start + count] = terms[:count]
    return total


@inlined
def _sum(terms: Any) -> Any:
    """Float64; added up in float32."""
    total, whole = 0.0, terms.shape[0] - terms.shape[0] % LANES
    if whole:
        total += np.float64(sum_of(address(terms, 0), np.int64(whole)))
    for at in range(whole, terms.shape[0]):
        total += np.float64(terms[at])
    return total


@kernel
def reach(terms: Any, target: Any) -> Any:
    """Index of the first positive term at which the running sum exceeds `target`, else the last.

    Sums are added up as `sum_exp` does, so that a share of its total is found where it belongs.
    """
    running, last = 0.0, 0
    for start in range(0, terms.shape[0], _SUM_CHUNK):
        part = terms[start : start + _SUM_CHUNK]
        after = running + _sum(part)
        for at in range(part.shape[0] if after > target else 0):
            if part[at] > 0:
                running += np.float64(part[at])
                last = start + at
                if running > target:
                    return last
        if after > target:
            return last
        running = after
    for at in range(terms.shape[0] - 1, last, -1):
        if terms[at] > 0:
            return at
    return last


@kernel
def log_sum_exp(line: Any) -> Any:
    """log(sum(exp(line))), float32; within a chunk summed in float32, chunks in float64."""
    top, one = peak(line), np.float32(1.0)
    total = sum_exp(line, top, one, np.float32(0.0), np.empty(0, np.float32))
    return top + np.float32(np.log(total))
