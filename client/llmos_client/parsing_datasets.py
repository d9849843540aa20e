"""From protos to the results of the SDK: datasets."""

import json
from typing import Any, cast

from llmos.v1 import dataset_pb2, dataset_service_pb2
from llmos_client import datasets
from llmos_client.parsing_base import enum, moment

_COUNTS = (
    "rows_read",
    "rows_written",
    "rows_emptied",
    "duplicates",
    "near_duplicates",
    "rows_added",
    "rows_with_personal_data",
)


def dataset(proto: dataset_pb2.Dataset) -> datasets.Dataset:
    """Parse a Dataset."""
    return datasets.Dataset(
        name=proto.name,
        create_time=moment(proto, "create_time"),
        newest=dataset_version(proto.newest),
        version_count=proto.version_count,
    )


def dataset_version(proto: dataset_pb2.DatasetVersion) -> datasets.DatasetVersion:
    """Parse a DatasetVersion."""
    return datasets.DatasetVersion(
        name=proto.name,
        create_time=moment(proto, "create_time"),
        kind=enum(datasets.DatasetKind, dataset_pb2.DatasetKind, "DATASET_KIND_", proto.kind),
        row_count=proto.row_count,
        train_rows=proto.train_rows,
        validation_rows=proto.validation_rows,
        test_rows=proto.test_rows,
        byte_size=proto.byte_size,
        digest=proto.digest,
        license=proto.license,
        source=proto.source,
        lineage=dict(proto.lineage),
        recipe=_recipe(proto.recipe) if proto.HasField("recipe") else None,
        report=_report(proto.report) if proto.HasField("report") else None,
    )


def example(proto: dataset_service_pb2.Example) -> datasets.Example:
    """Parse an Example."""
    split = _short(dataset_pb2.DatasetSplit, "DATASET_SPLIT_", proto.split)
    return datasets.Example(proto.row, cast("datasets.Split", split), json.loads(proto.json))


def _recipe(proto: dataset_pb2.Recipe) -> datasets.Recipe:
    """Parse a Recipe; what was not asked for is left out."""
    recipe: dict[str, Any] = {
        name: True
        for name in ("lowercase", "segment_chinese", "strip_punctuation", "deduplicate")
        if getattr(proto, name)
    }
    if proto.unicode:
        recipe["unicode"] = _short(dataset_pb2.UnicodeForm, "UNICODE_FORM_", proto.unicode)
    if proto.stop_words:
        recipe["stop_words"] = _short(dataset_pb2.StopWords, "STOP_WORDS_", proto.stop_words)
    if proto.personal_data:
        kinds = dataset_pb2.PersonalData
        recipe["personal_data"] = tuple(
            _short(kinds, "PERSONAL_DATA_", kind) for kind in proto.personal_data
        )
    if proto.HasField("near_duplicates"):
        recipe["near_duplicates"] = proto.near_duplicates
    if proto.HasField("split"):
        split = proto.split
        recipe |= {"validation": split.validation, "test": split.test, "salt": split.salt}
    if proto.HasField("noise"):
        noise = proto.noise
        recipe |= {
            "noise": noise.probability,
            "noise_copies": noise.copies,
            "noise_seed": noise.seed,
        }
    return cast("datasets.Recipe", recipe)


def _report(proto: dataset_pb2.PreprocessReport) -> datasets.PreprocessReport:
    counts = {name: getattr(proto, name) for name in _COUNTS}
    return datasets.PreprocessReport(personal_data=dict(proto.personal_data), **counts)


def _short(proto_enum: Any, prefix: str, value: int) -> str:
    names = {number: name for name, number in proto_enum.items()}
    return str(names.get(value, "")).removeprefix(prefix).lower()
