"""Which examples a step learns from: a pure function of the data, the seed and the step.

Nothing is carried from step to step, so a resumed run needs no position but the step's number.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from llmosd.errors import InvalidDataset
from llmosd.jobs.data.tokenized import TokenizedDataset
from llmosd.jobs.specs import TrainSpec
from llmosd.objectives.batch import IGNORED, Batch

_ORDER, _WINDOWS, _DRAWN = 1, 2, 3
"""What randomness is for: each purpose has draws of its own."""


_AT_ONCE = 1 << 16
"""Examples whose masks are in memory at a time."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How an objective wants its examples; see objectives.objective.

    Attributes:
        shifted: targets are the tokens' successors.
        group: neighbours that belong together.
        every_token: prompts are learned too, and long examples cut instead of refused.
        length: tokens that the network reads of an example, at most.
    """

    shifted: bool
    group: int
    every_token: bool
    length: int


class Examples:
    """A dataset as pieces that fit: `starts` and `ends` in its tokens, and where they are from."""

    def __init__(self, data: TokenizedDataset, rules: Rules) -> None:
        """Cut, and leave out what has no targets.

        Raises:
            InvalidDataset: where an example is too long to be left whole, or nothing is left.
        """
        self.data = data
        self.rules = rules
        offsets = np.asarray(data.offsets, dtype=np.int64)
        self.starts, self.ends, self.sources = _cut(offsets, rules)
        keep = self._with_targets()
        if rules.group > 1:
            whole = keep.reshape(-1, rules.group).all(1)
            keep = np.repeat(whole, rules.group)
        self.starts, self.ends, self.sources = (
            each[keep] for each in (self.starts, self.ends, self.sources)
        )
        if not len(self.starts):
            raise InvalidDataset("no example has a token to learn from")

    def __len__(self) -> int:
        """The number of pieces."""
        return len(self.starts)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(pieces,) tokens that the network reads."""
        read: NDArray[np.int64] = self.ends - self.starts - int(self.rules.shifted)
        return read

    def batch(self, pieces: NDArray[np.int64]) -> Batch:
        """The pieces of these numbers, in this order."""
        spans = list(zip(self.starts[pieces], self.ends[pieces], strict=True))
        sources = self.sources[pieces]
        labels = None
        if self.data.labels is not None:
            labels = torch.from_numpy(np.ascontiguousarray(self.data.labels[sources]))
        return self._laid(spans, labels, tuple(int(source) for source in sources))

    def between(self, spans: list[tuple[int, int]]) -> Batch:
        """The tokens from each of these places to the other, the last one a target alone."""
        return self._laid(spans, None, ())

    def _laid(
        self,
        spans: list[tuple[int, int]],
        labels: torch.Tensor | None,
        examples: tuple[int, ...],
    ) -> Batch:
        shift = int(self.rules.shifted)
        ids = np.concatenate([self.data.ids[start : end - shift] for start, end in spans])
        if shift:
            targets = np.concatenate([self.data.ids[start + 1 : end] for start, end in spans])
            targets = targets.astype(np.int64)
            if not self.rules.every_token:
                mask = np.concatenate([self.data.mask[start + 1 : end] for start, end in spans])
                targets[mask == 0] = IGNORED
        else:
            targets = np.full(len(ids), IGNORED, dtype=np.int64)
        return Batch(
            torch.from_numpy(ids.astype(np.int64)),
            torch.from_numpy(targets),
            tuple(int(end - start) - shift for start, end in spans),
            labels,
            examples,
        )

    def _with_targets(self) -> NDArray[np.bool_]:
        keep: NDArray[np.bool_] = self.ends - self.starts > int(self.rules.shifted)
        if not self.rules.shifted or self.rules.every_token:
            return keep
        for start in range(0, len(keep), _AT_ONCE):
            rows = slice(start, start + _AT_ONCE)
            starts, ends = self.starts[rows], self.ends[rows]
            wanted = self.data.mask[starts[0] : ends[-1]] != 0
            total = np.concatenate([[0], np.cumsum(wanted, dtype=np.int64)])
            # The first token is nobody's successor.
            first = np.minimum(starts + 1, ends)
            keep[rows] &= total[ends - starts[0]] > total[first - starts[0]]
        return keep


class Batches:
    """The batch of every step."""

    def __init__(self, examples: Examples, spec: TrainSpec) -> None:
        """How `spec` wants to go through the examples."""
        self.examples = examples
        self._seed = spec.seed
        self._count = spec.batch_size
        self.windows = _draws_windows(examples, spec)
        self._orders: dict[int, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}
        group = examples.rules.group
        weights = examples.lengths.reshape(-1, group).sum(1)
        if not spec.packing or spec.privacy is not None:
            weights = np.ones_like(weights)
        self._weights = weights
        packed = spec.packing and spec.privacy is None
        room = spec.batch_size * (examples.rules.length * group if packed else 1)
        if self.windows:
            self.steps_per_epoch = math.ceil(len(examples.data.ids) / room)
            self._places = _window_places(examples)
        else:
            self.steps_per_epoch = min(len(weights), math.ceil(int(weights.sum()) / room))

    @property
    def rate(self) -> float:
        """The chance of an example to be in a private step, which has batch_size on average."""
        return min(1.0, self._count / len(self._weights))

    def drawn(self, step: int, secret: int) -> Batch:
        """The batch of a private step: each example or not by itself, so there may be none."""
        draws = _generator(secret, _DRAWN, step).random(len(self._weights))
        chosen = np.flatnonzero(draws < self.rate)
        if not len(chosen):
            nothing = torch.zeros(0, dtype=torch.int64)
            return Batch(nothing, nothing, ())
        return self.examples.batch(chosen)

    def at(self, step: int) -> Batch:
        """The batch of `step`, counted from 0."""
        if self.windows:
            draw = _generator(self._seed, _WINDOWS, step).integers
            chosen = draw(0, self._places[1][-1], self._count)
            document = np.searchsorted(self._places[1], chosen, side="right") - 1
            starts = self._places[0][document] + chosen - self._places[1][document]
            length = self.examples.rules.length + 1
            return self.examples.between([(start, start + length) for start in starts])
        epoch, index = divmod(step, self.steps_per_epoch)
        order, cuts = self._order(epoch)
        chosen = order[cuts[index] : cuts[index + 1]]
        group = self.examples.rules.group
        pieces = (chosen[:, None] * group + np.arange(group)).reshape(-1)
        return self.examples.batch(pieces)

    def _order(self, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """A permutation of an epoch, and where its steps begin."""
        if epoch not in self._orders:
            order = _generator(self._seed, _ORDER, epoch).permutation(len(self._weights))
            self._orders = {epoch: (order, _cuts(self._weights[order], self.steps_per_epoch))}
        return self._orders[epoch]


def evaluation_batches(examples: Examples, rows: int, batch_size: int) -> Iterator[Batch]:
    """Every piece once, in order; `rows` of them at most, 0: all."""
    count = len(examples)
    group = examples.rules.group
    if rows:
        count = min(count, max(group, rows // group * group))
    size = batch_size * group
    for start in range(0, count, size):
        yield examples.batch(np.arange(start, min(start + size, count)))


def _cuts(weights: NDArray[np.int64], steps: int) -> NDArray[np.int64]:
    """Where to cut a sequence into `steps` parts of about the same weight, none empty.

    Each goes where its middle falls, so a part exceeds its share by less than one member.
    """
    ends = np.cumsum(weights)
    middles = ends - weights / 2
    cuts = np.searchsorted(middles, ends[-1] * np.arange(1, steps) / steps)
    cuts = np.concatenate([[0], cuts, [len(weights)]])
    at = np.arange(steps + 1)
    cuts = np.maximum.accumulate(cuts - at) + at
    out: NDArray[np.int64] = np.minimum(cuts, len(weights) - (steps - at))
    return out


def _cut(
    offsets: NDArray[np.int64], rules: Rules
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Starts, ends and examples of pieces that are no longer than `rules.length`."""
    starts, ends = offsets[:-1], offsets[1:]
    read = ends - starts - int(rules.shifted)
    if not rules.every_token:
        too_long = np.flatnonzero(read > rules.length)
        if len(too_long):
            first = int(too_long[0])
            raise InvalidDataset(
                f"{len(too_long)} examples are longer than sequence_length ({rules.length}), "
                f"first example {first + 1} with {int(read[first])} tokens"
            )
        return starts, ends, np.arange(len(starts))
    pieces = np.maximum(1, -(-read // rules.length))
    sources = np.repeat(np.arange(len(starts)), pieces)
    number = np.arange(len(sources)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    first = starts[sources] + number * rules.length
    # Pieces share a token: the last target of one is read first by the next.
    last = np.minimum(first + rules.length + int(rules.shifted), ends[sources])
    return first, last, sources


def _draws_windows(examples: Examples, spec: TrainSpec) -> bool:
    longest = int(np.diff(examples.data.offsets).max())
    possible = spec.objective == "language_model" and longest > examples.rules.length
    if spec.sampling == "windows" and not possible:
        raise InvalidDataset("sampling by windows needs a text longer than sequence_length")
    if spec.privacy is not None:  # windows overlap: what is in how many nobody could say
        if spec.sampling == "windows":
            raise InvalidDataset("privacy needs sampling by examples, not by windows")
        return False
    few = len(examples.data) < spec.batch_size
    return possible and (spec.sampling == "windows" or (spec.sampling == "auto" and few))


def _window_places(examples: Examples) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First tokens of the documents long enough, and the running count of their windows."""
    offsets = np.asarray(examples.data.offsets, dtype=np.int64)
    counts = np.diff(offsets) - examples.rules.length
    long = counts > 0
    return offsets[:-1][long], np.concatenate([[0], np.cumsum(counts[long])])


def _generator(seed: int, purpose: int, number: int) -> np.random.Generator:
    """Draws that depend on these three numbers alone (Salmon et al., 2011)."""
    key = np.array([seed % 2**64, purpose << 48 | number], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key))
