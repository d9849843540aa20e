"""Eight bits, symmetric, one scale per output: as good as exact for weights."""

import torch
from torch import Tensor

from llmosd.quantizers.quantizer import QuantizedMatrix

_TOP = 127.0


class Int8:
    """number = round(value / scale), scale = the row's peak / 127."""

    def quantize(self, weight: Tensor) -> QuantizedMatrix:
        """Numbers int8; scales (out_features, 1) float32, 0 for a row of zeros."""
        wide = weight.float()
        scales = wide.abs().amax(dim=1, keepdim=True) / _TOP
        inverse = torch.where(scales > 0, 1 / scales, 0.0)
        return QuantizedMatrix(
            (wide * inverse).round().to(torch.int8), scales, None, weight.shape[1]
        )
