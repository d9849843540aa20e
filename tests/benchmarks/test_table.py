"""Turns, medians, ratios and the table, with fake engines: nothing here takes time."""

import io
import json
import sys
from pathlib import Path

import pytest
from rich.console import Console

# The benchmarks are run from the repository's root and are in no wheel.
sys.path.append(str(Path(__file__).parents[2]))

from benchmarks.cases import FULL, QUICK, SHOWN, Case, Plan, batches
from benchmarks.pairs import measure
from benchmarks.peer import Timing, missing
from benchmarks.table import Pair, print_pair, ratio, rows, write_json


class FakePeer:
    """Takes `step` seconds per token; notes the order in which it was asked."""

    def __init__(self, name, step, order):
        self.name = name
        self.step = step
        self.order = order

    def generate(self, batch):
        self.order.append((self.name, len(batch), batch[0].ids))
        first = self.step * len(batch[0].ids)
        return [Timing(first, first + self.step * (r.tokens - 1), r.tokens) for r in batch]


@pytest.fixture
def order():
    return []


@pytest.fixture
def pair(order):
    plan = Plan((Case(1, 32, 9), Case(1, 512, 9), Case(8, 32, 8)), rounds=3)
    own, other = measure([FakePeer("A", 0.01, order), FakePeer("B", 0.03, order)], plan)
    return Pair("float32", own, "other", "int8", other)


def test_turns_are_interleaved(pair, order):
    """A B A B, each pair of turns with the same batch, after one warm-up of both."""
    names = "".join(name for name, _, _ in order)
    assert names == "AB" * (1 + 3 * 3)
    assert all(order[at][1:] == order[at + 1][1:] for at in range(0, len(order), 2))
    assert all(len(samples) == 3 for samples in pair.llmos.values())


def test_a_third_of_the_time_is_a_ratio_of_three(pair):
    """For rates and for times alike."""
    found = {measure: (own, other, times) for measure, own, other, times in rows(pair)}
    assert list(found) == [measure for measure in SHOWN if measure in found]
    assert found["first token, prompt of 32"] == pytest.approx((0.32, 0.96, 3.0))
    assert found["prefill, prompt of 512"] == pytest.approx((100.0, 100 / 3, 3.0))
    assert found["8 streams"] == pytest.approx((64 / 0.39, 64 / 1.17, 3.0))
    assert ratio("8 streams", 1.0, 2.0) == 0.5
    assert ratio("first token, prompt of 32", 1.0, 2.0) == 2.0


def test_decode_does_not_count_the_first_token():
    timing = Timing(first=1.0, total=3.0, tokens=11)
    assert Case(1, 128, 11).measures([timing])["decode, prompt of 128"] == 5.0


def test_medians_shrug_off_an_outlier():
    pair = Pair("", {"8 streams": [10.0, 1.0, 11.0]}, "other", "", {"8 streams": [5.0, 5.0, 999.0]})
    assert rows(pair) == [("8 streams", 10.0, 5.0, 2.0)]


def test_table_and_json(pair, tmp_path):
    output = io.StringIO()
    print_pair(Console(file=output, width=100), pair)
    assert "llmos (float32) and other (int8)" in output.getvalue()
    assert "320 ms" in output.getvalue()
    path = tmp_path / "bench.json"
    write_json(path, [pair], {"absent": "not installed"}, quick=True)
    result = json.loads(path.read_text())
    assert result["missing"] == {"absent": "not installed"}
    assert result["machine"]["processors"] >= 1
    assert result["pairs"][0]["medians"][0]["ratio"] == pytest.approx(3.0)
    assert len(result["pairs"][0]["samples"]["peer"]["8 streams"]) == 3


def test_without_a_peer_there_is_no_ratio(pair):
    alone = Pair("float32", pair.llmos)
    assert all(row[2:] == (None, None) for row in rows(alone))
    print_pair(Console(file=io.StringIO()), alone)


@pytest.mark.parametrize("plan", [FULL, QUICK])
def test_no_prompt_begins_like_another(plan):
    """Else an engine with a prefix cache would answer from it."""
    asked = [request for _, batch in batches(plan) for request in batch]
    assert len({tuple(request.ids[:16]) for request in asked}) == len(asked)
    assert [len(batch) for _, batch in batches(plan)] == [
        c.streams for c in plan.cases
    ] * plan.rounds
    assert all(len(r.ids) == case.prompt for case, batch in batches(plan) for r in batch)


def test_a_missing_module_says_how_to_get_it():
    assert missing("json", "json") == ""
    assert "pip install nothing-of-that-name" in missing("nothing_of_that", "nothing-of-that-name")


def test_chart(pair):
    """A bar for each ratio, as long as it says, in an SVG that parses."""
    from xml.etree import ElementTree as ET

    from benchmarks.chart import draw

    medians = [
        dict(zip(("measure", "llmos", "peer", "ratio"), row, strict=True)) for row in rows(pair)
    ]
    about = {"llmos": "float32", "peer": "<int8>"}
    root = ET.fromstring(draw({"pairs": [{"peer": "other", "about": about, "medians": medians}]}))
    bars = [
        bar for bar in root.iter("{http://www.w3.org/2000/svg}rect") if bar.get("fill") != "white"
    ]
    assert len(bars) == sum(row[3] is not None for row in rows(pair))
    assert {bar.get("width") for bar in bars} == {"330"}
