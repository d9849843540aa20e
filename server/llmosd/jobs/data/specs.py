"""What a recipe asks of a dataset, and what came of it. Imports nothing heavy, as jobs.specs."""

from typing import Literal

import msgspec

PersonalData = Literal[
    "email", "phone", "credit_card", "iban", "ip_address", "ssn", "chinese_id", "secret"
]


class SplitSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Shares of the rows; where a row goes depends on its text and `salt` alone."""

    validation: float = 0.0
    test: float = 0.0
    salt: str = ""


class NoiseSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Copies of training rows with typing errors: characters dropped, or swapped with the next."""

    probability: float
    copies: int = 1
    seed: int = 0


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is done to rows, in this order; nothing that is not asked for.

    Attributes:
        unicode: normalization form.
        personal_data: kinds that are replaced by their names in brackets, as [EMAIL].
        lowercase, segment_chinese, stop_words, strip_punctuation: for counting words; they hurt
            models that write.
        deduplicate: of rows that are equal but for case and white space, keep the first.
        near_duplicates: of rows whose texts are this similar, keep the first; 0: off.
        split: None: rows keep their splits.
        noise: None: no copies.
    """

    unicode: Literal["", "nfc", "nfkc"] = ""
    personal_data: tuple[PersonalData, ...] = ()
    lowercase: bool = False
    segment_chinese: bool = False
    stop_words: Literal["", "english", "chinese"] = ""
    strip_punctuation: bool = False
    deduplicate: bool = False
    near_duplicates: float = 0.0
    split: SplitSpec | None = None
    noise: NoiseSpec | None = None


class PreprocessSpec(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="preprocess-dataset"
):
    """Make a dataset version of another one by a recipe.

    `source` is the folder of a version, `source_name` its resource name; `output` an empty folder
    to fill (see `store.folders.Staging`), beside which a scratch folder may be made. The license is
    the source's.
    """

    source: str
    source_name: str = ""
    output: str
    recipe: Recipe


class PreprocessReport(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a recipe; `personal_data` counts what was replaced, by kind."""

    rows_read: int = 0
    rows_written: int = 0
    rows_emptied: int = 0
    duplicates: int = 0
    near_duplicates: int = 0
    rows_added: int = 0
    personal_data: dict[str, int] = {}
    rows_with_personal_data: int = 0
