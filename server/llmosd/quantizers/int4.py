"""Four bits with a scale and a minimum per group of 32 features: GGUF's Q4_1.

Symmetric groups of four bits cost SmolLM2-135M 41 % of perplexity; these cost nothing measurable
where the file was Q4_1 already, which they reproduce exactly.
"""

from itertools import product

import torch
from torch import Tensor
from torch.nn import functional

from llmosd.quantizers.quantizer import QuantizedMatrix

GROUP = 32
_TOP = 15.0
_LARGEST = 65504.0  # of float16
# Shares of a group's range that may be cut off at either end.
_CUTS = (0.0, 0.03, 0.06, 0.1, 0.15)


class Int4:
    """number = round((value - minimum) / scale), scale = (peak - minimum) / 15."""

    def quantize(self, weight: Tensor, importance: Tensor | None = None) -> QuantizedMatrix:
        """Numbers uint8 below 16; scales and minimums (out_features, groups) float16."""
        rows, width = weight.shape
        groups = _grouped(weight.float())
        low, high = groups.amin(-1, keepdim=True), groups.amax(-1, keepdim=True)
        numbers, scales, minimums = _numbers(groups, low, high)
        if importance is not None:
            counts = functional.pad(importance.float()[None], (0, -width % GROUP))
            counts = counts.view(1, -1, GROUP)
            span = high - low
            least = _error(groups, numbers, scales, minimums, counts)
            for bottom, top in list(product(_CUTS, _CUTS))[1:]:
                tried = _numbers(groups, low + bottom * span, high - top * span)
                error = _error(groups, *tried, counts)
                better = error < least
                numbers, scales, minimums = (
                    torch.where(better, new, old)
                    for new, old in zip(tried, (numbers, scales, minimums), strict=True)
                )
                least = torch.where(better, error, least)
        kept = numbers.to(torch.uint8).view(rows, -1)[:, :width]
        return QuantizedMatrix(kept.contiguous(), scales.squeeze(-1), minimums.squeeze(-1), GROUP)


def _grouped(wide: Tensor) -> Tensor:
    """(rows, groups, 32): the last group may be short; repeating its end changes no bound."""
    rows, width = wide.shape
    return functional.pad(wide, (0, -width % GROUP), mode="replicate").view(rows, -1, GROUP)


def _numbers(groups: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Numbers, scales and minimums of groups between two bounds."""
    minimums = low.clamp(-_LARGEST, _LARGEST).half()
    scales = ((high - low) / _TOP).clamp(max=_LARGEST).half()
    step = scales.float()
    inverse = torch.where(step > 0, 1 / step, 0.0)
    numbers = ((groups - minimums.float()) * inverse).round().clamp(0, _TOP)
    return numbers, scales, minimums


def _error(
    groups: Tensor, numbers: Tensor, scales: Tensor, minimums: Tensor, importance: Tensor
) -> Tensor:
    """(rows, groups, 1): what the product is off by, squared; see Quantizer."""
    off = numbers * scales.float() + minimums.float() - groups
    return (off**2 * importance).sum(-1, keepdim=True)
