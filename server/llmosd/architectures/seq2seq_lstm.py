"""The LSTM encoder-decoder with attention (Sutskever et al., 2014; Luong et al., 2015).

The encoder's layers read the prompt in both directions (Schuster and Paliwal, 1997); each layer of
the decoder begins with the states in which an encoder's layer ended, the last one's where it has no
such layer. What the decoder's last layer says attends to the encoder's outputs, with several heads
(Chen et al., 2018), and both together make the hidden state: tanh(W [context; state]).
"""

import torch
from torch import Tensor

from llmosd.architectures.architecture import ForwardBatch, Ops, PagedStates, Weights
from llmosd.architectures.config import ModelConfig
from llmosd.architectures.recurrent import Layer, Walk, places_of, walk_of
from llmosd.architectures.spans import halves_of


class Seq2SeqLstm:
    """Embedding, encoder, decoder, attention, head."""

    def __init__(self, config: ModelConfig, weights: Weights, ops: Ops) -> None:
        """Take the weights by name; see Architecture."""
        self._config = config
        self._ops = ops
        embedding = weights("embed_tokens.weight")
        head = embedding if config.tie_embeddings else weights("lm_head.weight")
        self._embedding = ops.table(embedding)
        self._head = ops.weight(head)
        self._encoder = [
            tuple(
                Layer("lstm", weights, ops, f"encoder.layers.{index}.{direction}.")
                for direction in ("ahead", "back")
            )
            for index in range(config.encoder_layers)
        ]
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
        ops, size = self._ops, self._config.hidden_size // 2
        count = len(source.spans)
        slots = source.tables[:, 0].long()
        walk = Walk(
            torch.arange(count), torch.ones(count, dtype=torch.bool), places_of(source.spans)
        )
        turned = _backwards(source.spans)
        hidden = ops.embed(self._embedding, source.ids)
        for index, (ahead, back) in enumerate(self._encoder):
            ends = hidden.new_zeros(2, count, 2, size, dtype=torch.float32)
            one = ahead.forward(hidden, ends[0], walk)
            two = back.forward(hidden[turned], ends[1], walk)[turned]
            hidden = torch.cat([one, two], 1)
            state = torch.cat([ends[0], ends[1]], 2)
            last = len(self._decoder) if index == len(self._encoder) - 1 else index + 1
            for at in range(index, min(last, len(self._decoder))):
                cache.vectors[slots, 2 * at : 2 * at + 2] = state
        both = ops.linear(hidden, self._keys_values, None)
        ops.store(both.view(len(both), -1, self._config.head_dim), None, cache.layers[0], source)


def _backwards(spans: list[tuple[int, int]]) -> Tensor:
    """(rows,) int64: the rows of each span from its last to its first."""
    return torch.cat([torch.arange(first + count - 1, first - 1, -1) for first, count in spans])
