"""The GPT-2 shape: learned positions, LayerNorm, GELU, mostly biases (Radford et al., 2019).

Weights have Hugging Face's names but are plain (out, in) matrices; the importer transposes them.
"""

import torch
from torch import Tensor

from llmosd.architectures.architecture import Cache, ForwardBatch, LayerCache, Ops, Weights
from llmosd.architectures.config import ModelConfig
from llmosd.architectures.head import head_weight


class GPT2:
    """Embeddings of token and position, blocks, norm, tied head."""

    def __init__(self, config: ModelConfig, weights: Weights, ops: Ops) -> None:
        """Take the weights by name; see Architecture."""
        self._config = config
        self._ops = ops
        embedding = weights("transformer.wte.weight")
        self._tokens = ops.table(embedding)
        self._positions = ops.table(weights("transformer.wpe.weight"))
        self._head = ops.weight(head_weight(config, weights, embedding))
        self._norm = _pair(config, weights, ops, "transformer.ln_f.")
        self._blocks = [
            _Block(config, weights, ops, f"transformer.h.{index}.")
            for index in range(config.num_layers)
        ]

    def forward(self, batch: ForwardBatch, cache: Cache) -> Tensor:
        """Hidden states (rows, hidden_size), after the last norm."""
        ops = self._ops
        hidden = ops.embed(self._tokens, batch.ids) + ops.embed(self._positions, batch.positions)
        for block, layer_cache in zip(self._blocks, cache.layers, strict=True):
            hidden = block.forward(hidden, layer_cache, batch)
        return ops.layer_norm(hidden, *self._norm, self._config.norm_eps)

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores (rows, vocab_size) of the next token."""
        return self._ops.linear(hidden, self._head, None)


class _Block:
    """Attention and feed-forward, each with its norm before it and a residual around it."""

    def __init__(self, config: ModelConfig, weights: Weights, ops: Ops, prefix: str) -> None:
        self._config = config
        self._ops = ops
        self._norm_1 = _pair(config, weights, ops, prefix + "ln_1.")
        self._norm_2 = _pair(config, weights, ops, prefix + "ln_2.")
        self._qkv = _linear(weights, ops, prefix + "attn.c_attn.", bias=config.qkv_bias)
        self._output = _linear(weights, ops, prefix + "attn.c_proj.", bias=config.output_bias)
        self._up = _linear(weights, ops, prefix + "mlp.c_fc.", bias=config.mlp_bias)
        self._down = _linear(weights, ops, prefix + "mlp.c_proj.", bias=config.mlp_bias)

    def forward(self, hidden: Tensor, cache: LayerCache, batch: ForwardBatch) -> Tensor:
        ops, eps = self._ops, self._config.norm_eps
        qkv = ops.linear(ops.layer_norm(hidden, *self._norm_1, eps), *self._qkv)
        heads = qkv.view(len(qkv), -1, self._config.head_dim)
        mixed = ops.attend(heads, None, cache, batch, 0)
        hidden = hidden + ops.linear(mixed, *self._output)
        inner = ops.gelu(ops.linear(ops.layer_norm(hidden, *self._norm_2, eps), *self._up))
        return hidden + ops.linear(inner, *self._down)


def _pair(config: ModelConfig, weights: Weights, ops: Ops, prefix: str) -> tuple[Tensor, Tensor]:
    """A norm's weight and bias; zeros where it has none."""
    weight = weights(prefix + "weight")
    bias = weights(prefix + "bias") if config.norm_bias else torch.zeros_like(weight)
    return ops.vector(weight), ops.vector(bias)


def _linear(weights: Weights, ops: Ops, prefix: str, *, bias: bool) -> tuple[object, Tensor | None]:
    """A product's weight and bias."""
    weight = ops.weight(weights(prefix + "weight"))
    return weight, ops.vector(weights(prefix + "bias")) if bias else None
