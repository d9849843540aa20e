"""The LSTM encoder-decoder with attention (Sutskever et al., 2014; Luong et al., 2015).

The encoder's layers read the prompt in both directions; each layer of the decoder begins with the
states in which an encoder's layer ended, the last one's where it has no such layer. What the
decoder's last layer says attends to the encoder's outputs, with several heads (Chen et al., 2018),
and both together make the hidden state: tanh(W [context; state]).
"""

import torch
from torch import Tensor

from llmosd.architectures.architecture import ForwardBatch, Ops, PagedStates, Weights
from llmosd.architectures.config import ModelConfig
from llmosd.architectures.encoder_lstm import LstmEncoder
from llmosd.architectures.head import head_weight
from llmosd.architectures.recurrent import Layer, walk_of
from llmosd.architectures.spans import halves_of


class Seq2SeqLstm:
    """Embedding, encoder, decoder, attention, head."""

    def __init__(self, config: ModelConfig, weights: Weights, ops: Ops) -> None:
        """Take the weights by name; see Architecture."""
        self._config = config
        self._ops = ops
        embedding = weights("embed_tokens.weight")
        self._embedding = ops.table(embedding)
        self._head = ops.weight(head_weight(config, weights, embedding))
        self._encoder = LstmEncoder(config.encoder_layers, weights, ops)
        self._decoder = [
            Layer("lstm", weights, ops, f"decoder.layers.{index}.rnn.")
            for index in range(config.num_layers)
        ]
        attention = "decoder.attention."
        self._query = ops.weight(weights(attention + "q_proj.weight"))
        self._keys_values = ops.weight(
            torch.cat([weights(f"{attention}{part}_proj.weight") for part in "kv"])
        )
        self._context = ops.weight(weights("decoder.context_proj.weight"))
        self._state = ops.weight(weights("decoder.state_proj.weight"))

    def forward(self, batch: ForwardBatch, cache: PagedStates) -> Tensor:
        """Hidden states (rows, hidden_size); zeros within prompts."""
        ops, config, block = self._ops, self._config, cache.whole.values.shape[3]
        lengths = cache.vectors[:, -1, 0]
        halves = halves_of(batch, lengths, config.start_id, block)
        if halves.source is not None:
            self._read(halves.source, cache)
        target = halves.target
        hidden = ops.embed(self._embedding, target.ids)
        walk = walk_of(target)
        # Nobody begins with zeros: the encoder has left something.
        walk = walk._replace(begins=torch.zeros_like(walk.begins))
        for index, layer in enumerate(self._decoder):
            states = cache.vectors[:, 2 * index : 2 * index + 2]
            hidden = layer.forward(hidden, states, walk)
        query = ops.linear(hidden, self._query, None).view(len(hidden), -1, config.head_dim)
        context = ops.look(query, config.num_heads, cache.layers[0], target, halves.last)
        out = hidden.new_zeros(len(batch.ids), hidden.shape[1])
        out[halves.rows] = ops.rnn_cell(
            ops.linear(context, self._context, None), ops.linear(hidden, self._state, None)
        )
        return out

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores (rows, vocab_size) of the next token."""
        return self._ops.linear(hidden, self._head, None)

    def _read(self, source: ForwardBatch, cache: PagedStates) -> None:
        """Encode prompts: leave the decoder's first states, and what it attends to."""
        ops = self._ops
        slots = source.tables[:, 0].long()
        encoded = self._encoder.read(ops.embed(self._embedding, source.ids), source)
        for index in range(len(self._decoder)):
            states = encoded.states[min(index, len(encoded.states) - 1)]
            cache.vectors[slots, 2 * index : 2 * index + 2] = states
        both = ops.linear(encoded.outputs, self._keys_values, None)
        ops.store(both.view(len(both), -1, self._config.head_dim), None, cache.layers[0], source)
