"""The paged cache's memory: keys and values of all layers, and vectors beside them."""

import math

import numpy as np
import torch
from torch import Tensor

from llmosd.architectures.architecture import LayerCache
from llmosd.architectures.config import ModelConfig
from llmosd.architectures.families.table import family_of

# Positions per block; llmos_kernels.attention is written for it.
BLOCK_TOKENS = 16


class KVCache:
    """Blocks of all layers. Pages of CPU memory become resident as blocks are first used."""

    block_tokens = BLOCK_TOKENS

    def __init__(
        self,
        config: ModelConfig,
        num_blocks: int,
        device: torch.device,
        dtype: torch.dtype,
        *,
        transposed_keys: bool = True,
    ) -> None:
        """Allocate num_blocks blocks of BLOCK_TOKENS positions per layer.

        Keys have the shape that LayerCache says. In memory they lie so, too, where
        `transposed_keys`; else as values do, which is what a GPU's matrix units read.
        """
        memory = family_of(config.architecture).memory(config)
        heads, layers = config.num_kv_heads, memory.layers
        shape = (layers, num_blocks, heads, BLOCK_TOKENS, config.head_dim)
        values = _zeros(shape, device, dtype)
        if transposed_keys:
            keys = _zeros((*shape[:3], config.head_dim, BLOCK_TOKENS), device, dtype)
        else:
            keys = _zeros(shape, device, dtype).transpose(3, 4)
        self.whole = LayerCache(keys, values)
        vectors = (num_blocks, memory.vectors, config.hidden_size)
        self.vectors = _zeros(vectors, device, torch.float32)
        self.layers = [LayerCache(*pair) for pair in zip(*self.whole, strict=True)]

    def copy(self, source: int, target: int) -> None:
        """Copy one block's content in every layer."""
        for part in self.whole:
            part[:, target] = part[:, source]
        self.vectors[target] = self.vectors[source]


def _zeros(shape: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    """Zeros, because attention reads a block's unused positions before masking them.

    torch.zeros writes them, and so makes every page resident; the kernels' are untouched pages.
    """
    count = math.prod(shape) * dtype.itemsize
    if device.type == "cpu" and count:
        from llmos_kernels.aligned import aligned  # noqa: PLC0415 - not on an accelerator's path

        return torch.from_numpy(aligned((count,), np.uint8)).view(dtype).view(shape)
    return torch.zeros(shape, device=device, dtype=dtype)
