"""Parts of a step's batch, as batches of their own: what encoders and decoders run apart."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from llmosd.architectures.architecture import ForwardBatch

Span = tuple[int, int]


def tiles_of(spans: list[Span], rows: int) -> NDArray[np.int32]:
    """Spans cut into `rows` rows at most; see ForwardBatch.tiles."""
    cut = [
        (first, min(rows, start + count - first), sequence)
        for sequence, (start, count) in enumerate(spans)
        for first in range(start, start + count, rows)
    ]
    return np.array(cut, np.int32).reshape(-1, 3)


def part_of(
    batch: ForwardBatch, sequences: list[int], spans: list[Span], positions: Tensor, block: int
) -> tuple[ForwardBatch, Tensor]:
    """A batch of some rows of another, and which rows they are: (rows,) int64.

    Args:
        batch: on a CPU.
        sequences: those the part is of, by their place in `batch`.
        spans: first row, in `batch`, and number of rows of each of them.
        positions: (rows of the part,) int32 places that the rows have in it.
        block: positions per block of the cache.
    """
    rows = np.concatenate([np.arange(first, first + count) for first, count in spans])
    counts = np.array([count for _, count in spans])
    ends = np.cumsum(counts)
    own = [(int(end - count), int(count)) for end, count in zip(ends, counts, strict=True)]
    tables = batch.tables[torch.tensor(sequences)]
    owner = torch.from_numpy(np.repeat(np.arange(len(own)), counts))
    at = positions.long()
    slots = tables[owner, at // block].long() * block + at % block
    index = torch.from_numpy(rows)
    part = replace(
        batch,
        ids=batch.ids[index],
        positions=positions,
        tiles=torch.from_numpy(tiles_of(own, batch.tile_rows)),
        slots=slots,
        tables=tables,
        spans=own,
    )
    return part, index


class Halves(NamedTuple):
    """A step of an encoder-decoder.

    Attributes:
        source: the prompts that are read in this step, each whole, with the token that ends them;
            None where there is none.
        readers: (prompts,) int64, their sequences' places in the step.
        target: the answers' tokens, from the one that ended the prompt on; positions count them.
        rows: (rows of target,) int64, where they are in the step.
        last: (rows of target,) int32, the prompt's last position.
    """

    source: ForwardBatch | None
    readers: Tensor
    target: ForwardBatch
    rows: Tensor
    last: Tensor


def halves_of(batch: ForwardBatch, lengths: Tensor, start: int, block: int) -> Halves:
    """Cut a step's rows where its prompts end: at their first token `start`, or their last one.

    `lengths` (blocks,) float32 has a sequence's prompt's length at its first block; it is noted
    there as the prompt is read.
    """
    sources: list[Span] = []
    targets: list[Span] = []
    readers: list[int] = []
    positions: list[NDArray[np.int32]] = []
    last: list[int] = []
    ids, firsts, slots = (
        each.tolist()
        for each in (
            batch.ids,
            batch.positions[torch.tensor([first for first, _ in batch.spans])],
            batch.tables[:, 0],
        )
    )
    for sequence, (first, count) in enumerate(batch.spans):
        at = firsts[sequence]
        if at == 0:
            own = ids[first : first + count]
            end = own.index(start) if start in own else count - 1
            lengths[slots[sequence]] = end + 1
            sources.append((first, end + 1))
            readers.append(sequence)
            first, count, at = first + end, count - end, end  # noqa: PLW2901 - the answer's part
        end = int(lengths[slots[sequence]]) - 1
        targets.append((first, count))
        positions.append(np.arange(at - end, at - end + count, dtype=np.int32))
        last += [end] * count
    everyone = list(range(len(targets)))
    target, rows = part_of(
        batch, everyone, targets, torch.from_numpy(np.concatenate(positions)), block
    )
    source = None
    if sources:
        places = np.concatenate([np.arange(count, dtype=np.int32) for _, count in sources])
        source, _ = part_of(batch, readers, sources, torch.from_numpy(places), block)
    return Halves(
        source, torch.tensor(readers), target, rows, torch.tensor(last, dtype=torch.int32)
    )


def ends_of(batch: ForwardBatch) -> Tensor:
    """(rows,) int32: the last position of each row's span, for rows that see all of it."""
    counts = torch.tensor([count for _, count in batch.spans], dtype=torch.int32)
    return (counts - 1).repeat_interleave(counts.long())
