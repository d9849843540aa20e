"""What a quantizer gives."""

from typing import NamedTuple, Protocol

from torch import Tensor


class QuantizedMatrix(NamedTuple):
    """A matrix (out_features, in_features) as small integers.

    value = number * scale + minimum; scales and minimums are (out_features, groups) of `group`
    features each, the last of which may be shorter. minimums is None where it is 0.
    """

    numbers: Tensor
    scales: Tensor
    minimums: Tensor | None
    group: int


class Quantizer(Protocol):
    """A format."""

    def quantize(self, weight: Tensor, importance: Tensor | None = None) -> QuantizedMatrix:
        """Quantize a float matrix (out_features, in_features).

        `importance` (in_features,) is how much an error of each feature's weights counts: the mean
        square of the inputs that it is multiplied with. With it, bounds are searched that make the
        error of the product small, though the largest weights are cut off; without, none are.
        """


def dequantize(matrix: QuantizedMatrix) -> Tensor:
    """The float32 matrix that the numbers stand for."""
    width = matrix.numbers.shape[1]
    values = matrix.numbers.float() * _spread(matrix.scales, matrix.group, width)
    if matrix.minimums is None:
        return values
    return values + _spread(matrix.minimums, matrix.group, width)


def _spread(groups: Tensor, group: int, width: int) -> Tensor:
    return groups.float().repeat_interleave(group, dim=1)[:, :width]
