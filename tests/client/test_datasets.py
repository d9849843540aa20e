"""Recipes on their way out and back."""

import pytest

from llmos_client import calls_datasets, parsing_datasets
from llmos_client.calls_datasets import make_header, make_recipe
from llmos_client.cli.commands import dataset as command
from llmos_client.cli.commands import dataset_clean
from llmos_client.datasets import DatasetKind, PersonalData
from llmos_client.errors import InvalidDatasetError
from llmos_client.upload import LocalFile

FULL = {
    "unicode": "nfkc",
    "personal_data": ("email", "secret"),
    "lowercase": True,
    "segment_chinese": True,
    "stop_words": "chinese",
    "strip_punctuation": True,
    "deduplicate": True,
    "near_duplicates": 0.8,
    "validation": 0.1,
    "test": 0.2,
    "salt": "x",
    "noise": 0.05,
    "noise_copies": 3,
    "noise_seed": 7,
}


@pytest.mark.parametrize("recipe", [FULL, {}, {"deduplicate": True}, {"near_duplicates": 0.5}])
def test_a_recipe_comes_back_as_it_was(recipe):
    assert parsing_datasets._recipe(make_recipe(recipe)) == recipe


def test_all_personal_data():
    recipe = parsing_datasets._recipe(make_recipe({"personal_data": "all"}))
    assert recipe == {"personal_data": PersonalData.__args__}
    assert PersonalData.__args__ == dataset_clean._PERSONAL_DATA


def test_what_no_recipe_has():
    with pytest.raises(TypeError, match=r"no option \"lower\"; is it lowercase\?"):
        make_recipe({"lower": True})
    with pytest.raises(ValueError, match='"names" is not one of email'):
        make_recipe({"personal_data": ["names"]})
    with pytest.raises(ValueError, match='"nfd" is not one of nfc, nfkc'):
        make_recipe({"unicode": "nfd"})


def test_kinds():
    assert tuple(kind.value for kind in DatasetKind if kind != "unspecified") == command.KINDS
    assert {*FULL} == {*calls_datasets.datasets.Recipe.__annotations__}


def test_the_header(tmp_path):
    file = LocalFile(tmp_path / "x", "a.jsonl", 3, "ab" * 32)
    header = make_header("a", [file], kind="pairs")
    assert header.files[0].digest == "sha256:" + "ab" * 32
    assert not header.HasField("recipe")
    assert len(header.request_id) == 32
    with pytest.raises(InvalidDatasetError, match="no files"):
        make_header("a", [], kind="pairs")
    with pytest.raises(ValueError, match='"csv" is not one of text, chat'):
        make_header("a", [file], kind="csv")
