"""Public data beside the repository."""

import pytest


@pytest.fixture(scope="session")
def summaries(xsum):
    """A system's summaries and their references."""

    def read(system):
        gold = (xsum / "gold-test-sentences.txt").read_text().splitlines()
        texts = (xsum / f"{system}-test-output.txt").read_text().splitlines()
        return texts, [[text] for text in gold]

    return read
