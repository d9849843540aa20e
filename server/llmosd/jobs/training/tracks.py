"""Texts end to end, cut into tracks that are read side by side, each step where the last one ended.

What torch's word_language_model example calls batchify; here documents keep apart.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from llmosd.architectures.trainable.carried import Carried, Carry
from llmosd.errors import InvalidDataset
from llmosd.jobs.training.batches import Examples
from llmosd.objectives.batch import Batch


class Tracks:
    """So many tracks of a dataset, in steps of `rules.length` tokens each."""

    def __init__(self, examples: Examples, count: int) -> None:
        """Cut; the tracks' lengths differ by a token at most.

        Raises:
            InvalidDataset: where tracks would have no successor of a token.
        """
        self.count = count
        self.examples = examples
        self._offsets = np.asarray(examples.data.offsets, dtype=np.int64)
        total = int(self._offsets[-1])
        if total < 2 * count:
            raise InvalidDataset(
                f"{count} tracks (batch_size) need two tokens each; there are {total}"
            )
        self._edges: NDArray[np.int64] = total * np.arange(count + 1) // count
        self._length = examples.rules.length
        longest = int(np.diff(self._edges).max())
        self.steps_per_epoch = max(1, -(-(longest - 1) // self._length))

    def at(self, step: int, states: Carried) -> Batch:
        """The batch of `step`, counted from 0; tracks begin anew each time through the data."""
        number = step % self.steps_per_epoch
        spans: list[tuple[int, int]] = []
        begins: list[int] = []
        ends: list[int] = []
        for track, (low, high) in enumerate(zip(self._edges, self._edges[1:], strict=False)):
            first = int(low) + number * self._length
            last = min(first + self._length, int(high))
            for start, end, goes_on in self._spans(first, last):
                spans.append((start, end))
                begins.append(track if start == first and goes_on and number else -1)
                ends.append(track if end == last + 1 else -1)
        batch = self.examples.between(spans)
        return replace(batch, carry=Carry(states, tuple(begins), tuple(ends)))

    def _spans(self, first: int, last: int) -> list[tuple[int, int, bool]]:
        """Pieces of documents among tokens first..last - 1, each with the successor of its last.

        With each, whether it goes on from what is before it. Of a document's last token nothing is
        asked.
        """
        spans = []
        document = int(np.searchsorted(self._offsets, first, side="right")) - 1
        start = first
        while start < last:
            begin, end = int(self._offsets[document]), int(self._offsets[document + 1])
            piece = min(last + 1, end)
            if piece - start > 1:
                spans.append((start, piece, start > begin))
            start, document = end, document + 1
        return spans
