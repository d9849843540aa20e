"""Datasets: records and manifests as resources of the API, recipes as structs and back."""

from collections.abc import Mapping
from typing import Any

import msgspec

from llmos.v1 import dataset_pb2
from llmos.v1 import dataset_service_pb2 as pb
from llmosd.errors import DataCorrupt, UnsafeFile
from llmosd.jobs.data.specs import NoiseSpec, PersonalData, PreprocessReport, Recipe, SplitSpec
from llmosd.rpc import convert
from llmosd.store.datasets import RECIPE, REPORT, DatasetKind, DatasetStore, Split
from llmosd.store.records import DatasetRecord, DatasetVersionRecord

KINDS: dict[int, DatasetKind] = {
    dataset_pb2.DATASET_KIND_TEXT: "text",
    dataset_pb2.DATASET_KIND_CHAT: "chat",
    dataset_pb2.DATASET_KIND_PAIRS: "pairs",
    dataset_pb2.DATASET_KIND_LABELLED: "labelled",
    dataset_pb2.DATASET_KIND_GRADED: "graded",
    dataset_pb2.DATASET_KIND_PREFERENCE: "preference",
    dataset_pb2.DATASET_KIND_RATED: "rated",
    dataset_pb2.DATASET_KIND_CHOICES: "choices",
    dataset_pb2.DATASET_KIND_CHECKS: "checks",
}
SPLITS: dict[int, Split | None] = {
    dataset_pb2.DATASET_SPLIT_UNSPECIFIED: None,
    dataset_pb2.DATASET_SPLIT_TRAIN: "train",
    dataset_pb2.DATASET_SPLIT_VALIDATION: "validation",
    dataset_pb2.DATASET_SPLIT_TEST: "test",
}
_PERSONAL_DATA: dict[int, PersonalData] = {
    dataset_pb2.PERSONAL_DATA_EMAIL: "email",
    dataset_pb2.PERSONAL_DATA_PHONE: "phone",
    dataset_pb2.PERSONAL_DATA_CREDIT_CARD: "credit_card",
    dataset_pb2.PERSONAL_DATA_IBAN: "iban",
    dataset_pb2.PERSONAL_DATA_IP_ADDRESS: "ip_address",
    dataset_pb2.PERSONAL_DATA_SSN: "ssn",
    dataset_pb2.PERSONAL_DATA_CHINESE_ID: "chinese_id",
    dataset_pb2.PERSONAL_DATA_SECRET: "secret",
}
_UNICODE: dict[str, Any] = {
    "": 0,
    "nfc": dataset_pb2.UNICODE_FORM_NFC,
    "nfkc": dataset_pb2.UNICODE_FORM_NFKC,
}
_STOP_WORDS: dict[str, Any] = {
    "": 0,
    "english": dataset_pb2.STOP_WORDS_ENGLISH,
    "chinese": dataset_pb2.STOP_WORDS_CHINESE,
}
_FLAGS = ("lowercase", "segment_chinese", "strip_punctuation", "deduplicate")


def recipe(given: dataset_pb2.Recipe) -> Recipe:
    """A recipe as jobs know it."""
    split, noise = None, None
    if given.HasField("split"):
        shares = given.split
        split = SplitSpec(validation=shares.validation, test=shares.test, salt=shares.salt)
    if given.HasField("noise"):
        noise = NoiseSpec(
            probability=given.noise.probability,
            copies=given.noise.copies or 1,
            seed=given.noise.seed,
        )
    return Recipe(
        unicode=_key(_UNICODE, given.unicode),
        personal_data=tuple(_PERSONAL_DATA[kind] for kind in sorted(set(given.personal_data))),
        stop_words=_key(_STOP_WORDS, given.stop_words),
        near_duplicates=given.near_duplicates,
        split=split,
        noise=noise,
        **{name: getattr(given, name) for name in _FLAGS},
    )


def _recipe_message(recipe: Recipe) -> dataset_pb2.Recipe:
    result = dataset_pb2.Recipe(
        unicode=_UNICODE[recipe.unicode],
        personal_data=[_key(_PERSONAL_DATA, kind) for kind in recipe.personal_data],
        stop_words=_STOP_WORDS[recipe.stop_words],
        **{name: getattr(recipe, name) for name in _FLAGS},
    )
    if recipe.near_duplicates:
        result.near_duplicates = recipe.near_duplicates
    if recipe.split is not None:
        result.split.CopyFrom(dataset_pb2.SplitShares(**msgspec.structs.asdict(recipe.split)))
    if recipe.noise is not None:
        result.noise.CopyFrom(dataset_pb2.Noise(**msgspec.structs.asdict(recipe.noise)))
    return result


def version(record: DatasetVersionRecord, store: DatasetStore) -> dataset_pb2.DatasetVersion:
    """A version, with what its small files say. Raises DataCorrupt, UnsafeFile."""
    result = _recorded(record)
    manifest = store.manifest(record.dataset_id, record.version)
    result.lineage.update(manifest.lineage)
    for split, rows in manifest.splits.items():
        setattr(result, f"{split}_rows", rows)
    try:
        data = store.read_file(record.dataset_id, record.version, RECIPE)
        made_by = msgspec.json.decode(data, type=Recipe | None)
        data = store.read_file(record.dataset_id, record.version, REPORT)
        report = msgspec.json.decode(data, type=PreprocessReport | None)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise DataCorrupt(f"the files of {record.name} are damaged; upload it again") from None
    if made_by is not None and report is not None:
        result.recipe.CopyFrom(_recipe_message(made_by))
        result.report.CopyFrom(dataset_pb2.PreprocessReport(**msgspec.structs.asdict(report)))
    return result


def listed(record: DatasetVersionRecord, store: DatasetStore) -> dataset_pb2.DatasetVersion:
    """As `version`, but one that is damaged does not hide the others: what the catalog knows."""
    try:
        return version(record, store)
    except (DataCorrupt, UnsafeFile):
        return _recorded(record)


def _recorded(record: DatasetVersionRecord) -> dataset_pb2.DatasetVersion:
    return dataset_pb2.DatasetVersion(
        name=record.name,
        create_time=convert.timestamp(record.create_time),
        kind=_key(KINDS, record.kind),
        row_count=record.row_count,
        byte_size=record.byte_size,
        digest=record.digest,
        license=record.license,
        source=record.source,
    )


def dataset(record: DatasetRecord, store: DatasetStore) -> dataset_pb2.Dataset:
    """A dataset with its newest version."""
    return dataset_pb2.Dataset(
        name=record.name,
        create_time=convert.timestamp(record.create_time),
        newest=listed(record.newest, store),
        version_count=record.version_count,
    )


def example(row: int, split: Split, line: bytes) -> pb.Example:
    """One row."""
    return pb.Example(row=row, split=_key(SPLITS, split), json=line.decode())


def _key(table: Mapping[Any, Any], value: object) -> Any:
    """The first key of a value."""
    return next(key for key, each in table.items() if each == value)
