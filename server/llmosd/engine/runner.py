"""From scheduled slices to logits: builds the batch, runs the network."""

import numpy as np
import torch
from numpy.typing import NDArray

from llmosd.architectures.architecture import Architecture, ForwardBatch
from llmosd.engine.kv_cache import BLOCK_TOKENS, KVCache
from llmosd.engine.slices import Slice


class Runner:
    """Runs one model on one device."""

    def __init__(self, network: Architecture, cache: KVCache, device: torch.device) -> None:
        """Take a loaded network and its cache."""
        self._network = network
        self._cache = cache
        self._device = device

    @torch.inference_mode()
    def run(self, slices: list[Slice]) -> NDArray[np.float32]:
        """Compute the slices' keys and values.

        Returns:
            (rows, vocab_size) float32: the logits after the last `num_logits` tokens of each
            slice, in the slices' order. Empty when none wants any.
        """
        hidden = self._network.forward(self._batch(slices), self._cache)
        ends = np.cumsum([part.count + len(part.drafts) for part in slices])
        last = [
            row
            for end, part in zip(ends.tolist(), slices, strict=True)
            for row in range(end - part.num_logits, end)
        ]
        if not last:
            return np.empty((0, 0), np.float32)
        logits: NDArray[np.float32] = self._network.logits(hidden[last]).float().cpu().numpy()
        return logits

    def copy_block(self, source: int, target: int) -> None:
        """Copy one cache block."""
        self._cache.copy(source, target)

    def _batch(self, slices: list[Slice]) -> ForwardBatch:
        ids: list[int] = []
        positions: list[NDArray[np.int32]] = []
        slots: list[NDArray[np.int64]] = []
        spans: list[tuple[int, int]] = []
        widest = max(len(part.sequence.blocks) for part in slices)
        tables = np.zeros((len(slices), widest), np.int32)
        for index, part in enumerate(slices):
            sequence, first = part.sequence, part.sequence.computed
            tokens = part.tokens
            spans.append((len(ids), len(tokens)))
            ids += tokens
            at = np.arange(first, first + len(tokens), dtype=np.int32)
            tables[index, : len(sequence.blocks)] = sequence.blocks
            blocks = tables[index, at // BLOCK_TOKENS].astype(np.int64)
            positions.append(at)
            slots.append(blocks * BLOCK_TOKENS + at % BLOCK_TOKENS)
        put = self._put
        return ForwardBatch(
            ids=put(np.asarray(ids, np.int64)),
            positions=put(np.concatenate(positions)),
            tiles=put(_tiles(spans, self._cache.rows_per_tile)),
            slots=put(np.concatenate(slots)),
            tables=put(tables),
            spans=spans,
            adapters=put(np.zeros(len(ids), np.int32)),
        )

    def _put(self, array: NDArray[np.generic]) -> torch.Tensor:
        return torch.from_numpy(array).to(self._device)


def _tiles(spans: list[tuple[int, int]], rows: int) -> NDArray[np.int32]:
    """Spans cut into `rows` rows at most; see ForwardBatch.tiles."""
    cut = [
        (first, min(rows, start + count - first), sequence)
        for sequence, (start, count) in enumerate(spans)
        for first in range(start, start + count, rows)
    ]
    return np.array(cut, np.int32)
