"""Arrays that begin with a cache line.

NumPy's begin 16 bytes behind one, so that every load of a line's width touches two. A matrix unit,
which loads nothing else, is slowed down by half.
"""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

LINE = 64


def aligned(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Zeros; large arrays come in huge pages, as NumPy's do."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.zeros(size + LINE, np.uint8)
    start = -memory.ctypes.data % LINE
    return memory[start : start + size].view(dtype).reshape(shape)


def realigned(array: NDArray[Any]) -> NDArray[Any]:
    """A copy that is aligned."""
    copy = aligned(array.shape, array.dtype)
    copy[...] = array
    return copy
