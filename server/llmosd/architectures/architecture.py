"""What the engine asks of a network, and what a network asks of the machine below it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from llmosd.architectures.config import ModelConfig

NOBODY = torch.empty(0, dtype=torch.int32)


@dataclass(frozen=True, slots=True)
class ForwardBatch:
    """One step's tokens, of any number of sequences, laid end to end.

    Attributes:
        ids: (rows,) int64 token ids.
        positions: (rows,) int32 (any integers on a GPU), place in the sequence.
        tiles: (tiles, 3) int32: first row, number of rows, sequence (a row of `tables`). Spans cut
            into as many rows as attention takes at once.
        slots: (rows,) int64, where the row's key and value go: block * BLOCK + offset.
        tables: (sequences, max_blocks) int32 block numbers, in order of position.
        spans: first row and number of rows of each sequence, rows in order of position.
        adapters: (rows,) int32, the adapter each row goes through, 0 being none; or (0,) where no
            row goes through one. On the CPU. See Adapted.
        tile_rows: rows of a tile at most.
        latents: of sequences that begin in this step with a latent vector of their own, by their
            place in `spans`; families with `latent` alone.
        unpooled: places in `spans` of texts whose every row is wanted, where a network would leave
            in the last one what it made of the whole text.
    """

    ids: Tensor
    positions: Tensor
    tiles: Tensor
    slots: Tensor
    tables: Tensor
    spans: list[tuple[int, int]]
    adapters: Tensor = NOBODY
    tile_rows: int = 1
    latents: dict[int, list[float]] = field(default_factory=dict)
    unpooled: frozenset[int] = frozenset()


class LayerCache(NamedTuple):
    """One layer's paged keys and values, laid out as llmos_kernels.attention says."""

    keys: Tensor  # (num_blocks, kv_heads, head_dim, BLOCK)
    values: Tensor  # (num_blocks, kv_heads, BLOCK, head_dim)


class Cache(Protocol):
    """The key-value cache of a model: `whole` has the layers as its arrays' first axis."""

    whole: LayerCache
    layers: list[LayerCache]


class PagedStates(Cache, Protocol):
    """A cache with vectors beside it: (blocks, vectors, hidden_size) float32.

    A sequence's are those of its first block.
    """

    vectors: Tensor


class States(Protocol):
    """What a recurrent model remembers: (states, vectors, hidden_size) float32 of each layer.

    A sequence's state is the one that the first column of `ForwardBatch.tables` names.
    """

    layers: list[Tensor]


class Vectors(Protocol):
    """What a recurrent model remembers beside its layers' states.

    Attributes:
        vectors: (states, vectors, hidden_size) float32, all of a sequence; see States.
        block_tokens: positions of a sequence that one state is for.
    """

    vectors: Tensor
    block_tokens: int


class LowRank(NamedTuple):
    """What an adapter adds to a product: x @ down.T @ up.T.

    down (rank, in_features) and up (out_features, rank), float32; the scale is in `up`.
    """

    down: Tensor
    up: Tensor


Place = tuple[int, str]
"""A product that an adapter can change: its layer, and "qkv", "output", "gate_up" or "down"."""

Changes = dict[str, LowRank]
"""What an adapter changes of one layer: products, as Place names them."""


class Adapted(Protocol):
    """Something whose rows can go through adapters: ForwardBatch.adapters says which."""

    def pack_adapter(self, changes: Changes) -> Any:
        """A layer of an adapter, as `set_adapter` takes it."""

    def set_adapter(self, number: int, layers: list[Any] | None) -> None:
        """Let rows with this number, 1 or more, go through an adapter; None: there is none."""


class Ops(Adapted, Protocol):
    """The arithmetic a network is written in. Tensors have one row per token.

    A result's row depends on that row's inputs only, in bits where the implementation says so.
    What is defined here in terms of the rest is there to be fused.
    """

    def weight(self, tensor: Tensor, place: Place | None = None) -> Any:
        """Prepare an (out, in) weight for `linear`; at its `place` adapters may change it."""

    def adapt(self, adapters: Tensor) -> None:
        """Until the next call, rows are a step's: ForwardBatch.adapters says how they go.

        Called by networks some of whose weights have a place.
        """

    def vector(self, tensor: Tensor) -> Tensor:
        """Prepare a bias or a norm's weight."""

    def table(self, tensor: Tensor) -> Tensor:
        """Prepare an embedding table."""

    def embed(self, table: Tensor, ids: Tensor) -> Tensor:
        """Rows of a table."""

    def linear(self, x: Tensor, weight: Any, bias: Tensor | None) -> Tensor:
        """X @ weight.T + bias."""

    def rms_norm(self, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        """Root mean square normalization over the last axis."""

    def layer_norm(self, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        """Layer normalization over the last axis."""

    def silu_multiply(self, gate_up: Tensor) -> Tensor:
        """silu(first half) * second half of the last axis."""

    def gelu(self, x: Tensor) -> Tensor:
        """GELU, tanh form."""

    def lstm_cell(self, inputs: Tensor, states: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        """Next hidden and cell state of (rows, 4 * size) parts of in, forget, cell and out.

        `cell` is (rows, size) float32 and may be overwritten.
        """

    def gru_cell(self, inputs: Tensor, states: Tensor, hidden: Tensor) -> Tensor:
        """Next hidden state of (rows, 3 * size) parts of reset, update and new."""

    def rnn_cell(self, inputs: Tensor, states: Tensor) -> Tensor:
        """Tanh of the sum."""

    def norm_linear(
        self, x: Tensor, norm: Tensor, eps: float, weight: Any, bias: Tensor | None
    ) -> Tensor:
        """rms_norm, then linear."""
        return self.linear(self.rms_norm(x, norm, eps), weight, bias)

    def norm_gate(
        self, x: Tensor, norm: Tensor, eps: float, weight: Any, bias: Tensor | None
    ) -> Tensor:
        """rms_norm, linear, then silu_multiply."""
        return self.silu_multiply(self.norm_linear(x, norm, eps, weight, bias))

    def add_linear(self, hidden: Tensor, x: Tensor, weight: Any, bias: Tensor | None) -> Tensor:
        """Hidden + linear; `hidden` may be overwritten."""
        return hidden + self.linear(x, weight, bias)

    def attend(
        self,
        qkv: Tensor,  # (rows, heads + 2 * kv_heads, head_dim); may be overwritten
        rope: tuple[Tensor, Tensor] | None,
        cache: LayerCache,
        batch: ForwardBatch,
        window: int,
    ) -> Tensor:  # (rows, heads * head_dim)
        """Rotate, store keys and values, and attend causally within each sequence."""

    def store(
        self,
        qkv: Tensor,  # (rows, any heads + 2 * kv_heads, head_dim); may be overwritten
        rope: tuple[Tensor, Tensor] | None,
        cache: LayerCache,
        batch: ForwardBatch,
    ) -> Tensor:
        """Rotate, and store keys and values; returns `qkv`, its queries rotated."""

    def look(
        self,
        queries: Tensor,  # (rows, at least heads, head_dim)
        heads: int,
        cache: LayerCache,
        batch: ForwardBatch,
        last: Tensor,  # (rows,) int32
    ) -> Tensor:  # (rows, heads * head_dim)
        """Attend over what is stored of each row's sequence, up to and with position `last`."""


class Architecture(Protocol):
    """A decoder: token ids in, hidden states out, logits for the rows that want them."""

    def forward(self, batch: ForwardBatch, cache: Any) -> Tensor:
        """Hidden states (rows, hidden_size), after the last norm.

        `cache` is what Family.memory asks for: a Cache, States or Vectors where there are no keys
        and values, PagedStates where there are both.
        """

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores (rows, vocab_size) of the next token."""


Weights = Callable[[str], Tensor]

Build = Callable[[ModelConfig, Weights, Ops], Architecture]
"""Makes a network; takes the weights by name, each asked for once."""
