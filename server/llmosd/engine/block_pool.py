"""Which cache blocks are whose: counted references, nothing about tensors."""


class BlockPool:
    """Blocks 0 to num_blocks - 1; several sequences may hold one block, read-only then."""

    def __init__(self, num_blocks: int) -> None:
        self._references = [0] * num_blocks
        self._free = list(range(num_blocks - 1, -1, -1))

    @property
    def num_blocks(self) -> int:
        """All blocks."""
        return len(self._references)

    @property
    def num_free(self) -> int:
        """Blocks that nobody holds."""
        return len(self._free)

    @property
    def num_used(self) -> int:
        """Blocks that somebody holds."""
        return self.num_blocks - self.num_free

    def take(self, count: int) -> list[int]:
        """Hold `count` free blocks; the caller made sure they are there."""
        taken = [self._free.pop() for _ in range(count)]
        for block in taken:
            self._references[block] = 1
        return taken

    def share(self, blocks: list[int]) -> None:
        """Hold blocks that another sequence holds already."""
        for block in blocks:
            self._references[block] += 1

    def release(self, blocks: list[int]) -> None:
        """Let go of blocks; those nobody holds any more are free."""
        for block in blocks:
            self._references[block] -= 1
            if self._references[block] == 0:
                self._free.append(block)
