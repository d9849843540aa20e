"""One token of every running sequence, over buffers that stay where they are."""

import numpy as np
import torch
from torch import Tensor

from llmosd.architectures.architecture import Architecture, Cache, ForwardBatch
from llmosd.engine.kv_cache import BLOCK_TOKENS
from llmosd.engine.runner import to_device
from llmosd.engine.slices import Slice


def buckets(largest: int) -> list[int]:
    """Numbers of rows that decoding is compiled for: powers of two, and the largest."""
    return [*(1 << power for power in range((largest - 1).bit_length())), largest]


class DecodeStep:
    """Inputs of a decoding step, for as many rows as a bucket has.

    A graph reads them where they were when it was captured, so a step is: fill them, then compute,
    or replay what was captured of computing. Rows beyond the step's sequences are padding: their
    slot is negative and their tile empty, so they store nothing and attend to nothing, and what
    the network makes of them is not read.
    """

    def __init__(
        self,
        network: Architecture,
        cache: Cache,
        device: torch.device,
        max_sequences: int,
        max_blocks: int,
    ) -> None:
        """For up to `max_sequences` rows, each of a sequence of up to `max_blocks` blocks."""
        self.device = device
        self.buckets = buckets(max_sequences)
        self.max_blocks = max_blocks
        self._network = network
        self._cache = cache
        self._rows = max_sequences
        # Ids, positions, slots and tiles end to end, so that one copy brings them all.
        self._host = np.zeros(6 * max_sequences, np.int32)
        self._inputs = torch.zeros(6 * max_sequences, dtype=torch.int32, device=device)
        self._host_tables = np.zeros((max_sequences, max_blocks), np.int32)
        self._tables = torch.zeros((max_sequences, max_blocks), dtype=torch.int32, device=device)
        self._known: list[list[int]] = [[] for _ in range(max_sequences)]
        self.fill([])

    def takes(self, slices: list[Slice]) -> bool:
        """Whether the slices are one token each, with a draw after it, and through no adapter."""
        return len(slices) <= self._rows and all(
            part.count == part.num_logits == 1
            and not part.drafts
            and not part.sequence.request.adapter
            and len(part.sequence.blocks) <= self.max_blocks
            for part in slices
        )

    def fill(self, slices: list[Slice]) -> int:
        """Bring the slices to the device; returns the bucket to compute."""
        count, most = len(slices), self._rows
        host = self._host
        ids, positions, slots = host[: 3 * most].reshape(3, most)
        tiles = host[3 * most :].reshape(most, 3)
        host[: 3 * most] = 0
        slots[count:] = -1
        tiles[:, 0] = tiles[:, 2] = np.arange(most)
        tiles[:, 1] = np.arange(most) < count
        for row, part in enumerate(slices):
            sequence = part.sequence
            at = sequence.computed
            ids[row], positions[row] = sequence.tokens[at], at
            slots[row] = sequence.blocks[at // BLOCK_TOKENS] * BLOCK_TOKENS + at % BLOCK_TOKENS
        self._fill_tables([part.sequence.blocks for part in slices])
        self._inputs.copy_(to_device(host, self.device))
        return next(bucket for bucket in self.buckets if bucket >= count)

    def compute(self, bucket: int) -> Tensor:
        """Logits (bucket, vocab_size) float32; enqueues work, and waits for nothing."""
        most = self._rows
        batch = ForwardBatch(
            ids=self._inputs[:bucket],
            positions=self._inputs[most : most + bucket],
            tiles=self._inputs[3 * most : 3 * (most + bucket)].view(bucket, 3),
            slots=self._inputs[2 * most : 2 * most + bucket],
            tables=self._tables[:bucket],
            spans=[(row, 1) for row in range(bucket)],
        )
        return self._network.logits(self._network.forward(batch, self._cache)).float()

    def _fill_tables(self, rows: list[list[int]]) -> None:
        """Send block tables where they changed: once in 16 tokens, or when rows move."""
        changed = False
        for row, blocks in enumerate(rows):
            if blocks != self._known[row]:
                self._known[row] = list(blocks)
                self._host_tables[row, : len(blocks)] = blocks
                changed = True
        if changed:
            count, width = len(rows), max(len(blocks) for blocks in rows)
            part = np.ascontiguousarray(self._host_tables[:count, :width])
            self._tables[:count, :width].copy_(to_device(part, self.device))
