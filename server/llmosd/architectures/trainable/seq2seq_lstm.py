"""The LSTM encoder-decoder with attention, to be trained. See `architectures.seq2seq_lstm`."""

from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

from llmosd.architectures.config import ModelConfig
from llmosd.architectures.trainable.encoder_decoder import EncoderDecoder
from llmosd.architectures.trainable.recurrent import Order, in_time, initialize_cells
from llmosd.architectures.trainable.sides import Side, look

_States = tuple[Tensor, Tensor]


class Encoded(NamedTuple):
    """What an encoder says.

    Attributes:
        outputs: (prompts' rows, hidden).
        states: hidden and cell state, (examples, hidden) each, that a layer ends in.
    """

    outputs: Tensor
    states: list[_States]


class Seq2SeqLstm(EncoderDecoder):
    """Embedding, encoder, decoder, attention, head; dropout between layers alone."""

    def __init__(self, config: ModelConfig, dropout: float = 0.0) -> None:
        """Weights are not initialized: see `initialize`."""
        super().__init__(config, dropout)
        self.encoder = _Encoder(config, dropout)
        self.decoder = _Decoder(config, dropout)
        self.add_head()

    def encode(self, x: Tensor, prompts: Side) -> Encoded:
        """Of the prompts' embeddings (rows, hidden)."""
        ahead, backwards = in_time(prompts.layout.positions), turned(prompts)
        states = []
        for layer in self.encoder.layers:
            x, ends = self.block(layer, x, ahead, backwards)
            states.append(ends)
        return Encoded(x, states)

    def decode(self, x: Tensor, encoded: Encoded, prompts: Side, answers: Side) -> Tensor:
        """(answers' rows, hidden) of their embeddings."""
        order = in_time(answers.layout.positions)
        for index, layer in enumerate(self.decoder.layers):
            begin = encoded.states[min(index, len(encoded.states) - 1)]
            x = self.block(layer, x, order, begin)
        out: Tensor = self.decoder(x, encoded.outputs, prompts, answers)
        return out

    def initialize(self, generator: Generator) -> None:
        """As recurrent language models begin; products as cells."""
        initialize_cells(self, generator)


class _Encoder(nn.Module):
    def __init__(self, config: ModelConfig, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            BothWays(config.hidden_size, dropout) for _ in range(config.encoder_layers)
        )


class BothWays(nn.Module):
    """Half of the hidden size from the left, half from the right."""

    def __init__(self, size: int, dropout: float) -> None:
        super().__init__()
        self.ahead = nn.LSTM(size, size // 2)
        self.back = nn.LSTM(size, size // 2)
        self.dropout = dropout

    def forward(self, x: Tensor, order: Order, turned: Tensor) -> tuple[Tensor, _States]:
        """Outputs (rows, size), and the last states (examples, size) of both together."""
        left, ahead = _run(self.ahead, x, order, None)
        right, back = _run(self.back, x.index_select(0, turned), order, None)
        out = torch.cat([left, right.index_select(0, turned)], 1)
        ends = tuple(torch.cat(pair, 1) for pair in zip(ahead, back, strict=True))
        return functional.dropout(out, self.dropout, self.training), (ends[0], ends[1])


class _Decoder(nn.Module):
    """Layers, and what is over them: attention, and both together in one hidden state."""

    def __init__(self, config: ModelConfig, dropout: float) -> None:
        super().__init__()
        size = config.hidden_size
        self.layers = nn.ModuleList(DecoderLayer(size, dropout) for _ in range(config.num_layers))
        self.attention = nn.ModuleDict(
            {f"{part}_proj": nn.Linear(size, size, bias=False) for part in "qkv"}
        )
        self.context_proj = nn.Linear(size, size, bias=False)
        self.state_proj = nn.Linear(size, size, bias=False)
        self.head_dim = config.head_dim

    def forward(self, x: Tensor, encoded: Tensor, prompts: Side, answers: Side) -> Tensor:
        query, key, value = (
            self.attention[f"{part}_proj"](rows).view(len(rows), -1, self.head_dim)
            for part, rows in (("q", x), ("k", encoded), ("v", encoded))
        )
        context = look(query, key, value, prompts, answers)
        out: Tensor = torch.tanh(self.context_proj(context) + self.state_proj(x))
        return out


class DecoderLayer(nn.Module):
    """LSTM cells that begin with given states (examples, size)."""

    def __init__(self, size: int, dropout: float) -> None:
        super().__init__()
        self.rnn = nn.LSTM(size, size)
        self.dropout = dropout

    def forward(self, x: Tensor, order: Order, begin: _States) -> Tensor:
        """Outputs (rows, size)."""
        out, _ = _run(self.rnn, x, order, begin)
        return functional.dropout(out, self.dropout, self.training)


def _run(cell: nn.LSTM, x: Tensor, order: Order, begin: _States | None) -> tuple[Tensor, _States]:
    """Outputs (rows, size) and the last states (examples, size); `begin` has the first."""
    states = None
    if begin is not None:
        hidden, memory = (each.index_select(0, order.examples).unsqueeze(0) for each in begin)
        states = hidden, memory
    packed = PackedSequence(x.index_select(0, order.tokens), order.sizes)
    out, (hidden, memory) = cell(packed, states)
    ends = hidden[0].index_select(0, order.ranks), memory[0].index_select(0, order.ranks)
    return out.data.index_select(0, order.places), ends


def turned(side: Side) -> Tensor:
    """(rows,) int64: the rows of each example from its last to its first."""
    device = side.rows.device
    sizes = torch.tensor(side.lengths, device=device)
    ends = sizes.cumsum(0)
    both = (2 * ends - sizes - 1).repeat_interleave(sizes)
    return both - torch.arange(int(sizes.sum()), device=device)
