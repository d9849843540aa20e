"""What the tests of refused imports share."""

import time
import tracemalloc

import pytest

import factory


@pytest.fixture
def folder(tmp_path):
    return factory.tiny_llama_folder(tmp_path / "hf")


@pytest.fixture
def refused(tmp_path):
    """Import a folder, expecting a refusal at once, cheaply, and with nothing left behind."""
    output = tmp_path / "out"
    output.mkdir()

    def check(folder, error, message, **changes):
        start = time.monotonic()
        tracemalloc.start()
        try:
            with pytest.raises(error, match=message):
                factory.tiny_version(folder, output, **changes)
            assert tracemalloc.get_traced_memory()[1] < 20 << 20
        finally:
            tracemalloc.stop()
        assert time.monotonic() - start < 1.0
        assert not (output / "manifest.json").exists()

    return check
