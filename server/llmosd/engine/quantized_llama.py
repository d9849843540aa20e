"""The Llama family in int8 or int4 on a CPU: one call per step into the fused decoder.

Same network as architectures.llama; activations are int8 in groups of 64, or whole rows of 16 bits:
see quantized_linear. A row's result has the same bits alone and in any batch.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from llmos_kernels._team import all_run
from llmos_kernels.decoder import (
    Activations,
    Buffers,
    Matrices,
    Network,
    Projections,
    Rows,
    decode,
    decode_head,
    own_rows,
    step_state,
)
from llmos_kernels.quantized_linear import activation_rows
from llmosd.architectures.architecture import Cache, Changes, ForwardBatch
from llmosd.architectures.config import ModelConfig
from llmosd.architectures.rope import rope_tables
from llmosd.engine.low_rank_table import LowRankTable, Packed
from llmosd.engine.packing import Arrays, columns_of
from llmosd.errors import ModelLoadFailed


class QuantizedLlama:
    """See Architecture."""

    def __init__(self, config: ModelConfig, arrays: Arrays, threads: int) -> None:
        """`arrays` are what packing.pack returns.

        Raises:
            ModelLoadFailed: when OpenMP does not run as many threads as it was told.
        """
        if not all_run(threads):
            raise ModelLoadFailed(
                f"OpenMP does not run {threads} threads at once; see the limits on processes, or "
                "set threads = 1"
            )
        self._config = config
        self._threads = threads
        self._embedding = arrays["embedding"]
        self._head = arrays["head.packed"], arrays["head.scales"]
        cosine, sine = rope_tables(config)

        def matrices(name: str) -> Matrices:
            return Matrices(*(arrays[f"{name}.{part}"] for part in ("packed", "scales", "bias")))

        self._network = Network(
            arrays["norms"], arrays["head_norms"], cosine.numpy(), sine.numpy(),
            np.float32(config.norm_eps), config.sliding_window,
        )  # fmt: skip
        names = ("qkv", "output", "gate_up", "down")
        self._projections = Projections(*(matrices(name) for name in names))
        self._state = step_state(threads, config.num_layers)
        self._adapters = LowRankTable(config.num_layers, narrow=True, order=columns_of)
        self._viewed: tuple[Cache, NDArray[np.uint16], NDArray[np.uint16]] | None = None
        self._make_room(0)

    def forward(self, batch: ForwardBatch, cache: Cache) -> Tensor:
        """Hidden states (rows, hidden_size), after the last norm."""
        # The upper halves of floats; NumPy takes them in half the time that torch does.
        halves = self._embedding[batch.ids.numpy()].astype(np.uint32)
        hidden = np.left_shift(halves, 16, out=halves).view(np.float32)
        count = len(hidden)
        if count > len(self._between[0]):
            self._make_room(count)
        buffers = Buffers(hidden, *(part[:count] for part in self._between))
        keys, values = self._plain(cache)
        rows = Rows(
            batch.positions.numpy(), batch.slots.numpy(), batch.tables.numpy(),
            batch.tiles.numpy(), keys, values,
        )  # fmt: skip
        self._state[:] = 0
        decode(
            self._state, self._threads, self._network, *self._projections, rows, buffers,
            *self._room, self._adapters.of(batch.adapters, self._room_rows),
        )  # fmt: skip
        return torch.from_numpy(hidden)

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores (rows, vocab_size) of the next token."""
        out = np.empty((len(hidden), self._config.vocab_size), np.float32)
        self._state[:] = 0
        decode_head(
            self._state, self._threads, hidden.numpy(), *self._head, self._head_room, out,
            self._adapters.nobody,
        )  # fmt: skip
        return torch.from_numpy(out)

    def pack_adapter(self, changes: Changes) -> Packed:
        """See Adapted."""
        return self._adapters.pack(changes)

    def set_adapter(self, number: int, layers: list[Packed] | None) -> None:
        """See Adapted."""
        self._adapters.set(number, layers)

    def _plain(self, cache: Cache) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
        """The cache's bfloat16 numbers as the bits NumPy can hold; views, made once."""
        if self._viewed is None or self._viewed[0] is not cache:
            keys, values = (part.view(torch.uint16).numpy() for part in cache.whole)
            self._viewed = cache, keys, values
        return self._viewed[1:]

    def _make_room(self, rows: int) -> None:
        """Buffers for steps of up to `rows` rows."""
        config = self._config
        heads, depth = config.num_heads, config.head_dim
        shapes = (
            (heads + 2 * config.num_kv_heads, depth), (heads, depth), (config.intermediate_size,)
        )  # fmt: skip
        self._between = [np.empty((rows, *shape), np.float32) for shape in shapes]
        self._room_rows = room = max(rows, own_rows(self._threads))
        qkv, output, _, down = self._projections
        self._room = Activations(
            activation_rows(room, config.hidden_size, qkv.packed),
            activation_rows(room, heads * depth, output.packed),
            activation_rows(room, config.intermediate_size, down.packed),
        )
        self._head_room = activation_rows(room, config.hidden_size, self._head[0])
