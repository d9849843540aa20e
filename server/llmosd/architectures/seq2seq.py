"""The Transformer encoder-decoder (Vaswani et al., 2017), of the Llama family's layers.

The encoder's layers see the whole prompt; the decoder's see the answer so far, and the encoder's
outputs through a second attention, which has no positions. The cache's first layers hold what
answers attend to in themselves, its last ones what they attend to in the prompt.
"""

import torch
from torch import Tensor

from llmosd.architectures.architecture import ForwardBatch, LayerCache, Ops, PagedStates, Weights
from llmosd.architectures.config import ModelConfig
from llmosd.architectures.head import head_weight
from llmosd.architectures.llama import Layer
from llmosd.architectures.rope import rope_tables
from llmosd.architectures.spans import Halves, halves_of


class Seq2Seq:
    """Embedding, encoder, decoder, head."""

    def __init__(self, config: ModelConfig, weights: Weights, ops: Ops) -> None:
        """Take the weights by name; see Architecture."""
        self._config = config
        self._ops = ops
        embedding = weights("embed_tokens.weight")
        self._embedding = ops.table(embedding)
        self._head = ops.weight(head_weight(config, weights, embedding))
        cosine, sine = rope_tables(config)
        self._rope = ops.vector(cosine), ops.vector(sine)
        self._encoder = [
            Layer(config, weights, ops, f"encoder.layers.{index}.")
            for index in range(config.encoder_layers)
        ]
        self._encoder_norm = ops.vector(weights("encoder.norm.weight"))
        self._decoder = [
            _DecoderLayer(config, weights, ops, f"decoder.layers.{index}.")
            for index in range(config.num_layers)
        ]
        self._decoder_norm = ops.vector(weights("decoder.norm.weight"))

    def forward(self, batch: ForwardBatch, cache: PagedStates) -> Tensor:
        """Hidden states (rows, hidden_size) after the last norm; zeros within prompts."""
        block = cache.whole.values.shape[3]
        halves = halves_of(batch, cache.vectors[:, 0, 0], self._config.start_id, block)
        own, others = cache.layers[: self._config.num_layers], cache.layers[-len(self._decoder) :]
        if halves.source is not None:
            self._read(halves.source, others)
        hidden = self._ops.embed(self._embedding, halves.target.ids)
        for layer, answer, prompt in zip(self._decoder, own, others, strict=True):
            hidden = layer.forward(hidden, self._rope, answer, prompt, halves)
        hidden = self._ops.rms_norm(hidden, self._decoder_norm, self._config.norm_eps)
        out = hidden.new_zeros(len(batch.ids), hidden.shape[1])
        out[halves.rows] = hidden
        return out

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores (rows, vocab_size) of the next token."""
        return self._ops.linear(hidden, self._head, None)

    def _read(self, source: ForwardBatch, layers: list[LayerCache]) -> None:
        """Encode prompts, and store what each layer of the decoder attends to."""
        ops = self._ops
        hidden = ops.embed(self._embedding, source.ids)
        # The decoder's first layer lends its place until its own keys and values are known.
        scratch = layers[0]
        for layer in self._encoder:
            hidden = layer.see_all(hidden, self._rope, scratch, source)
        hidden = ops.rms_norm(hidden, self._encoder_norm, self._config.norm_eps)
        for reader, cache in zip(self._decoder, layers, strict=True):
            reader.remember(hidden, cache, source)


class _DecoderLayer:
    """A layer that also attends to the prompt, between itself and its feed-forward network."""

    def __init__(self, config: ModelConfig, weights: Weights, ops: Ops, prefix: str) -> None:
        self._config = config
        self._ops = ops
        self._layer = Layer(config, weights, ops, prefix)
        self._norm = ops.vector(weights(prefix + "cross_attention_layernorm.weight"))
        cross, both = prefix + "cross_attn.", [f"{prefix}cross_attn.{part}_proj" for part in "kv"]
        self._query = ops.weight(weights(cross + "q_proj.weight"))
        self._keys_values = ops.weight(torch.cat([weights(f"{name}.weight") for name in both]))
        self._output = ops.weight(weights(cross + "o_proj.weight"))
        self._query_bias = self._kv_bias = self._output_bias = None
        if config.qkv_bias:
            self._query_bias = ops.vector(weights(cross + "q_proj.bias"))
            self._kv_bias = ops.vector(torch.cat([weights(f"{name}.bias") for name in both]))
        if config.output_bias:
            self._output_bias = ops.vector(weights(cross + "o_proj.bias"))

    def remember(self, encoded: Tensor, cache: LayerCache, source: ForwardBatch) -> None:
        """Keys and values of the encoder's outputs."""
        both = self._ops.linear(encoded, self._keys_values, self._kv_bias)
        self._ops.store(both.view(len(both), -1, self._config.head_dim), None, cache, source)

    def forward(
        self,
        hidden: Tensor,
        rope: tuple[Tensor, Tensor],
        answer: LayerCache,
        prompt: LayerCache,
        halves: Halves,
    ) -> Tensor:
        ops, config, target = self._ops, self._config, halves.target
        mixed = ops.attend(self._layer.heads(hidden), rope, answer, target, 0)
        hidden = self._layer.add(hidden, mixed)
        query = ops.norm_linear(
            hidden, self._norm, config.norm_eps, self._query, self._query_bias
        ).view(len(hidden), -1, config.head_dim)
        mixed = ops.look(query, config.num_heads, prompt, target, halves.last)
        return self._layer.feed(ops.add_linear(hidden, mixed, self._output, self._output_bias))
