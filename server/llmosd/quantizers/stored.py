"""Quantized matrices in a version's weights' file, and how everybody reads them.

A matrix NAME of (out, in) features is three tensors at most:

    NAME           int8 (out, in); or uint8 (out, in / 2), two numbers of four bits in a byte, the
                   first one low
    NAME.scales    (out, groups)
    NAME.minimums  (out, groups); of four bits only

Whoever asks for NAME gets the float32 matrix it stands for. The formats' own bounds are met exactly
by it, so quantizing it again, as an engine does that serves int8, gives the same numbers.
"""

from collections.abc import Callable, Collection

import torch
from torch import Tensor

from llmosd.quantizers.int4 import GROUP
from llmosd.quantizers.quantizer import QuantizedMatrix, dequantize

SCALES, MINIMUMS = ".scales", ".minimums"


def to_stored(name: str, matrix: QuantizedMatrix) -> dict[str, Tensor]:
    """The tensors of a matrix; numbers of four bits need an even number of in_features."""
    numbers = matrix.numbers
    if matrix.minimums is None:
        return {name: numbers, name + SCALES: matrix.scales}
    packed = numbers[:, 0::2] | (numbers[:, 1::2] << 4)
    return {
        name: packed.contiguous(),
        name + SCALES: matrix.scales,
        name + MINIMUMS: matrix.minimums,
    }


def logical(names: Collection[str]) -> list[str]:
    """The weights that a file has, by its tensors' names."""
    known = set(names)
    return [
        name
        for name in names
        if not any(
            name.endswith(end) and name.removesuffix(end) in known for end in (SCALES, MINIMUMS)
        )
    ]


def read_stored(name: str, names: Collection[str], read: Callable[[str], Tensor]) -> Tensor:
    """The weight `name` of a file that has the tensors `names`, whichever way it is kept."""
    tensor = read(name)
    if name + SCALES not in names:
        return tensor
    scales = read(name + SCALES)
    if name + MINIMUMS not in names:
        return dequantize(QuantizedMatrix(tensor, scales, None, tensor.shape[1]))
    numbers = torch.stack([tensor & 15, tensor >> 4], dim=-1).flatten(1)
    return dequantize(QuantizedMatrix(numbers, scales, read(name + MINIMUMS), GROUP))
