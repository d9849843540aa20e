"""Conditions of gates, as the command line has them."""

import pytest

from llmos_client import GateCondition
from llmos_client.cli.conditions import read_conditions, words
from llmos_client.cli.main import run


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        (
            "suites/anchors perplexity <= 40",
            GateCondition("suites/anchors", "perplexity", at_most=40),
        ),
        ("mine accuracy>=0.8", GateCondition("mine", "accuracy", at_least=0.8)),
        ("mine  f1 worse<=2%", GateCondition("mine", "f1", max_regression=0.02)),
        ("mine f1 worse <= 0.5", GateCondition("mine", "f1", max_regression=0.5)),
        ("datasets/d/versions/2 x <= -1e3", GateCondition("datasets/d/versions/2", "x", None, -1000.0)),
    ],
)  # fmt: skip
def test_read_and_written(text, condition):
    assert read_conditions(None, None, (text,)) == (condition,)
    assert read_conditions(None, None, tuple(words(condition))) == (condition,)


@pytest.mark.parametrize(
    "text",
    ["", "mine", "mine f1", "mine <= 2", "mine f1 < 2", "mine f1 worse >= 2%", "mine f1 <= many"],
)
def test_anything_else_is_refused(text, capsys):
    """Before a daemon is asked."""
    assert run(["gate", "set", "m", text, "--address", "unix:/nowhere"]) == 2
    assert "as ON METRIC >= N" in capsys.readouterr().err


def test_all_limits_of_one():
    both = GateCondition("mine", "f1", 0.5, 0.9, 0.1)
    assert words(both) == ["mine f1 >= 0.5", "mine f1 <= 0.9", "mine f1 worse <= 10%"]
