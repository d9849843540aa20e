"""What comes back about datasets, and what recipes are made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, TypedDict

Split = Literal["train", "validation", "test"]
PersonalData = Literal[
    "email", "phone", "credit_card", "iban", "ip_address", "ssn", "chinese_id", "secret"
]


class DatasetKind(StrEnum):
    """What a row holds."""

    UNSPECIFIED = "unspecified"
    TEXT = "text"
    CHAT = "chat"
    PAIRS = "pairs"
    LABELLED = "labelled"
    GRADED = "graded"
    PREFERENCE = "preference"
    RATED = "rated"
    CHOICES = "choices"
    CHECKS = "checks"


class Recipe(TypedDict, total=False):
    """What is done to rows, in this order; nothing that is not asked for.

    `personal_data` are kinds, or "all". `near_duplicates` is a similarity, 0.3 to 1. With
    `validation` or `test`, shares of the rows, every row goes where its text and `salt` say.
    `noise` is the probability of a typing error per character, of `noise_copies` copies of each
    training row. lowercase, segment_chinese, stop_words and strip_punctuation are for counting
    words; they hurt models that write.
    """

    unicode: Literal["nfc", "nfkc"]
    personal_data: Sequence[PersonalData] | Literal["all"]
    lowercase: bool
    segment_chinese: bool
    stop_words: Literal["english", "chinese"]
    strip_punctuation: bool
    deduplicate: bool
    near_duplicates: float
    validation: float
    test: float
    salt: str
    noise: float
    noise_copies: int
    noise_seed: int


@dataclass(frozen=True, slots=True)
class PreprocessReport:
    """What came of a recipe; `personal_data` counts what was replaced, by kind."""

    rows_read: int
    rows_written: int
    rows_emptied: int
    duplicates: int
    near_duplicates: int
    rows_added: int
    personal_data: Mapping[str, int]
    rows_with_personal_data: int


@dataclass(frozen=True, slots=True)
class DatasetVersion:
    """One immutable version of a dataset; `recipe` and `report` where a recipe made it."""

    name: str
    create_time: datetime | None
    kind: DatasetKind
    row_count: int
    train_rows: int
    validation_rows: int
    test_rows: int
    byte_size: int
    digest: str
    license: str
    source: str
    lineage: Mapping[str, str]
    recipe: Recipe | None
    report: PreprocessReport | None

    @property
    def dataset(self) -> str:
        """The dataset's ID: "reviews" of "datasets/reviews/versions/1"."""
        return self.name.removeprefix("datasets/").partition("/")[0]

    @property
    def number(self) -> int:
        """The version's number."""
        return int(self.name.rpartition("/")[2] or 0)


@dataclass(frozen=True, slots=True)
class Dataset:
    """A named dataset; `newest` is the version that its bare name means."""

    name: str
    create_time: datetime | None
    newest: DatasetVersion
    version_count: int

    @property
    def id(self) -> str:
        """The name without "datasets/"."""
        return self.name.removeprefix("datasets/")


@dataclass(frozen=True, slots=True)
class Example:
    """One row of a dataset, at its position."""

    row: int
    split: Split
    content: Mapping[str, Any]
