"""Room in the state directory: a quota of our own, and a part of the disk that is left alone."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from llmosd.errors import InsufficientDisk

# Part of the disk that nothing new is put on.
_RESERVE = 0.05


class Disk:
    """The state directory's disk; `quota` is config.Config.disk_quota_bytes.

    Where something does not fit, `make_room` is called once before it is refused.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self.quota = 0
        self.make_room: Callable[[], None] = lambda: None

    def check(self, needed: int, what: str) -> None:
        """See that `needed` bytes may be added; raises InsufficientDisk with the numbers."""
        if self._lacking(needed) is not None:
            self.make_room()
        lacking = self._lacking(needed)
        if lacking is not None:
            why, room = lacking
            raise InsufficientDisk(
                f"{what} needs {needed >> 20} MiB, and {why}; llmos gc --dry-run says what can go",
                metadata={"needed_bytes": str(needed), "available_bytes": str(room)},
            )

    def usage(self) -> int:
        """Bytes that the state directory takes on the disk."""
        return tree_bytes(self._root)

    def _lacking(self, needed: int) -> tuple[str, int] | None:
        """Why it does not fit, and the room there is; None: it does."""
        disk = shutil.disk_usage(self._root)
        room = max(0, disk.free - int(disk.total * _RESERVE))
        if needed > room:
            return f"{room >> 20} are free beside the 5 % of the disk that stay free", room
        if self.quota:
            used = self.usage()
            room = max(0, self.quota - used)
            if needed > room:
                return (
                    f"{used >> 20} of the {self.quota >> 20} MiB of disk_quota_bytes are used",
                    room,
                )
        return None


def tree_bytes(folder: Path) -> int:
    """Bytes that a folder and all below it take on the disk; what goes meanwhile counts nothing."""
    total = 0
    for top, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(top, name)).st_blocks * 512  # noqa: PTH118 - fast
            except OSError:
                continue
    return total
