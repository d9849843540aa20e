"""Recurrent language models, to be trained. See `architectures.recurrent`."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

from llmosd.architectures.config import ModelConfig
from llmosd.architectures.trainable.carried import Carried, Carry
from llmosd.architectures.trainable.layout import Layout, layout_of
from llmosd.architectures.trainable.network import Layered, Network

_CELLS: dict[str, Callable[[int, int], nn.RNNBase]] = {
    "rnn": nn.RNN,
    "gru": nn.GRU,
    "lstm": nn.LSTM,
}


class Recurrent(Layered):
    """Embedding, layers, head; dropout between layers alone (Zaremba et al., 2014)."""

    def __init__(self, config: ModelConfig, dropout: float = 0.0) -> None:
        """Weights are not initialized: see `initialize`."""
        super().__init__(config, dropout)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(_Layer(config, dropout, at) for at in range(config.num_layers))
        self.add_head()

    def forward(
        self,
        ids: Tensor,
        lengths: tuple[int, ...],
        perturbation: Tensor | None = None,
        carry: Carry | None = None,
    ) -> Tensor:
        """See Network.forward; with `carry`, examples go on from what earlier ones left."""
        layout = layout_of(lengths, ids.device)
        x = self.embed(ids, layout)
        x = x if perturbation is None else x + perturbation
        return self.through(x, lengths, self.shared(layout)._replace(carry=carry))

    def carried(self, tracks: int) -> Carried:
        """See Carrying."""
        config = self.config
        vectors = 2 if config.architecture == "lstm" else 1
        return Carried(config.num_layers, vectors, tracks, config.hidden_size)

    @property
    def embedding(self) -> Tensor:
        """(vocabulary, hidden) weights that ids select."""
        return self.embed_tokens.weight

    def embed(self, ids: Tensor, layout: Layout) -> Tensor:
        """(tokens, hidden)."""
        del layout
        return functional.embedding(ids, self.embedding).float()

    def shared(self, layout: Layout) -> "Order":
        """The tokens in order of time."""
        return in_time(layout.positions)

    def blocks(self) -> nn.ModuleList:
        """The layers."""
        return self.layers

    def normalized(self, x: Tensor) -> Tensor:
        """There is no norm."""
        return x

    def initialize(self, generator: Generator) -> None:
        """Products with deviation 1 / sqrt(3 hidden), as torch's uniform draws have.

        Embeddings have 0.2, as gates that see next to nothing learn slowly: a rhyme of 52
        characters is known after 50 steps, with 0.05 after 100. They may be the head, too, and
        then the first loss must not be above that of guessing: 3 / sqrt(hidden) at most. Biases
        are zero but an LSTM's forget gates, which begin open (Jozefowicz et al., 2015).
        """
        initialize_cells(self, generator)


def initialize_cells(network: Network, generator: Generator) -> None:
    """See Recurrent.initialize."""
    size = network.config.hidden_size
    open_gates = network.config.architecture not in ("rnn", "gru")
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.dim() == 1:
                parameter.zero_()
                if open_gates and name.endswith("bias_ih_l0"):
                    own = len(parameter) // 4
                    parameter[own : 2 * own] = 1.0
            else:
                table = name in {"embed_tokens.weight", "lm_head.weight"}
                std = min(0.2, 3 / math.sqrt(size)) if table else 1 / math.sqrt(3 * size)
                parameter.normal_(0.0, std, generator=generator)


class Order(NamedTuple):
    """Examples side by side in time: see torch's PackedSequence.

    Attributes:
        tokens: (tokens,) int64, the token of each place; the longest example comes first.
        places: (tokens,) int64, the place of each token.
        sizes: (longest,) int64 on the CPU, examples that reach so far.
        ranks: (examples,) int64, where each example is among them, the longest being first.
        examples: (examples,) int64, the example of each rank.
        carry: what examples begin with, and leave.
    """

    tokens: Tensor
    places: Tensor
    sizes: Tensor
    ranks: Tensor
    examples: Tensor
    carry: Carry | None = None


def in_time(positions: Tensor) -> Order:
    """By place in the example, the longest examples first."""
    starts = (positions == 0).nonzero().squeeze(1)
    ends = torch.cat([starts[1:], starts.new_tensor([len(positions)])])
    lengths = ends - starts
    rank = torch.empty_like(lengths)
    examples = lengths.argsort(descending=True, stable=True)
    rank[examples] = torch.arange(len(lengths), device=lengths.device)
    key = positions * len(lengths) + rank.repeat_interleave(lengths)
    tokens = key.argsort()
    places = torch.empty_like(tokens)
    places[tokens] = torch.arange(len(tokens), device=tokens.device)
    return Order(tokens, places, positions.bincount().cpu(), rank, examples)


class _Layer(nn.Module):
    def __init__(self, config: ModelConfig, dropout: float, number: int) -> None:
        super().__init__()
        self.number = number
        self.rnn = _CELLS[config.architecture](config.hidden_size, config.hidden_size)
        self.dropout = dropout

    def forward(self, x: Tensor, layout: Layout, shared: Order) -> Tensor:
        del layout
        packed = PackedSequence(x.index_select(0, shared.tokens), shared.sizes)
        out, left = self.rnn(packed, self._begun(x, shared))
        if shared.carry is not None:
            states = torch.cat(left) if isinstance(left, tuple) else left
            shared.carry.states.end(self.number, _tracks(shared, shared.carry.ends), states)
        places = out.data.index_select(0, shared.places)
        return functional.dropout(places, self.dropout, self.training)

    def _begun(self, x: Tensor, shared: Order) -> Tensor | tuple[Tensor, ...] | None:
        """The first states, as torch's cells take them; None: nothing."""
        if shared.carry is None:
            return None
        tracks = _tracks(shared, shared.carry.begins)
        states = shared.carry.states.begin(self.number, tracks).to(x.dtype)
        return states if len(states) == 1 else tuple(each.unsqueeze(0) for each in states)


def _tracks(order: Order, tracks: tuple[int, ...]) -> Tensor:
    """(examples,) int64 in the order of ranks."""
    return torch.tensor(tracks, device=order.examples.device)[order.examples]
