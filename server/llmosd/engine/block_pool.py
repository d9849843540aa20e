"""Which cache blocks are whose: counted references, and what released blocks still hold.

Prefix caching (Kwon et al., 2023; hashed blocks as in vLLM's automatic prefix caching): a full
block is published under a key that names its content and everything before it. Nobody need hold it
to keep it: such a block is free, and keeps its content until it is taken, least recently used
first. Knows nothing about tensors.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterable


class BlockPool:
    """Blocks 0 to num_blocks - 1; several sequences may hold one block, read-only then."""

    def __init__(self, num_blocks: int) -> None:
        self._references = [0] * num_blocks
        self._empty = list(range(num_blocks - 1, -1, -1))
        self._kept: OrderedDict[int, None] = OrderedDict()  # free, with content; oldest use first
        self._keys: dict[int, bytes] = {}
        self._blocks: dict[bytes, int] = {}  # the same, from key to block

    @property
    def num_blocks(self) -> int:
        """All blocks."""
        return len(self._references)

    @property
    def num_free(self) -> int:
        """Blocks that nobody holds."""
        return len(self._empty) + len(self._kept)

    @property
    def num_used(self) -> int:
        """Blocks that somebody holds."""
        return self.num_blocks - self.num_free

    def take(self, count: int) -> list[int]:
        """Hold `count` free blocks; the caller made sure they are there."""
        taken = [self._empty.pop() if self._empty else self._evict() for _ in range(count)]
        for block in taken:
            self._references[block] = 1
        return taken

    def share(self, blocks: list[int]) -> None:
        """Hold blocks that others hold, or that are kept."""
        for block in blocks:
            self._references[block] += 1
            self._kept.pop(block, None)

    def num_released(self, blocks: list[int]) -> int:
        """How many blocks would become free if these were let go of."""
        held = Counter(blocks)
        return sum(self._references[block] == count for block, count in held.items())

    def release(self, blocks: list[int]) -> None:
        """Let go of a sequence's blocks, in order of position; those nobody holds are free."""
        # Backwards: a prefix is of use without its end, the end is of none without the prefix.
        for block in reversed(blocks):
            self._references[block] -= 1
            if self._references[block] == 0:
                if block in self._keys:
                    self._kept[block] = None
                else:
                    self._empty.append(block)

    def publish(self, block: int, key: bytes) -> None:
        """Name a full block's content, so that `find` knows it; the first of a name stays."""
        if key not in self._blocks:
            self._blocks[key] = block
            self._keys[block] = key

    def find(self, keys: Iterable[bytes]) -> list[int]:
        """Blocks of the longest known run of leading keys; `share` them before taking any."""
        found: list[int] = []
        for key in keys:
            block = self._blocks.get(key)
            if block is None:
                break
            found.append(block)
        return found

    def _evict(self) -> int:
        """Forget what the least recently used kept block holds."""
        block, _ = self._kept.popitem(last=False)
        del self._blocks[self._keys.pop(block)]
        return block
