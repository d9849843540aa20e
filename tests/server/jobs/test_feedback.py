"""Verdicts as rows, shares of tenants, and ratings against simulations and published figures."""

import json
import math
import random

import pytest

from llmosd.jobs.feedback.export import export, row_limit, rows_of, single_turn
from llmosd.jobs.feedback.ratings import krippendorff_alpha, rate, rater_weights
from llmosd.jobs.feedback.specs import Comparison, FeedbackSpec, RateSpec, Verdict


class Silent:
    def report(self, *_):
        pass

    def check_cancelled(self):
        pass


def verdict(kind="UP", at=0, tenant="", **changes):
    values = {"prompt": json.dumps("p"), "answer": f"a{at}", "other_answer": "", "edit": ""}
    return Verdict(id=f"{tenant}{at}", kind=kind, tenant=tenant, **(values | changes))


def test_rows_of_each_kind():
    """What is good becomes desirable, what is bad undesirable, what is better chosen."""
    up, down = verdict(), verdict("DOWN")
    edit = verdict("EDIT", edit="e")
    better, worse = (verdict(kind, other_answer="o") for kind in ("BETTER", "WORSE"))
    tie = verdict("TIE", other_answer="o")
    rated = [[(r["completion"], r["desirable"]) for r in rows_of(v, "rated")]
             for v in (up, down, edit, better, worse, tie)]  # fmt: skip
    assert rated == [
        [("a0", True)], [("a0", False)], [("e", True), ("a0", False)],
        [("a0", True), ("o", False)], [("o", True), ("a0", False)], [],
    ]  # fmt: skip
    chosen = [[(r["chosen"], r["rejected"]) for r in rows_of(v, "preference")]
              for v in (up, edit, better, worse, tie)]  # fmt: skip
    assert chosen == [[], [("e", "a0")], [("a0", "o")], [("o", "a0")], []]
    pairs = [[r["completion"] for r in rows_of(v, "pairs")] for v in (up, down, edit, worse)]
    assert pairs == [["a0"], [], ["e"], ["o"]]


def test_prompts_of_one_turn():
    """A conversation of several turns, or with a system message, is no row."""
    user = {"role": "user", "content": "q"}
    assert single_turn(json.dumps("text")) == "text"
    assert single_turn(json.dumps([user])) == "q"
    assert single_turn(json.dumps([{"role": "system", "content": "s"}, user])) == ""
    assert single_turn(json.dumps([user, {"role": "assistant", "content": "a"}, user])) == ""
    assert single_turn("") == ""


@pytest.mark.parametrize(("counts", "share", "limit"), [
    ([1000], 0.5, 1000), ([10, 1000], 0.5, 10), ([10, 20, 1000], 0.5, 30),
    ([10, 1000], 0.9, 90), ([10, 1000], 0.1, 10), ([5, 5, 5], 0.2, 5), ([3, 7], 1.0, 7), ([], 0.5, 0),
])  # fmt: skip
def test_no_tenant_floods(counts, share, limit):
    """The largest limit for which nobody has more than the share; an even split at least."""
    assert row_limit(counts, share) == limit
    kept = [min(each, limit) for each in counts]
    if len(counts) > 1 and share >= 1 / len(counts):
        assert max(kept) <= share * sum(kept) + 1e-9


def exported(tmp_path, verdicts, kind="rated", **options):
    source, output = tmp_path / "v.jsonl", tmp_path / "rows.jsonl"
    source.write_text("".join(json.dumps({
        name: getattr(v, name) for name in v.__struct_fields__}) + "\n" for v in verdicts))  # fmt: skip
    spec = FeedbackSpec(verdicts=str(source), kind=kind, output=str(output), **options)
    made = export(spec, Silent())
    return made, [json.loads(line) for line in output.read_text().splitlines()]


def test_a_flood_is_held_to_its_share(tmp_path):
    """500 verdicts of one tenant beside 20 of others; the control is a share of 1."""
    flood = [verdict("DOWN", at, "flood") for at in range(500)]
    others = [verdict("UP", at, f"t{at % 2}") for at in range(20)]
    made, rows = exported(tmp_path, flood + others)
    assert made.rows == len(rows) == 40
    assert sum(not row["desirable"] for row in rows) == 20
    assert made.dropped == 480
    assert len(made.used) == 40
    assert exported(tmp_path, flood + others, max_tenant_share=1.0)[0].rows == 520


def test_the_stronger_one_is_found():
    """Verdicts drawn by known strengths: the intervals hold them; the order is theirs."""
    strengths = {
        "models/a/versions/1": 1300,
        "models/a/versions/2": 1000,
        "models/a/versions/3": 700,
    }
    generator = random.Random(3)
    names = list(strengths)
    comparisons = []
    for at in range(900):
        first, second = generator.sample(names, 2)
        chance = 1 / (1 + 10 ** ((strengths[second] - strengths[first]) / 400))
        outcome = float(generator.random() < chance)
        comparisons.append(Comparison(first, second, outcome, f"r{at}", f"i{at}"))
    made = rate(RateSpec(comparisons=comparisons, resamples=300), Silent())
    assert [each.version for each in made.ratings] == names
    for each in made.ratings:
        assert each.low <= strengths[each.version] <= each.high
        assert each.high - each.low < 150
    assert math.isclose(sum(each.rating for each in made.ratings) / 3, 1000, abs_tol=1e-6)
    assert made.agreement is None


def test_one_rater_does_not_decide():
    """A hundred verdicts of one person weigh as ten; thirty people's as thirty."""
    assert rater_weights(["x"] * 100).sum() == pytest.approx(10)
    one = [Comparison("a", "b", 1.0, "loud", f"i{at}") for at in range(100)]
    many = [Comparison("a", "b", 0.0, f"r{at}", f"j{at}") for at in range(30)]
    made = rate(RateSpec(comparisons=one + many, resamples=100), Silent())
    assert made.ratings[0].version == "b"
    # The control: as a hundred people, they would.
    crowd = [Comparison("a", "b", 1.0, f"s{at}", f"i{at}") for at in range(100)]
    assert (
        rate(RateSpec(comparisons=crowd + many, resamples=100), Silent()).ratings[0].version == "a"
    )


def test_agreement():
    """1 where all agree, negative where they do the opposite, 0 by chance; a worked example."""

    def votes(*items):
        return [
            Comparison("a", "b", outcome, f"r{rater}", f"i{at}")
            for at, item in enumerate(items)
            for rater, outcome in enumerate(item)
        ]

    assert krippendorff_alpha(votes((1, 1), (0, 0), (1, 1))) == 1.0
    assert krippendorff_alpha(votes((1, 0), (0, 1), (1, 0))) < 0
    assert krippendorff_alpha(votes((1,), (0,))) is None
    # Two raters, ten binary units of Krippendorff (2011), "Computing alpha-reliability": 0.095.
    first = (0, 1, 0, 0, 0, 0, 0, 0, 1, 0)
    second = (1, 1, 1, 0, 0, 1, 0, 0, 0, 0)
    found = krippendorff_alpha(votes(*zip(first, second, strict=True)))
    assert found == pytest.approx(0.095, abs=5e-4)
    # Whose answer stood first does not matter.
    turned = [Comparison("b", "a", 1 - c.outcome, c.rater, c.item)
              for c in votes(*zip(first, second, strict=True))]  # fmt: skip
    assert krippendorff_alpha(turned) == pytest.approx(found)
