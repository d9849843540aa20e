"""A dataset as token ids: what preprocessing leaves and training reads."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class TokenizedDataset:
    """Examples end to end; arrays are usually memory-mapped.

    Of a preference dataset, examples 2i and 2i + 1 are the chosen and the rejected answer to one
    prompt.

    Attributes:
        ids: (tokens,) uint16 or uint32.
        offsets: (examples + 1,) int64; example i is ids[offsets[i] : offsets[i + 1]].
        mask: (tokens,) uint8: 1 where a token is a target of the loss, 0 where it is prompt.
        labels: (examples,) int64 class numbers (labelled; rated: 1 desirable, 0 not), or float32
            grades (graded); None for the rest.
        label_names: of the classes, in order.
        digest: of everything above, "sha256:…".
        dropped: rows left out, because they were longer than an example may be.
    """

    ids: np.ndarray
    offsets: np.ndarray
    mask: np.ndarray
    labels: np.ndarray | None = None
    label_names: tuple[str, ...] = ()
    digest: str = ""
    dropped: int = 0

    def __len__(self) -> int:
        """The number of examples."""
        return len(self.offsets) - 1
