"""The adapters that rows of a CPU's steps can go through, as the kernels read them."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from llmos_kernels.decoder import Projections
from llmos_kernels.low_rank import Adapters, Change, pack_change
from llmosd.architectures.architecture import NOBODY, Changes

WHICH = {name: index for index, name in enumerate(Projections._fields)}
"""The kernels' numbers for what Place names."""

Packed = dict[int, Change]
"""Of a layer, by WHICH."""


class LowRankTable:
    """See low_rank.Adapters, whose places are addresses: this keeps what lies there."""

    def __init__(
        self,
        layers: int,
        *,
        narrow: bool = False,
        order: Callable[[str, Tensor], Tensor] = lambda _, up: up,
    ) -> None:
        """`order` puts rows of a product's `up` as its columns lie; `narrow` ones are bfloat16."""
        self._order, self._narrow = order, narrow
        self._kind = np.empty(0, np.uint16 if narrow else np.float32)
        self._packed: dict[int, list[Packed]] = {}
        self._places = np.zeros((1, layers, len(WHICH), 4), np.int64)
        self._highest = 0
        self.nobody = self.of(NOBODY, 0)

    def pack(self, changes: Changes) -> Packed:
        """See Adapted.pack_adapter."""
        return {
            WHICH[name]: pack_change(
                change.down.numpy(), self._order(name, change.up).numpy(), narrow=self._narrow
            )
            for name, change in changes.items()
        }

    def set(self, number: int, layers: list[Packed] | None) -> None:
        """See Adapted.set_adapter."""
        if number >= len(self._places):
            more = number + 1 - len(self._places)
            self._places = np.pad(self._places, ((0, more), (0, 0), (0, 0), (0, 0)))
        self._places[number] = 0
        self._packed.pop(number, None)
        if layers is not None:
            self._packed[number] = layers
            for layer, products in enumerate(layers):
                for which, change in products.items():
                    self._places[number, layer, which] = change.place
        self._highest = int(self._places[..., 3].max())

    def of(self, numbers: Tensor, rows: int) -> Adapters:
        """For a step: ForwardBatch.adapters, and how many rows of room there must be."""
        index: NDArray[Any] = numbers.numpy()
        room = (rows, self._highest) if len(index) else (0, 0)
        return Adapters(index, self._places, self._kind, np.empty(room, np.float32))
