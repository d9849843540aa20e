"""Finding rows whose texts are nearly the same: MinHash and locality-sensitive hashing.

Broder, 1997; Leskovec, Rajaraman, Ullman, Mining of Massive Datasets, chapter 3. Texts are sets of
five-character pieces, so no language needs words. Signatures only propose pairs; what counts is the
Jaccard similarity itself. A row takes a few hundred bytes on disk, and 4 bytes a band in memory.
"""

import functools
import math
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from llmosd.progress import Progress

_PIECE = 5
_HASHES = 128
_RECALL = 0.95  # of pairs exactly as similar as the threshold; more similar ones are found surely
# Small enough for all its hashes to stay in a processor's cache.
_CHUNK = 512
# Of one bucket, so many rows are compared; more would be quadratic where all rows are alike.
_MOST_COMPARED = 32
# Longer texts are compared by a sample of their pieces.
_MOST_PIECES = 1 << 17
_COMPARED = "compare"

_MULTIPLIERS, _OFFSETS = np.random.default_rng(0x6C6C6D6F73).integers(
    1, 2**32, (2, _HASHES, 1), dtype=np.uint32
)
_MULTIPLIERS |= np.uint32(1)


def normal_form(text: str) -> str:
    """A text without differences that do not matter: case, white space, compatible characters."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


class SimilarRows:
    """Takes texts one by one, then says which rows are like an earlier one; a context manager."""

    def __init__(self, scratch: Path, threshold: float) -> None:
        """`scratch` is a new file, for the caller to delete."""
        self._path, self._threshold = scratch, threshold
        self._bands, self._rows_per_band = _bands(threshold)
        self._file = scratch.open("xb")
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def add(self, text: str) -> None:
        """Take the next row's text, in its normal form."""
        used = self._bands * self._rows_per_band
        signature = _signature(_all_pieces(text), used).reshape(self._bands, -1)
        hashes = np.zeros(self._bands, np.uint64)
        for column in signature.T:
            hashes = _mixed(hashes + column)
        self._file.write(hashes.tobytes())
        self._count += 1

    def matches(
        self, text: Callable[[int], str], progress: Progress
    ) -> Generator[tuple[int, list[int]], bool, None]:
        """Rows with kept rows that are like them, in order; `send` back whether it is kept, too.

        `text(index)` is the normal form that was added.
        """
        self._file.flush()
        groups = self._groups()
        pieces = functools.lru_cache(maxsize=64)(lambda index: _Pieces(text(index)))
        buckets: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
        for row in np.flatnonzero((groups >= 0).any(axis=1)).tolist():
            progress.check_cancelled()
            progress.report(_COMPARED, row, self._count, "rows")
            own = [(band, group) for band, group in enumerate(groups[row].tolist()) if group >= 0]
            near = sorted({other for place in own for other in buckets[place]})
            like = [o for o in near if pieces(row).similarity(pieces(o)) >= self._threshold]
            kept = (yield row, like) if like else True
            if kept:
                for place in own:
                    if len(buckets[place]) < _MOST_COMPARED:
                        buckets[place].append(row)

    def _groups(self) -> np.ndarray:
        """(rows, bands): which rows share a band's value; -1 where nobody does."""
        groups = np.full((self._count, self._bands), -1, np.int32)
        if not self._count:
            return groups
        hashes = np.memmap(self._path, np.uint64, "r", shape=(self._count, self._bands))
        for band in range(self._bands):
            _, inverse, counts = np.unique(hashes[:, band], return_inverse=True, return_counts=True)
            groups[:, band] = np.where(counts[inverse] > 1, inverse, -1)
        return groups


class _Pieces:
    """The set of pieces of a text, or of a long one a sample: those with the smallest hashes."""

    def __init__(self, text: str) -> None:
        self.level = max(0, math.ceil(math.log2(max(len(text), 1) / _MOST_PIECES)))
        parts = [_below(part, self.level) for part in _all_pieces(text)]
        self.hashes = np.unique(np.concatenate(parts))

    def similarity(self, other: "_Pieces") -> float:
        """Jaccard: what they share, of what either has."""
        level = max(self.level, other.level)
        mine, theirs = _below(self.hashes, level), _below(other.hashes, level)
        shared = len(np.intersect1d(mine, theirs, assume_unique=True))
        return shared / max(len(mine) + len(theirs) - shared, 1)


def _bands(threshold: float) -> tuple[int, int]:
    """Bands and rows of a band: as many rows as still find a pair at the threshold."""
    for rows in range(16, 1, -1):
        bands = _HASHES // rows
        if 1 - (1 - threshold**rows) ** bands >= _RECALL:
            return bands, rows
    return _HASHES, 1


def _all_pieces(text: str) -> Iterator[np.ndarray]:
    """Hashes of all pieces, chunk by chunk."""
    codes = np.frombuffer(text.encode("utf-32-le"), "<u4").astype(np.uint64)
    if len(codes) < _PIECE:
        codes = np.pad(codes, (0, _PIECE - len(codes)))
    for at in range(0, len(codes) - _PIECE + 1, _CHUNK):
        window = codes[at : at + _CHUNK + _PIECE - 1]
        hashes = np.zeros(len(window) - _PIECE + 1, np.uint64)
        for shift in range(_PIECE):
            hashes = hashes * np.uint64(0x100000001B3) + window[shift : shift + len(hashes)]
        yield _mixed(hashes)


def _signature(pieces: Iterator[np.ndarray], count: int) -> np.ndarray:
    """The smallest value of each hash function over all pieces."""
    smallest = np.full(count, np.iinfo(np.uint32).max, np.uint32)
    for hashes in pieces:
        # 32 bits: twice as many in a register, and multiplied by one instruction.
        values = _MULTIPLIERS[:count] * (hashes >> np.uint64(32)).astype(np.uint32)
        values += _OFFSETS[:count]
        np.minimum(smallest, values.min(axis=1), out=smallest)
    return smallest


def _mixed(values: np.ndarray) -> np.ndarray:
    """Spread over all 64 bits (the finalizer of MurmurHash3)."""
    mixed = values.copy()
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        mixed ^= mixed >> np.uint64(33)
        mixed *= np.uint64(factor)
    mixed ^= mixed >> np.uint64(33)
    return mixed


def _below(hashes: np.ndarray, level: int) -> np.ndarray:
    """One in 2 ** level of the hashes, the same ones of every text."""
    return hashes[hashes >> np.uint64(64 - level) == 0] if level else hashes
