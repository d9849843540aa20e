"""Ops on an NVIDIA GPU: Triton kernels around cuBLAS, no word with the host, any architecture."""

import torch
from torch import Tensor
from torch.nn import functional

from llmosd.architectures.architecture import ForwardBatch, LayerCache, Place
from llmosd.architectures.torch_ops import Product, TorchOps
from llmosd.engine.cuda.attention import attend
from llmosd.engine.cuda.matvec import matvec
from llmosd.engine.cuda.pointwise import rms_norm, silu_multiply
from llmosd.engine.cuda.rotation import rotate_and_store

# Stands in for a device's multiprocessors where Triton interprets its kernels on a CPU.
_INTERPRETED_PROCESSORS = 8


class CudaOps(TorchOps):
    """See Ops. Nothing here waits for the device, so that a step can be captured as a graph.

    One row's products are matrix-vector kernels of our own, which do the norm before them and the
    gate or residual after them on the way; more rows go through cuBLAS.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        """Weights are put on `device` as `dtype`."""
        super().__init__(device, dtype)
        self._processors = _INTERPRETED_PROCESSORS
        if device.type == "cuda":
            self._processors = torch.cuda.get_device_properties(device).multi_processor_count

    def weight(self, tensor: Tensor, place: Place | None = None) -> Product:
        """Move and cast; contiguous, as the kernels read it."""
        return Product(super().weight(tensor).matrix.contiguous(), place)

    def embed(self, table: Tensor, ids: Tensor) -> Tensor:
        """Rows of a table."""
        return functional.embedding(ids, table)

    def linear(self, x: Tensor, weight: Product, bias: Tensor | None) -> Tensor:
        """X @ weight.T + bias."""
        if len(x) == 1:
            return self._changed(matvec(x, weight.matrix, bias), x, weight.place)
        return super().linear(x, weight, bias)

    def norm_linear(
        self, x: Tensor, norm: Tensor, eps: float, weight: Product, bias: Tensor | None
    ) -> Tensor:
        """Norm and product; one kernel for one row."""
        if self._plain(x):
            return matvec(x, weight.matrix, bias, norm=(norm, eps))
        return super().norm_linear(x, norm, eps, weight, bias)

    def norm_gate(
        self, x: Tensor, norm: Tensor, eps: float, weight: Product, bias: Tensor | None
    ) -> Tensor:
        """Norm, product and gate; one kernel for one row."""
        if self._plain(x):
            return matvec(x, weight.matrix, bias, norm=(norm, eps), gated=True)
        return super().norm_gate(x, norm, eps, weight, bias)

    def add_linear(self, hidden: Tensor, x: Tensor, weight: Product, bias: Tensor | None) -> Tensor:
        """Product and sum in one kernel; `hidden` is overwritten where there are more rows."""
        if self._adapted:
            return super().add_linear(hidden, x, weight, bias)
        if len(x) == 1:
            return matvec(x, weight.matrix, bias, residual=hidden)
        hidden.addmm_(x, weight.matrix.t())
        return hidden if bias is None else hidden.add_(bias)

    def _plain(self, x: Tensor) -> bool:
        """Whether it is one row, and nothing comes between its product and what is done with it."""
        return len(x) == 1 and not self._adapted

    def rms_norm(self, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        """Normalize in float32."""
        return rms_norm(x, weight, eps)

    def silu_multiply(self, gate_up: Tensor) -> Tensor:
        """In float32."""
        return silu_multiply(gate_up)

    def attend(
        self,
        qkv: Tensor,
        rope: tuple[Tensor, Tensor] | None,
        cache: LayerCache,
        batch: ForwardBatch,
        window: int,
    ) -> Tensor:
        """Rotate and store, then attend over the block tables; rows without a slot are padding."""
        rotate_and_store(qkv, rope, cache, batch)
        return attend(qkv, cache, batch, window, self._processors).view(len(qkv), -1)
