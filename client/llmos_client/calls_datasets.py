"""The unary calls of DatasetService as values, and what their requests are made of."""

from collections.abc import Mapping, Sequence
from typing import Any, get_args
from uuid import uuid4

from llmos.v1 import dataset_pb2, dataset_service_pb2, model_service_pb2
from llmos_client import datasets, parsing_datasets, parsing_operations, results
from llmos_client.calls import Call
from llmos_client.errors import InvalidDatasetError
from llmos_client.options import check_names
from llmos_client.requests import enum_value
from llmos_client.upload import LocalFile

_FLAGS = ("lowercase", "segment_chinese", "strip_punctuation", "deduplicate")
_SPLIT = ("validation", "test", "salt")
_NOISE = ("noise", "noise_copies", "noise_seed")
_ENUMS = {
    "unicode": (dataset_pb2.UnicodeForm, "UNICODE_FORM_"),
    "stop_words": (dataset_pb2.StopWords, "STOP_WORDS_"),
}


def list_datasets(page_token: str) -> Call[tuple[list[datasets.Dataset], str]]:
    """Call ListDatasets for one page; the answer has the next page's token."""

    def parse(response: Any) -> tuple[list[datasets.Dataset], str]:
        return [parsing_datasets.dataset(d) for d in response.datasets], response.next_page_token

    request = dataset_service_pb2.ListDatasetsRequest(page_token=page_token)
    return Call("datasets", "ListDatasets", request, parse)


def list_versions(dataset: str, page_token: str) -> Call[tuple[list[datasets.DatasetVersion], str]]:
    """Call ListDatasetVersions for one page; "-" means all datasets."""

    def parse(response: Any) -> tuple[list[datasets.DatasetVersion], str]:
        found = [parsing_datasets.dataset_version(version) for version in response.versions]
        return found, response.next_page_token

    parent = "datasets/-" if dataset == "-" else dataset
    request = dataset_service_pb2.ListDatasetVersionsRequest(parent=parent, page_token=page_token)
    return Call("datasets", "ListDatasetVersions", request, parse)


def list_examples(
    name: str, split: str | None, page_size: int, page_token: str
) -> Call[tuple[list[datasets.Example], str]]:
    """Call ListExamples for one page."""

    def parse(response: Any) -> tuple[list[datasets.Example], str]:
        return [parsing_datasets.example(e) for e in response.examples], response.next_page_token

    request = dataset_service_pb2.ListExamplesRequest(
        parent=name, page_size=page_size, page_token=page_token
    )
    if split is not None:
        request.split = enum_value(dataset_pb2.DatasetSplit, "DATASET_SPLIT_", split)
    return Call("datasets", "ListExamples", request, parse)


def get_dataset(name: str) -> Call[datasets.Dataset]:
    """Call GetDataset."""
    request = dataset_service_pb2.GetDatasetRequest(name=name)
    return Call("datasets", "GetDataset", request, parsing_datasets.dataset)


def get_version(name: str) -> Call[datasets.DatasetVersion]:
    """Call GetDatasetVersion."""
    request = dataset_service_pb2.GetDatasetVersionRequest(name=name)
    return Call("datasets", "GetDatasetVersion", request, parsing_datasets.dataset_version)


def delete_dataset(name: str) -> Call[None]:
    """Call DeleteDataset."""
    request = dataset_service_pb2.DeleteDatasetRequest(name=name)
    return Call("datasets", "DeleteDataset", request, lambda _: None)


def delete_version(name: str) -> Call[None]:
    """Call DeleteDatasetVersion."""
    request = dataset_service_pb2.DeleteDatasetVersionRequest(name=name)
    return Call("datasets", "DeleteDatasetVersion", request, lambda _: None)


def preprocess_dataset(
    name: str, dataset_id: str, recipe: Mapping[str, Any], request_id: str
) -> Call[results.Operation[datasets.DatasetVersion]]:
    """Call PreprocessDataset."""
    request = dataset_service_pb2.PreprocessDatasetRequest(
        name=name, dataset_id=dataset_id or None, recipe=make_recipe(recipe), request_id=request_id
    )
    return Call("datasets", "PreprocessDataset", request, parsing_operations.operation)


def make_header(
    dataset_id: str,
    files: Sequence[LocalFile],
    *,
    kind: str,
    license: str = "",  # noqa: A002 - the field's name
    source: str = "",
    one_per_line: bool = False,
    recipe: Mapping[str, Any] | None = None,
    request_id: str = "",
) -> dataset_service_pb2.UploadDatasetHeader:
    """Describe the files of an upload."""
    if not files:
        raise InvalidDatasetError("no files to upload", code="INVALID_ARGUMENT")
    return dataset_service_pb2.UploadDatasetHeader(
        dataset_id=dataset_id,
        kind=enum_value(dataset_pb2.DatasetKind, "DATASET_KIND_", kind),
        files=[
            model_service_pb2.UploadFile(
                name=f.name, byte_size=f.byte_size, digest=f"sha256:{f.sha256}"
            )
            for f in files
        ],
        license=license,
        source=source,
        one_per_line=one_per_line,
        recipe=None if recipe is None else make_recipe(recipe),
        request_id=request_id or uuid4().hex,
    )


def make_recipe(given: Mapping[str, Any]) -> dataset_pb2.Recipe:
    """Build a Recipe from the keys of `datasets.Recipe`."""
    check_names(given, datasets.Recipe)
    recipe = dataset_pb2.Recipe(**{name: given[name] for name in _FLAGS if name in given})
    for name, (proto_enum, prefix) in _ENUMS.items():
        if given.get(name):
            setattr(recipe, name, enum_value(proto_enum, prefix, given[name]))
    kinds = given.get("personal_data", ())
    for kind in get_args(datasets.PersonalData) if kinds == "all" else kinds:
        recipe.personal_data.append(enum_value(dataset_pb2.PersonalData, "PERSONAL_DATA_", kind))
    if given.get("near_duplicates") is not None:
        recipe.near_duplicates = given["near_duplicates"]
    split = {name: given[name] for name in _SPLIT if name in given}
    if split:
        recipe.split.CopyFrom(dataset_pb2.SplitShares(**split))
    if any(name in given for name in _NOISE):
        recipe.noise.probability = given.get("noise", 0.0)
        recipe.noise.copies = given.get("noise_copies", 1)
        recipe.noise.seed = given.get("noise_seed", 0)
    return recipe
