"""What the front asks of a process that reads feedback. Imports nothing heavy."""

from typing import Literal

import msgspec

RowsKind = Literal["rated", "preference", "pairs"]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict with its texts; see store.feedback.FeedbackRecord."""

    id: str
    kind: str
    tenant: str
    prompt: str
    answer: str
    other_answer: str = ""
    edit: str = ""


class FeedbackSpec(msgspec.Struct, frozen=True, kw_only=True, tag="export-feedback"):
    """Write rows of `kind` to `output`, a file of JSON lines.

    Attributes:
        verdicts: a file of JSON lines, each a Verdict.
        max_tenant_share: of the rows, that one tenant may have where there are several.
        replay: folder of a dataset of pairs or chat whose rows are mixed in; "": none are.
        replay_share: of all rows.
    """

    verdicts: str
    kind: RowsKind
    output: str
    max_tenant_share: float = 0.5
    replay: str = ""
    replay_share: float = 0.3
    seed: int = 0


class FeedbackRows(msgspec.Struct, frozen=True, kw_only=True, tag="export-feedback"):
    """Rows of feedback and of replay; `used` are the verdicts that made them.

    `skipped` verdicts have no row of this kind, or a prompt of several turns; `dropped` rows were
    more than their tenant's share.
    """

    rows: int
    replayed: int
    skipped: int
    dropped: int
    used: list[str]


class Comparison(msgspec.Struct, frozen=True):
    """A verdict between two versions: `outcome` 1 where the first is better, 0.5, 0.

    `item` is what was compared, the same for all who compared it; `rater` who did.
    """

    first: str
    second: str
    outcome: float
    rater: str
    item: str


class RateSpec(msgspec.Struct, frozen=True, kw_only=True, tag="rate-models"):
    """Rate versions by comparisons."""

    comparisons: list[Comparison]
    resamples: int = 1000
    seed: int = 0


class Rating(msgspec.Struct, frozen=True, kw_only=True):
    """See llmos.v1.ModelRating."""

    version: str
    rating: float
    low: float
    high: float
    wins: float
    comparisons: int


class Ratings(msgspec.Struct, frozen=True, kw_only=True, tag="rate-models"):
    """The best first; `agreement` None where nobody compared the same answers."""

    ratings: list[Rating]
    agreement: float | None = None
