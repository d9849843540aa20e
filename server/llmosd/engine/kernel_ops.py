"""Ops in numba kernels: CPU, float32 arithmetic, bits independent of the batch."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from llmos_kernels.activation import gelu, silu_multiply
from llmos_kernels.attention import attend, rotate_and_store
from llmos_kernels.linear import linear, pack_weight
from llmos_kernels.low_rank import Adapters, add_low_rank
from llmos_kernels.norm import layer_norm, rms_norm
from llmos_kernels.recurrent import gru_cell, lstm_cell, rnn_cell
from llmosd.architectures.architecture import Changes, ForwardBatch, LayerCache, Ops, Place
from llmosd.engine.low_rank_table import WHICH, LowRankTable, Packed

_NO_BIAS = np.empty(0, np.float32)
_NO_ROPE = np.empty((1, 0), np.float32)


class KernelOps(Ops):
    """See Ops. A row's result has the same bits alone and in any batch.

    With dtype bfloat16 the matrices are kept as bfloat16, at half the memory and traffic;
    arithmetic, vectors and activations stay float32.
    """

    def __init__(self, _device: torch.device, dtype: torch.dtype) -> None:
        """Matrices are packed as `dtype`."""
        self._dtype = dtype
        self._layers = 0  # that adapters may change
        self._table: LowRankTable | None = None
        self._adapters: Adapters | None = None  # of the step that is computed

    def weight(self, tensor: Tensor, place: Place | None = None) -> Any:
        """Pack into panels."""
        tensor = tensor.to(self._dtype).contiguous()
        if self._dtype == torch.bfloat16:
            tensor = tensor.view(torch.uint16)
        if place is not None:
            self._layers = max(self._layers, place[0] + 1)
        return pack_weight(tensor.numpy()), tensor.shape[0], place

    def pack_adapter(self, changes: Changes) -> Packed:
        """See Adapted."""
        return self._adaptable().pack(changes)

    def set_adapter(self, number: int, layers: list[Packed] | None) -> None:
        """See Adapted."""
        self._adaptable().set(number, layers)

    def adapt(self, adapters: Tensor) -> None:
        """Note how rows go."""
        rows = len(adapters)
        self._adapters = self._adaptable().of(adapters, rows) if rows else None

    def _adaptable(self) -> LowRankTable:
        if self._table is None:
            self._table = LowRankTable(self._layers)
        return self._table

    def vector(self, tensor: Tensor) -> Tensor:
        """Widen; a copy, so that the weights' file can be unmapped."""
        return tensor.to(torch.float32, copy=True).contiguous()

    def table(self, tensor: Tensor) -> Tensor:
        """Cast, as a copy; the rows that are read are widened."""
        return tensor.to(self._dtype, copy=True).contiguous()

    def embed(self, table: Tensor, ids: Tensor) -> Tensor:
        """Rows of a table, float32."""
        return table[ids.long()].to(torch.float32)

    def linear(self, x: Tensor, weight: Any, bias: Tensor | None) -> Tensor:
        """X @ weight.T + bias."""
        packed, width, place = weight
        out = torch.empty(len(x), width)
        linear(x.numpy(), packed, _NO_BIAS if bias is None else bias.numpy(), out.numpy())
        if place is not None and self._adapters is not None:
            layer, name = place
            add_low_rank(x.numpy(), self._adapters, layer, WHICH[name], out.numpy())
        return out

    def rms_norm(self, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        """Root mean square normalization."""
        out = torch.empty_like(x)
        rms_norm(x.numpy(), weight.numpy(), np.float32(eps), out.numpy())
        return out

    def layer_norm(self, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        """Layer normalization."""
        out = torch.empty_like(x)
        layer_norm(x.numpy(), weight.numpy(), bias.numpy(), np.float32(eps), out.numpy())
        return out

    def silu_multiply(self, gate_up: Tensor) -> Tensor:
        """silu(first half) * second half."""
        out = torch.empty(len(gate_up), gate_up.shape[1] // 2)
        silu_multiply(gate_up.numpy(), out.numpy())
        return out

    def gelu(self, x: Tensor) -> Tensor:
        """GELU, tanh form."""
        out = torch.empty_like(x)
        gelu(x.numpy(), out.numpy())
        return out

    def lstm_cell(self, inputs: Tensor, states: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        """Next hidden and cell state; `cell` is overwritten."""
        out = torch.empty_like(cell)
        lstm_cell(inputs.numpy(), states.numpy(), cell.numpy(), out.numpy())
        return out, cell

    def gru_cell(self, inputs: Tensor, states: Tensor, hidden: Tensor) -> Tensor:
        """Next hidden state."""
        out = torch.empty_like(hidden)
        gru_cell(inputs.numpy(), states.numpy(), hidden.numpy(), out.numpy())
        return out

    def rnn_cell(self, inputs: Tensor, states: Tensor) -> Tensor:
        """Tanh of the sum."""
        out = torch.empty_like(inputs)
        rnn_cell(inputs.numpy(), states.numpy(), out.numpy())
        return out

    def attend(
        self,
        qkv: Tensor,
        rope: tuple[Tensor, Tensor] | None,
        cache: LayerCache,
        batch: ForwardBatch,
        window: int,
    ) -> Tensor:
        """Rotate and store, then attend tile by tile over the block tables."""
        heads = qkv.shape[1] - 2 * cache.keys.shape[1]
        return self._look(
            self.store(qkv, rope, cache, batch), heads, cache, batch, batch.positions, window
        )

    def store(
        self,
        qkv: Tensor,
        rope: tuple[Tensor, Tensor] | None,
        cache: LayerCache,
        batch: ForwardBatch,
    ) -> Tensor:
        """Rotate and store."""
        cosine, sine = (_NO_ROPE, _NO_ROPE) if rope is None else (t.numpy() for t in rope)
        positions, slots = batch.positions.numpy(), batch.slots.numpy()
        keys, values = cache.keys.numpy(), cache.values.numpy()
        rotate_and_store(qkv.numpy(), cosine, sine, positions, slots, keys, values)
        return qkv

    def look(
        self, queries: Tensor, heads: int, cache: LayerCache, batch: ForwardBatch, last: Tensor
    ) -> Tensor:
        """Tile by tile over the block tables."""
        return self._look(queries, heads, cache, batch, last, 0)

    def _look(
        self,
        queries: Tensor,
        heads: int,
        cache: LayerCache,
        batch: ForwardBatch,
        last: Tensor,
        window: int,
    ) -> Tensor:
        out = torch.empty(len(queries), heads, queries.shape[2])
        keys, values = cache.keys.numpy(), cache.values.numpy()
        tables, tiles = batch.tables.numpy(), batch.tiles.numpy()
        attend(queries.numpy(), keys, values, tables, tiles, last.numpy(), window, out.numpy())
        return out.view(len(queries), -1)
