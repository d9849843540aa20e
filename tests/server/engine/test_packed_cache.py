"""Packed weights on disk: found again, made anew when damaged, done without when they cannot be."""

import numpy as np
import pytest

from llmosd.engine.packed_cache import load_or_pack

ARRAYS = {"a": np.arange(6, dtype=np.int8).reshape(2, 3), "b": np.array([1.5], np.float32)}


class Packer:
    """Counts how often it is asked."""

    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return ARRAYS


@pytest.fixture
def packer():
    return Packer()


def same(arrays):
    return arrays.keys() == ARRAYS.keys() and all(
        np.array_equal(arrays[name], ARRAYS[name]) and arrays[name].dtype == ARRAYS[name].dtype
        for name in ARRAYS
    )


def test_packed_once(tmp_path, packer):
    """The second load reads; another model, or type, does not find it."""
    assert same(load_or_pack(str(tmp_path), "key", packer))
    assert same(load_or_pack(str(tmp_path), "key", packer))
    assert packer.calls == 1
    load_or_pack(str(tmp_path), "other", packer)
    assert packer.calls == 2
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.parametrize("damage", ["cut", "garbage", "empty"])
def test_damaged_files_are_made_anew(tmp_path, packer, damage):
    """A file that cannot be read is replaced by one that can."""
    load_or_pack(str(tmp_path), "key", packer)
    (path,) = tmp_path.rglob("*.safetensors")
    content = path.read_bytes()
    path.write_bytes({"cut": content[:-3], "garbage": b"x" * len(content), "empty": b""}[damage])
    assert same(load_or_pack(str(tmp_path), "key", packer))
    assert packer.calls == 2
    assert path.read_bytes() == content
    assert same(load_or_pack(str(tmp_path), "key", packer))
    assert packer.calls == 2


def test_without_a_folder(packer):
    """Nothing is kept where nothing may be."""
    assert same(load_or_pack("", "key", packer))
    assert same(load_or_pack("", "key", packer))
    assert packer.calls == 2


def test_unwritable_folder(tmp_path, packer):
    """A cache that cannot be written costs the next load its speed, no more."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert same(load_or_pack(str(blocked / "packed"), "key", packer))
    assert packer.calls == 1


def test_full_disk(tmp_path, packer, monkeypatch):
    """The half-written file of a full disk is gone, and the arrays are served."""

    def fill(_arrays, path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("llmosd.engine.packed_cache.save_file", fill)
    assert same(load_or_pack(str(tmp_path), "key", packer))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
