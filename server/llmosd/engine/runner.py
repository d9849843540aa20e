"""From scheduled slices to logits: builds the batch, runs the network."""

import itertools
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from llmosd.architectures.architecture import NOBODY, Architecture, Changes, ForwardBatch
from llmosd.architectures.spans import tiles_of
from llmosd.engine.kv_cache import KVCache
from llmosd.engine.recurrent_state import RecurrentState
from llmosd.engine.sequence import Sequence
from llmosd.engine.slices import Slice


class Runner:
    """Runs one model on one device."""

    def __init__(
        self,
        network: Architecture,
        cache: KVCache | RecurrentState,
        device: torch.device,
        rows_per_tile: int,
    ) -> None:
        """Take a loaded network, its cache, and how many rows attention takes at once."""
        self._network = network
        self._cache = cache
        self._device = device
        self._rows_per_tile = rows_per_tile
        self._hidden: Tensor | None = None
        self._numbers: dict[int, int] = {}  # of adapters: the network's, by the front's

    @torch.inference_mode()
    def run(self, slices: list[Slice]) -> Tensor:
        """Compute the slices' keys and values; a GPU is not waited for.

        Returns:
            (rows, vocab_size) float32 on the device, good until the next run: the logits after the
            last `num_logits` tokens of each slice, in the slices' order. Empty when none wants any.
        """
        wanted: list[int] = []
        end = 0
        for part in slices:
            end += part.count + len(part.drafts)
            wanted += range(end - part.num_logits, end)
        batch, rows = self._batch(slices), self._put(np.array(wanted, np.int64))
        hidden = self._network.forward(batch, self._cache)
        # Until the next step: most steps have nobody who wants it.
        self._hidden = hidden if any(map(_embeds, slices)) else None
        if not wanted:
            return torch.empty((0, 0))
        last = hidden if len(wanted) == len(hidden) else hidden[rows]
        return self._network.logits(last).float()

    def copy_block(self, source: int, target: int) -> None:
        """Copy one cache block."""
        self._cache.copy(source, target)

    def pack_adapter(self, changes: Changes) -> Any:
        """See architectures.Adapted."""
        network: Any = self._network
        return network.pack_adapter(changes)

    def set_adapter(self, adapter: int, layers: list[Any] | None) -> None:
        """Take in an adapter, or, where there are no layers, let it go; see Submit.adapter."""
        network: Any = self._network
        if layers is None:
            number = self._numbers.pop(adapter, None)
            if number is not None:  # it may have been refused, or never have come
                network.set_adapter(number, None)
            return
        taken = set(self._numbers.values())
        number = next(free for free in itertools.count(1) if free not in taken)
        network.set_adapter(number, layers)
        self._numbers[adapter] = number

    def knows(self, adapter: int) -> bool:
        """Whether rows can go through an adapter; 0 is none."""
        return not adapter or adapter in self._numbers

    def _adapters_of(self, spans: list[tuple[int, int]], slices: list[Slice]) -> Tensor:
        """See ForwardBatch.adapters."""
        asked = [part.sequence.request.adapter for part in slices]
        if not any(asked):
            return NOBODY
        numbers = [self._numbers[adapter] if adapter else 0 for adapter in asked]
        counts = [count for _, count in spans]
        return torch.from_numpy(np.repeat(np.array(numbers, np.int32), counts))

    def posterior(self, sequence: Sequence) -> list[float]:
        """Mean, then log-variance, of the latent vector of a prompt that has run."""
        network: Any = self._network
        found: list[float] = network.posterior(self._cache, sequence.blocks[0]).tolist()
        return found

    def hidden(self, first: int, count: int) -> Tensor:
        """(count, hidden_size) float32: rows of the last run, where a slice of it is embedded."""
        assert self._hidden is not None
        return self._hidden[first : first + count].float()

    def _batch(self, slices: list[Slice]) -> ForwardBatch:
        # Lists of plain numbers: most steps have a few rows, for which each array costs more.
        ids: list[int] = []
        positions: list[int] = []
        slots: list[int] = []
        spans: list[tuple[int, int]] = []
        block_tokens = self._cache.block_tokens
        widest = max(len(part.sequence.blocks) for part in slices)
        tables = np.zeros((len(slices), widest), np.int32)
        for index, part in enumerate(slices):
            sequence, first = part.sequence, part.sequence.computed
            tokens = part.tokens
            spans.append((len(ids), len(tokens)))
            ids += tokens
            blocks, places = sequence.blocks, range(first, first + len(tokens))
            tables[index, : len(blocks)] = blocks
            positions += places
            slots += [
                blocks[at // block_tokens] * block_tokens + at % block_tokens for at in places
            ]
        put = self._put
        return ForwardBatch(
            ids=put(np.asarray(ids, np.int64)),
            positions=put(np.array(positions, np.int32)),
            tiles=put(tiles_of(spans, self._rows_per_tile)),
            slots=put(np.array(slots, np.int64)),
            tables=put(tables),
            spans=spans,
            adapters=self._adapters_of(spans, slices),
            tile_rows=self._rows_per_tile,
            latents={
                index: part.sequence.latent
                for index, part in enumerate(slices)
                if part.sequence.latent is not None
            },
            unpooled=frozenset(at for at, part in enumerate(slices) if _embeds(part)),
        )

    def _put(self, array: NDArray[np.generic]) -> Tensor:
        return to_device(array, self._device)


def _embeds(part: Slice) -> bool:
    return part.sequence.request.task == "embed"


def to_device(array: NDArray[np.generic], device: torch.device) -> Tensor:
    """A tensor of an array; to a GPU through pinned memory, which nobody has to wait for.

    torch's allocator of pinned memory hands out a buffer again only after its copy has ended.
    """
    tensor = torch.from_numpy(array)
    if device.type == "cpu":
        return tensor
    if not array.size:
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
