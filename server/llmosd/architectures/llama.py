"""The Llama family: Llama, SmolLM, Mistral, Qwen2 (biases), Qwen3 (normalized queries and keys).

Touvron et al., 2023; Jiang et al., 2023; Qwen team, 2024 and 2025. One network; the members differ
by switches of ModelConfig. Parameter names are Hugging Face's.
"""

from typing import Any

import torch
from torch import Tensor

from llmosd.architectures.architecture import (
    Cache,
    Changes,
    ForwardBatch,
    LayerCache,
    Ops,
    Weights,
)
from llmosd.architectures.config import ModelConfig
from llmosd.architectures.families.llama import PRODUCTS
from llmosd.architectures.head import head_weight
from llmosd.architectures.rope import rope_tables
from llmosd.architectures.spans import ends_of


class Llama:
    """Embedding, layers, norm, head."""

    def __init__(self, config: ModelConfig, weights: Weights, ops: Ops) -> None:
        """Take the weights by name; see Architecture."""
        self._config = config
        self._ops = ops
        embedding = weights("model.embed_tokens.weight")
        self._embedding = ops.table(embedding)
        self._head = ops.weight(head_weight(config, weights, embedding))
        self._norm = ops.vector(weights("model.norm.weight"))
        cosine, sine = rope_tables(config)
        self._rope = ops.vector(cosine), ops.vector(sine)
        self._layers = [
            Layer(config, weights, ops, f"model.layers.{index}.", index)
            for index in range(config.num_layers)
        ]

    def forward(self, batch: ForwardBatch, cache: Cache) -> Tensor:
        """Hidden states (rows, hidden_size), after the last norm."""
        self._ops.adapt(batch.adapters)
        hidden = self._ops.embed(self._embedding, batch.ids)
        for layer, layer_cache in zip(self._layers, cache.layers, strict=True):
            hidden = layer.forward(hidden, self._rope, layer_cache, batch)
        return self._ops.rms_norm(hidden, self._norm, self._config.norm_eps)

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores (rows, vocab_size) of the next token."""
        return self._ops.linear(hidden, self._head, None)

    def pack_adapter(self, changes: Changes) -> Any:
        """See Adapted."""
        return self._ops.pack_adapter(changes)

    def set_adapter(self, number: int, layers: list[Any] | None) -> None:
        """See Adapted."""
        self._ops.set_adapter(number, layers)


class Layer:
    """Attention and feed-forward, each with its norm before it and a residual around it."""

    def __init__(
        self,
        config: ModelConfig,
        weights: Weights,
        ops: Ops,
        prefix: str,
        index: int | None = None,
    ) -> None:
        """Take the weights whose names begin with `prefix`; adapters know the layer by `index`."""

        def joined(product: str, kind: str) -> Tensor:
            return torch.cat([weights(f"{prefix}{name}.{kind}") for name in PRODUCTS[product]])

        def weight(product: str) -> Any:
            place = None if index is None else (index, product)
            return ops.weight(joined(product, "weight"), place)

        def bias(product: str) -> Tensor:
            return ops.vector(joined(product, "bias"))

        self._config = config
        self._ops = ops
        self._input_norm = ops.vector(weights(prefix + "input_layernorm.weight"))
        self._post_norm = ops.vector(weights(prefix + "post_attention_layernorm.weight"))
        self._qkv, self._output, self._gate_up, self._down = map(weight, PRODUCTS)
        self._qkv_bias = bias("qkv") if config.qkv_bias else None
        self._output_bias = bias("output") if config.output_bias else None
        self._gate_up_bias = bias("gate_up") if config.mlp_bias else None
        self._down_bias = bias("down") if config.mlp_bias else None
        self._qk_norms = (
            tuple(ops.vector(weights(f"{prefix}self_attn.{p}_norm.weight")) for p in "qk")
            if config.qk_norm
            else None
        )

    def forward(
        self,
        hidden: Tensor,
        rope: tuple[Tensor, Tensor],
        cache: LayerCache,
        batch: ForwardBatch,
    ) -> Tensor:
        """(rows, hidden) after the layer, each row having seen those before it."""
        mixed = self._ops.attend(
            self.heads(hidden), rope, cache, batch, self._config.sliding_window
        )
        return self.feed(self.add(hidden, mixed))

    def heads(self, hidden: Tensor) -> Tensor:
        """Queries, keys and values, (rows, heads + 2 * kv_heads, head_dim)."""
        eps = self._config.norm_eps
        qkv = self._ops.norm_linear(hidden, self._input_norm, eps, self._qkv, self._qkv_bias)
        return self._split(qkv)

    def add(self, hidden: Tensor, mixed: Tensor) -> Tensor:
        """The residual after attention; `hidden` may be overwritten."""
        return self._ops.add_linear(hidden, mixed, self._output, self._output_bias)

    def feed(self, hidden: Tensor) -> Tensor:
        """The residual after the feed-forward network; `hidden` may be overwritten."""
        ops, eps = self._ops, self._config.norm_eps
        inner = ops.norm_gate(hidden, self._post_norm, eps, self._gate_up, self._gate_up_bias)
        return ops.add_linear(hidden, inner, self._down, self._down_bias)

    def see_all(
        self, hidden: Tensor, rope: tuple[Tensor, Tensor], cache: LayerCache, batch: ForwardBatch
    ) -> Tensor:
        """(rows, hidden) after the layer, each row having seen its whole span."""
        queries = self._ops.store(self.heads(hidden), rope, cache, batch)
        ends = ends_of(batch)
        mixed = self._ops.look(queries, self._config.num_heads, cache, batch, ends)
        return self.feed(self.add(hidden, mixed))

    def _split(self, qkv: Tensor) -> Tensor:
        """(rows, heads + 2 * kv_heads, head_dim), queries and keys normalized where they are."""
        config = self._config
        heads = qkv.view(len(qkv), -1, config.head_dim)
        if self._qk_norms is not None:
            ends = (config.num_heads, config.num_heads + config.num_kv_heads)
            for norm, start, end in zip(self._qk_norms, (0, ends[0]), ends, strict=True):
                part = heads[:, start:end]
                flat = part.reshape(-1, config.head_dim)
                part.copy_(self._ops.rms_norm(flat, norm, config.norm_eps).view(part.shape))
        return heads
