"""The parts of a promotion that need no model: licenses, verdicts, conditions, probe prompts."""

import asyncio
from types import SimpleNamespace

import pytest

from llmos.v1 import promotion_pb2 as pb
from llmosd.errors import DatasetNotFound, GateRefused, InvalidField
from llmosd.rpc import convert_promotions
from llmosd.rpc.gates import Asked, LicenseGate
from llmosd.rpc.licenses import restriction
from llmosd.rpc.probation import FEWEST, Tally, verdict
from llmosd.rpc.self_check import probe_ids
from llmosd.store.aliases import Watching
from tiny_training import tiny_config

RESTRICTED = [
    "CC-BY-NC-4.0", "cc-by-nc-sa-3.0", "CC-BY-NC-ND-4.0", "CC-BY-ND-4.0", "PolyForm-Noncommercial-1.0.0",
    "research-only", "For research purposes", "Non-Commercial", "noncommercial use", "academic use only",
    "mistral research license", "MRL",
]  # fmt: skip
FREE = [
    "", "MIT", "Apache-2.0", "CC-BY-4.0", "CC-BY-SA-4.0", "CC0-1.0", "BSD-3-Clause", "llama3.1", "OpenRAIL",
    "LicenseRef-Research-Institute", "GPL-3.0-only",
]  # fmt: skip


@pytest.mark.parametrize("text", RESTRICTED)
def test_restricted(text):
    assert restriction(text)


@pytest.mark.parametrize("text", FREE)
def test_free(text):
    assert restriction(text) is None


class Things:
    """Catalog and stores at once: what is of which license, and made from what."""

    def __init__(self, **licenses):
        self._licenses = licenses
        self.datasets = self

    def resolve(self, ref):
        name = str(ref)
        key = name.split("/")[1]
        if key not in self._licenses:
            raise DatasetNotFound(name)
        return SimpleNamespace(
            name=name, license=self._licenses[key], model_id=key, dataset_id=key, version=1
        )

    def manifest(self, key, _version):
        lineage = {
            "tuned": {
                "base": "models/base/versions/1",
                "dataset": "datasets/clean/versions/1",
                "method": '{"others": [["models/soup/versions/1", 0.5]]}',
            },
            "clean": {"source": "datasets/raw/versions/1"},
        }
        return SimpleNamespace(adapter_base="", lineage=lineage.get(key, {}))


@pytest.mark.parametrize("restricted", ["tuned", "base", "clean", "raw", "soup", None])
def test_a_license_travels(restricted):
    """A version has the restrictions of everything it comes from, however far back."""
    licenses = dict.fromkeys(("tuned", "base", "clean", "raw", "soup"), "MIT")
    if restricted:
        licenses[restricted] = "CC-BY-NC-4.0"
    things = Things(**licenses)
    gate = LicenseGate(things, things, things)
    record = SimpleNamespace(name="models/tuned/versions/1")
    if restricted is None:
        asyncio.run(gate.check(record, None, Asked()))
        return
    with pytest.raises(GateRefused, match="no commercial use") as caught:
        asyncio.run(gate.check(record, None, Asked()))
    assert caught.value.metadata["resource"].split("/")[1] == restricted
    asyncio.run(gate.check(record, None, Asked(allow_restricted_license=True)))


def test_what_was_removed_says_nothing():
    things = Things(tuned="MIT", base="MIT")
    record = SimpleNamespace(name="models/tuned/versions/1")
    asyncio.run(LicenseGate(things, things, things).check(record, None, Asked()))


LIMITS = Watching(60.0, 1, 0.1)


@pytest.mark.parametrize(("last", "reason"), [
    (Tally(1, 0, 0), None),
    (Tally(2, 0, 0), "its process was lost 2 times"),
    (Tally(0, FEWEST, FEWEST // 10), None),
    (Tally(0, FEWEST, FEWEST // 10 + 1), "3 of 20 requests failed"),
    (Tally(0, FEWEST - 1, FEWEST - 1), None),
    (Tally(0, 1000, 100), None),
])  # fmt: skip
def test_verdicts(last, reason):
    """More than is borne, and of enough requests; what was before does not count."""
    for first in (Tally(0, 0, 0), Tally(3, 50, 50)):
        moved = Tally(*(a + b for a, b in zip(first, last, strict=True)))
        found = verdict(first, moved, LIMITS)
        assert (found is None) if reason is None else found.startswith(reason)


def test_probations():
    assert convert_promotions.watching(pb.Probation()) == Watching()
    message = pb.Probation(engine_losses=0, failed_share=0.0)
    message.duration.FromSeconds(5)
    assert convert_promotions.watching(message) == Watching(5.0, 0, 0.0)
    message.duration.FromSeconds(0)
    assert convert_promotions.watching(message) is None
    message.duration.FromSeconds(-1)
    with pytest.raises(InvalidField, match=r"probation\.duration"):
        convert_promotions.watching(message)


def test_probe_prompts():
    """From all over the vocabulary, within the context, ended where prompts are."""
    ids = probe_ids(tiny_config(vocab_size=49_152))
    assert len(set(ids)) == len(ids) == 48
    assert max(ids) > 45_000
    assert min(ids) < 5_000
    short = probe_ids(tiny_config(context_length=16))
    assert len(short) == 7
    ended = probe_ids(tiny_config("seq2seq", encoder_layers=1, start_id=7))
    assert ended[-1] == 7
    assert 7 not in ended[:-1]
    assert len(probe_ids(tiny_config(context_length=4))) == 2
