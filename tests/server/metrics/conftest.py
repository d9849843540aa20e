"""Public data beside the repository."""

from pathlib import Path

import pytest

SHARED = Path(__file__).parents[4] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data():
    """The path of a file there; the test skips where it is absent."""

    def find(name):
        path = SHARED / name
        if not path.exists():
            pytest.skip(f"needs ../shared/data/{name}")
        return path

    return find


@pytest.fixture(scope="session")
def xsum(shared_data, tmp_path_factory):
    """The folder of XSum's gold summaries, five systems' outputs and their published figures."""
    import tarfile

    folder = tmp_path_factory.mktemp("xsum")
    with tarfile.open(shared_data("xsum-model-predictions.tar.gz")) as archive:
        archive.extractall(folder, filter="data")
    return folder / "xsum-model-predictions"


@pytest.fixture(scope="session")
def summaries(xsum):
    """A system's summaries and their references."""

    def read(system):
        gold = (xsum / "gold-test-sentences.txt").read_text().splitlines()
        texts = (xsum / f"{system}-test-output.txt").read_text().splitlines()
        return texts, [[text] for text in gold]

    return read
