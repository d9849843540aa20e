"""Ops in plain torch: any device, float32 or bfloat16. The reference, and what CudaOps adds to."""

from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from llmosd.architectures.architecture import (
    Changes,
    ForwardBatch,
    LayerCache,
    LowRank,
    Ops,
    Place,
)
from llmosd.architectures.rope import rotate


class Product(NamedTuple):
    """A weight (out, in), and where adapters change its products."""

    matrix: Tensor
    place: Place | None


class TorchOps(Ops):
    """See Ops. Rows are independent in value, but bits may change with the number of rows."""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        """Weights are put on `device` as `dtype`."""
        self._device = device
        self._dtype = dtype
        self._adapters: dict[int, dict[Place, LowRank]] = {}
        self._adapted: list[tuple[int, slice]] = []  # of the step: adapters, and rows through them

    def weight(self, tensor: Tensor, place: Place | None = None) -> Product:
        """Move and cast; a copy, so that the weights' file can be unmapped."""
        return Product(tensor.to(self._device, self._dtype, copy=True), place)

    def pack_adapter(self, changes: Changes) -> Changes:
        """Move and cast."""
        return {
            name: LowRank(*(part.to(self._device, self._dtype) for part in change))
            for name, change in changes.items()
        }

    def set_adapter(self, number: int, layers: list[Changes] | None) -> None:
        """See Adapted."""
        self._adapters.pop(number, None)
        if layers is not None:
            self._adapters[number] = {
                (layer, name): change
                for layer, changes in enumerate(layers)
                for name, change in changes.items()
            }

    def adapt(self, adapters: Tensor) -> None:
        """Note how rows go: neighbours that go the same way, together."""
        self._adapted = []
        first = 0
        for number, group in groupby(adapters.tolist()):
            end = first + len(list(group))
            if number:
                self._adapted.append((number, slice(first, end)))
            first = end

    def vector(self, tensor: Tensor) -> Tensor:
        """Move and cast; rotary tables and norms keep float32 until they are used."""
        return tensor.to(self._device, torch.float32, copy=True)

    def table(self, tensor: Tensor) -> Tensor:
        """Move and cast; a copy, so that the weights' file can be unmapped."""
        return tensor.to(self._device, self._dtype, copy=True)

    def embed(self, table: Tensor, ids: Tensor) -> Tensor:
        """Rows of a table."""
        return table[ids.long()]

    def linear(self, x: Tensor, weight: Product, bias: Tensor | None) -> Tensor:
        """X @ weight.T + bias."""
        bias = None if bias is None else bias.to(x.dtype)
        return self._changed(functional.linear(x, weight.matrix, bias), x, weight.place)

    def _changed(self, out: Tensor, x: Tensor, place: Place | None) -> Tensor:
        """The product with what adapters add to it, which may be `out` itself."""
        if place is None:
            return out
        for number, rows in self._adapted:
            change = self._adapters[number].get(place)
            if change is not None:
                lowered = functional.linear(x[rows], change.down)
                out[rows] += functional.linear(lowered, change.up)
        return out

    def rms_norm(self, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        """Normalize in float32."""
        wide = x.float()
        scaled = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)
        return (scaled * weight).to(x.dtype)

    def layer_norm(self, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        """Normalize in float32."""
        return functional.layer_norm(x.float(), weight.shape, weight, bias, eps).to(x.dtype)

    def silu_multiply(self, gate_up: Tensor) -> Tensor:
        """silu(first half) * second half."""
        gate, up = gate_up.chunk(2, dim=-1)
        return functional.silu(gate) * up

    def gelu(self, x: Tensor) -> Tensor:
        """GELU, tanh form."""
        return functional.gelu(x, approximate="tanh")

    def lstm_cell(self, inputs: Tensor, states: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        """In float32."""
        enter, forget, value, leave = (inputs.float() + states.float()).chunk(4, dim=-1)
        cell = forget.sigmoid() * cell + enter.sigmoid() * value.tanh()
        return (leave.sigmoid() * cell.tanh()).to(inputs.dtype), cell

    def gru_cell(self, inputs: Tensor, states: Tensor, hidden: Tensor) -> Tensor:
        """In float32."""
        wide = (part.float().chunk(3, dim=-1) for part in (inputs, states))
        (reset, update, new), (reset_2, update_2, new_2) = wide
        update = (update + update_2).sigmoid()
        new = torch.tanh(new + (reset + reset_2).sigmoid() * new_2)
        return ((1 - update) * new + update * hidden.float()).to(inputs.dtype)

    def rnn_cell(self, inputs: Tensor, states: Tensor) -> Tensor:
        """Tanh of the sum."""
        return torch.tanh(inputs + states)

    def attend(
        self,
        qkv: Tensor,
        rope: tuple[Tensor, Tensor] | None,
        cache: LayerCache,
        batch: ForwardBatch,
        window: int,
    ) -> Tensor:
        """Store, then attend sequence by sequence over the gathered blocks."""
        heads = qkv.shape[1] - 2 * cache.keys.shape[1]
        qkv = self.store(qkv, rope, cache, batch)
        return self._look(qkv[:, :heads], cache, batch, batch.positions, window)

    def store(
        self,
        qkv: Tensor,
        rope: tuple[Tensor, Tensor] | None,
        cache: LayerCache,
        batch: ForwardBatch,
    ) -> Tensor:
        """Rotate queries and keys; scatter keys and values."""
        kv_heads = cache.keys.shape[1]
        query, key, value = qkv.split([qkv.shape[1] - 2 * kv_heads, kv_heads, kv_heads], dim=1)
        if rope is not None:
            cosine, sine = (table[batch.positions.long()].unsqueeze(1) for table in rope)
            query, key = (rotate(part, cosine, sine) for part in (query, key))
        block = cache.values.shape[2]
        blocks, offsets = batch.slots // block, batch.slots % block
        cache.keys[blocks, :, :, offsets] = key
        cache.values[blocks, :, offsets] = value
        return query

    def look(
        self, queries: Tensor, heads: int, cache: LayerCache, batch: ForwardBatch, last: Tensor
    ) -> Tensor:
        """Sequence by sequence over the gathered blocks."""
        return self._look(queries[:, :heads], cache, batch, last, 0)

    def _look(
        self, query: Tensor, cache: LayerCache, batch: ForwardBatch, last: Tensor, window: int
    ) -> Tensor:
        out = torch.empty_like(query)
        for sequence, (start, count) in enumerate(batch.spans):
            rows = slice(start, start + count)
            table = batch.tables[sequence]
            out[rows] = _attend_one(query[rows], last[rows], cache, table, window)
        return out.reshape(len(query), -1)


def _attend_one(
    query: Tensor, positions: Tensor, cache: LayerCache, table: Tensor, window: int
) -> Tensor:
    """Attention of one sequence's rows (rows, heads, head_dim) over its blocks."""
    context = int(positions[-1]) + 1
    block = cache.values.shape[2]
    used = table[: -(-context // block)].long()
    keys = cache.keys[used].permute(1, 0, 3, 2).flatten(1, 2)[:, :context]
    values = cache.values[used].transpose(0, 1).flatten(1, 2)[:, :context]
    seen = torch.arange(context, device=query.device)
    distance = positions.long().unsqueeze(1) - seen
    mask = (distance >= 0) & (distance < window) if window else distance >= 0
    mixed = functional.scaled_dot_product_attention(
        query.transpose(0, 1).unsqueeze(0),
        keys.to(query.dtype).unsqueeze(0),
        values.to(query.dtype).unsqueeze(0),
        attn_mask=mask,
        enable_gqa=True,
    )
    return mixed[0].transpose(0, 1)
