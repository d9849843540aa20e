"""Eight bits, symmetric, one scale per output: as good as exact for weights."""

import torch
from torch import Tensor

from llmosd.quantizers.quantizer import QuantizedMatrix

_TOP = 127.0
# Shares of the peak that the scale is tried with; below, cutting off costs more than it brings.
_SHARES = (1.0, 0.98, 0.95, 0.92, 0.88, 0.84, 0.8, 0.75)


class Int8:
    """number = round(value / scale), scale = the row's peak / 127, or a smaller one; see search."""

    def quantize(self, weight: Tensor, importance: Tensor | None = None) -> QuantizedMatrix:
        """Numbers int8; scales (out_features, 1) float32, 0 for a row of zeros."""
        wide = weight.float()
        peaks = wide.abs().amax(dim=1, keepdim=True) / _TOP
        numbers, scales = _numbers(wide, peaks), peaks
        if importance is not None:
            least = _error(wide, numbers, scales, importance)
            for share in _SHARES[1:]:
                tried = peaks * share
                made = _numbers(wide, tried)
                error = _error(wide, made, tried, importance)
                better = error < least
                numbers, scales = (
                    torch.where(better, made, numbers),
                    torch.where(better, tried, scales),
                )
                least = torch.where(better, error, least)
        return QuantizedMatrix(numbers.to(torch.int8), scales, None, weight.shape[1])


def _numbers(wide: Tensor, scales: Tensor) -> Tensor:
    inverse = torch.where(scales > 0, 1 / scales, 0.0)
    return (wide * inverse).round().clamp(-_TOP, _TOP)


def _error(wide: Tensor, numbers: Tensor, scales: Tensor, importance: Tensor) -> Tensor:
    """(out_features, 1): the mean square that the product is off by, were inputs uncorrelated."""
    return ((numbers * scales - wide) ** 2 * importance).sum(1, keepdim=True)
