"""A weight on its way from a file to the store, in pieces small enough for any machine."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from llmosd.errors import DataCorrupt, InvalidField
from llmosd.jobs.importing.dequantize import bfloat16_to_float
from llmosd.jobs.importing.strangers import shown
from llmosd.store.manifest import Dtype

PIECE = 1 << 20
"""Elements of a piece, about."""

ITEM_BYTES: dict[Dtype, int] = {"float32": 4, "float16": 2, "bfloat16": 2}

NUMPY: dict[Dtype, np.dtype[Any]] = {
    "float32": np.dtype("<f4"),
    "float16": np.dtype("<f2"),
    "bfloat16": np.dtype("<u2"),  # numpy has none: its bits
}


class Weight(NamedTuple):
    """One weight. `pieces` yields flat arrays of NUMPY[dtype] that together are the weight."""

    shape: tuple[int, ...]
    dtype: Dtype
    pieces: Callable[[], Iterator[NDArray[Any]]]

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))


def transformed(weight: Weight, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Weight:
    """The weight after `change`, which is given the whole array and keeps the number of elements.

    Needs memory for the weight twice.
    """

    def pieces() -> Iterator[NDArray[Any]]:
        whole = np.concatenate(list(weight.pieces()))
        yield np.ascontiguousarray(change(whole.reshape(weight.shape))).reshape(-1)

    return weight._replace(pieces=pieces)


def transposed(weight: Weight) -> Weight:
    """The weight of shape [inputs, outputs] as [outputs, inputs]."""
    return transformed(weight, np.transpose)._replace(shape=weight.shape[::-1])


def checked_pieces(name: str, weight: Weight, dtype: Dtype) -> Iterator[NDArray[Any]]:
    """The pieces as `dtype`; raises DataCorrupt at a number that is not finite.

    Raises InvalidField where finite numbers do not fit `dtype`.
    """
    finite, convert = _FINITE[weight.dtype], _CONVERT[weight.dtype, dtype]
    for piece in weight.pieces():
        if not finite(piece):
            raise DataCorrupt(f"weight {shown(name)} holds NaN or infinity")
        changed = convert(piece)
        if dtype != weight.dtype and not _FINITE[dtype](changed):
            raise InvalidField.of(
                "dtype", f"weight {shown(name)} has numbers too large for {dtype}"
            )
        yield changed


def _finite(piece: NDArray[Any]) -> bool:
    return bool(np.isfinite(piece).all())


def _finite_bfloat16(piece: NDArray[Any]) -> bool:
    exponent = np.uint16(0x7F80)
    return not bool(((piece & exponent) == exponent).any())


def _same(piece: NDArray[Any]) -> NDArray[Any]:
    return piece


def _to_float32(piece: NDArray[Any]) -> NDArray[Any]:
    return piece.astype(np.float32)


def _to_float16(piece: NDArray[Any]) -> NDArray[Any]:
    with np.errstate(over="ignore"):
        return piece.astype(np.float16)


def _to_bfloat16(piece: NDArray[Any]) -> NDArray[Any]:
    """Round to nearest, ties to even, as torch does; the input is finite."""
    bits = np.ascontiguousarray(piece, np.float32).view(np.uint32)
    odd = (bits >> np.uint32(16)) & np.uint32(1)
    return ((bits + np.uint32(0x7FFF) + odd) >> np.uint32(16)).astype(np.uint16)


_FINITE: dict[Dtype, Callable[[NDArray[Any]], bool]] = {
    "float32": _finite,
    "float16": _finite,
    "bfloat16": _finite_bfloat16,
}

_CONVERT: dict[tuple[Dtype, Dtype], Callable[[NDArray[Any]], NDArray[Any]]] = {
    ("float32", "float32"): _same,
    ("float32", "float16"): _to_float16,
    ("float32", "bfloat16"): _to_bfloat16,
    ("float16", "float32"): _to_float32,
    ("float16", "float16"): _same,
    ("float16", "bfloat16"): _to_bfloat16,
    ("bfloat16", "float32"): bfloat16_to_float,
    ("bfloat16", "float16"): lambda piece: _to_float16(bfloat16_to_float(piece)),
    ("bfloat16", "bfloat16"): _same,
}
