"""What a quantizer gives."""

from typing import NamedTuple, Protocol

from torch import Tensor


class QuantizedMatrix(NamedTuple):
    """A matrix (out_features, in_features) as small integers.

    value = number * scale + minimum; scales and minimums are (out_features, groups), each group
    as many features wide as `in_features` and `groups` say. minimums is None where it is 0.
    """

    numbers: Tensor
    scales: Tensor
    minimums: Tensor | None


class Quantizer(Protocol):
    """A format."""

    def quantize(self, weight: Tensor) -> QuantizedMatrix:
        """Quantize a float matrix (out_features, in_features)."""


def dequantize(matrix: QuantizedMatrix) -> Tensor:
    """The float32 matrix that the numbers stand for."""
    width = matrix.numbers.shape[1]
    per_group = -(-width // matrix.scales.shape[1])
    values = matrix.numbers.float() * _spread(matrix.scales, per_group, width)
    if matrix.minimums is None:
        return values
    return values + _spread(matrix.minimums, per_group, width)


def _spread(groups: Tensor, per_group: int, width: int) -> Tensor:
    return groups.float().repeat_interleave(per_group, dim=1)[:, :width]
