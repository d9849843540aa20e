"""Uploads that are not what they say, and formats that are never opened (T36, T39, T40)."""

import io
import pickle
import zipfile

import numpy as np
import pytest

from uploads import INVALID, failure, messages, refused

MIB = 1024 * 1024

pytestmark = pytest.mark.usefixtures("unharmed", "nothing_kept")


def test_content_that_is_not_what_its_digest_says(daemon, good):
    """T36: DATA_LOSS, in the upload's own status."""
    wrong = {"config.json": "sha256:" + "0" * 64}
    found = refused(daemon, *messages(good, digests=wrong))
    assert found.label == "DATA_LOSS/DATA_CORRUPT"
    last = list(good)[-1]
    for change in (1, -1):
        size = {last: len(good[last]) + change}
        assert refused(daemon, *messages(good, sizes=size)).label == "DATA_LOSS/DATA_CORRUPT"
    cut = list(messages(good))[:-1]
    assert refused(daemon, *cut).label == "DATA_LOSS/DATA_CORRUPT"


@pytest.mark.parametrize("order", [[], [1], [0, 0], [0, 2, 1], [0, 1, 1]], ids=str)
def test_parts_out_of_order(daemon, good, order):
    """The header first and once, then the files in its order: anything else is INVALID_FIELD."""
    parts = list(messages(dict(list(good.items())[:3])))
    found = refused(daemon, *(parts[at] for at in order))
    assert found.label == "INVALID_ARGUMENT/INVALID_FIELD"
    assert found.fields[0] in {"part", "chunk.file"}


def test_sizes_that_cannot_be(daemon, good):
    """More than an upload or the disk may hold is refused before a byte is sent."""
    for size in (2**64 - 1, 2**50):
        found = refused(daemon, next(messages(good, sizes={"config.json": size})))
        assert found.code == "RESOURCE_EXHAUSTED"


class Canary:
    """Makes a file when unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def evil_array(canary):
    buffer = io.BytesIO()
    np.save(buffer, np.array([Canary(canary)], dtype=object), allow_pickle=True)
    return buffer.getvalue()


def evil_torch(canary):
    import torch

    buffer = io.BytesIO()
    torch.save({"w": Canary(canary)}, buffer)
    return buffer.getvalue()


def zip_bomb(_):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(300 * MIB))
    return buffer.getvalue()


def evil_pickle(canary):
    return pickle.dumps(Canary(canary))


FOREIGN = [
    ("pytorch_model.bin", evil_torch),
    ("model.pt", evil_pickle),
    ("a.npy", evil_array),
    ("a.joblib", evil_pickle),
    ("model.safetensors", evil_torch),
    ("model.pt", zip_bomb),
    ("model.safetensors", zip_bomb),
]


@pytest.mark.parametrize(("name", "make"), FOREIGN, ids=lambda v: getattr(v, "__name__", v))
def test_foreign_formats(daemon, good, tmp_path, name, make):
    """T39, T40: refused by name or first bytes; no pickle runs, no archive is opened."""
    canary = tmp_path / "canary"
    error = failure(daemon, good | {name: make(canary)})
    assert error.label == INVALID
    assert error.message.startswith(f'unsupported format: "{name}"')
    assert not canary.exists()


def test_the_canary_sings(tmp_path):
    """The control of T39: unpickled, the same bytes do run a program."""
    pickle.loads(evil_pickle(tmp_path / "canary")).close()
    assert (tmp_path / "canary").exists()
