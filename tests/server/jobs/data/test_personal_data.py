"""What is replaced, what is left alone, and how often either goes wrong."""

import re
import sys
import time
from collections import Counter
from pathlib import Path
from typing import get_args

import pytest

from llmosd.jobs.data.personal_data import (
    PLACEHOLDER,
    Scrubber,
    chinese_id_valid,
    iban_valid,
    luhn,
)
from llmosd.jobs.data.specs import PersonalData

sys.path.insert(0, str(Path(__file__).parent))

from personal_texts import DECOYS, KINDS, labelled

ALL = get_args(PersonalData)
ROWS = 6000


def scrub(text, kinds=ALL):
    return Scrubber(kinds)(text)


def test_recall_and_precision():
    """Over a labelled set; the figures are in docs/datasets.md."""
    planted, missed, wrong = Counter(), Counter(), 0
    replaced = right = 0
    examples = []
    for text, kind, value in labelled(ROWS):
        scrubber = Scrubber(ALL)
        result = scrubber(text)
        found = scrubber.counts.total()
        replaced += found
        expected = text if kind is None else text.replace(value, f"[{kind.upper()}]")
        good = kind is not None and result == expected
        right += good
        if kind is not None:
            planted[kind] += 1
            missed[kind] += not good
        if found > good:
            wrong += 1
        if result != expected:
            examples.append((kind, value, result))
    recall, precision = right / planted.total(), right / replaced
    print(f"{ROWS} texts, {planted.total()} with personal data: ", end="")
    print(f"recall {recall:.1%}, precision {precision:.1%}; missed {dict(missed)}")
    assert recall > 0.95, examples[:20]
    assert precision > 0.98, examples[:20]
    assert all(missed[kind] <= 0.12 * planted[kind] for kind in KINDS), missed


def test_the_docs_have_the_figures():
    docs = (Path(__file__).parents[4] / "docs/datasets.md").read_text()
    planted = [row for row in labelled(ROWS) if row[1] is not None]
    results = [(text, kind, value, scrub(text)) for text, kind, value in labelled(ROWS)]
    right = sum(kind is not None and out == text.replace(value, f"[{kind.upper()}]") for text, kind, value, out in results)  # fmt: skip
    replaced = sum(len(PLACEHOLDER.findall(out)) for *_, out in results)
    flat = " ".join(docs.split())
    assert f"On {ROWS:,} generated texts" in flat
    assert f"{right / len(planted):.1%} of it was found" in flat
    assert f"{right / replaced:.1%} of what was replaced was personal data" in flat


@pytest.mark.parametrize("decoy", DECOYS)
def test_look_alikes_stay(decoy):
    for text in (decoy, f"It is {decoy}, see", f"号码{decoy}。"):
        assert scrub(text) == text


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("Joe <joe@example.com>, joe@example.com.", "Joe <[EMAIL]>, [EMAIL]."),
        ("邮箱zhang@example.com请", "邮箱[EMAIL]请"),
        ("https://me:pass@host.com/a", "https://[SECRET]@host.com/a"),
        ('api_key = "abc123def456"', 'api_key = "[SECRET]"'),
        ("Password: hunter2hunter2", "Password: [SECRET]"),
        ("4111-1111-1111-1111", "[CREDIT_CARD]"),
        ("DE89 3704 0044 0532 0130 00 AND MORE", "[IBAN] AND MORE"),
        ("from 192.168.0.1.", "from [IP_ADDRESS]."),
        ("地址192.168.0.1号", "地址[IP_ADDRESS]号"),
        ("身份证11010519491231002X", "身份证[CHINESE_ID]"),
        ("078-05-1120", "[SSN]"),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----",
            "[SECRET]",
        ),
    ],
)
def test_examples(text, result):
    assert scrub(text) == result


def test_only_the_kinds_asked_for():
    text = "joe@example.com 192.168.0.1"
    assert scrub(text, ["email"]) == "[EMAIL] 192.168.0.1"
    assert scrub(text, ["ip_address"]) == "joe@example.com [IP_ADDRESS]"
    assert scrub(text, []) == text


def test_counts():
    scrubber = Scrubber(ALL)
    scrubber("a@example.com b@example.com 192.168.0.1")
    assert scrubber.counts == {"email": 2, "ip_address": 1}


def test_check_digits():
    assert luhn("79927398713")
    assert not luhn("79927398710")
    assert iban_valid("GB82 WEST 1234 5698 7654 32")
    assert not iban_valid("GB82 WEST 1234 5698 7654 33")
    assert chinese_id_valid("11010519491231002X")
    assert not chinese_id_valid("110105194912310021")


def test_scrubbing_twice_changes_nothing():
    once = [scrub(text) for text, _, _ in labelled(300)]
    assert [scrub(text) for text in once] == once
    assert all(re.fullmatch(PLACEHOLDER, f"[{kind.upper()}]") for kind in ALL)


HOSTILE = [
    "a", "1", "1 ", "a@", "@a.", "a.", "1.", "::", "a:", "0-", "4111 ", "+1", "(0", "DE89 ", "A1 ",
    "key=", "://a:", "eyJa.", "sk-", "-----BEGIN PRIVATE KEY-----\n", "1.1.1.", "f:", "9" * 18 + "X",
]  # fmt: skip


@pytest.mark.parametrize("unit", HOSTILE)
def test_no_text_takes_more_than_linear_time(unit):
    """Four times the text may take ten times as long at most, and never many seconds."""
    seconds = []
    for size in (50_000, 200_000):
        began = time.process_time()
        scrub(unit * (size // len(unit)))
        seconds.append(time.process_time() - began)
    assert seconds[1] < max(10 * seconds[0], 0.2), seconds
    assert seconds[1] < 5
