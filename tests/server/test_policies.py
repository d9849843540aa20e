"""The content policy `rules`: what is found, however it is cut, and what is done about it."""

import random
from pathlib import Path

import pytest

from llmosd.config_checks import ConfigError
from llmosd.errors import ContentRefused
from llmosd.policies import rules
from llmosd.policies.policy import Asker

ASKER = Asker("t", "m")
EXAMPLE = Path(__file__).parents[2] / "docs/examples/rules.toml"
CARD = "4111 1111 1111 1111"


def made(tmp_path, text):
    file = tmp_path / "rules.toml"
    file.write_text(text)
    return rules.load(file)


def test_the_example(tmp_path):
    """It loads, redacts both ways, and denies; what has no right check digit stays."""
    policy = rules.load(EXAMPLE)
    assert policy.read(f"pay with {CARD}, please", ASKER) == "pay with [CREDIT_CARD], please"
    assert policy.read("pay with 4111 1111 1111 1112", ASKER).endswith("1112")
    with pytest.raises(ContentRefused, match="'secrets'") as caught:
        policy.read("use sk-abcdefghijklmnopqrstuvwx", ASKER)
    assert caught.value.metadata == {"rule": "secrets", "where": "prompt"}
    writer = policy.writer(ASKER)
    assert writer.add(f"it is {CARD}.") + writer.flush() == "it is [CREDIT_CARD]."
    # Denied in prompts only.
    writer = policy.writer(ASKER)
    assert "sk-abc" in writer.add("sk-abcdefghijklmnopqrstuvwx") + writer.flush()


RULES = r"""
[[rule]]
name = "word"
pattern = '\bsecret\w*'
action = "redact"
replacement = "[word]"
longest = 20
[[rule]]
name = "digits"
pattern = '\d{6,}'
action = "redact"
replacement = "[digits]"
longest = 12
"""


@pytest.mark.parametrize("seed", range(40))
def test_pieces_are_as_the_whole(tmp_path, seed):
    """However an answer is cut, it is redacted as if it had come at once; matches may be longer."""
    draw = random.Random(seed)
    parts = [
        "secret",
        "secretly",
        "xsecret",
        "123456",
        "12",
        "9" * 40,
        " ",
        ". ",
        "the man",
        "5",
        "s",
    ]
    text = "".join(draw.choice(parts) for _ in range(60))
    policy = made(tmp_path, RULES)
    writer, said, at = policy.writer(ASKER), "", 0
    while at < len(text):
        size = draw.choice([1, 1, 2, 3, 7, 30])
        said += writer.add(text[at : at + size])
        assert "123456" not in said
        at += size
    assert said + writer.flush() == policy.read(text, ASKER)


def test_without_keeping_back_it_leaks(tmp_path):
    """The control: a word that is cut is not found where each piece is looked at alone."""
    policy = made(tmp_path, RULES)
    pieces = ["the sec", "ret plan"]
    assert "".join(policy.read(each, ASKER) for each in pieces) == "the secret plan"
    writer = policy.writer(ASKER)
    assert "".join(map(writer.add, pieces)) + writer.flush() == "the [word] plan"


def test_denied_on_the_way(tmp_path):
    """What stands before may be shown; what is denied never is."""
    policy = made(tmp_path, '[[rule]]\nname = "no"\npattern = "zebra"\nlongest = 8\n')
    writer = policy.writer(ASKER)
    shown = writer.add("a long way before the ze")
    with pytest.raises(ContentRefused, match="the answer is refused by the rule 'no'"):
        shown += writer.add("bra, and a long way after")
    assert "a long" in shown
    assert "zebra" not in shown


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[[rule]]\nname = "a"\n', "either pattern or personal_data"),
        ('[[rule]]\nname = "a"\npattern = "("\n', "pattern: "),
        ('[[rule]]\nname = "a"\npattern = "x"\naction = "redact"\n', "replacement: say"),
        ('[[rule]]\nname = "a"\npattern = "x"\naction = "burn"\n', "burn"),
        ('[[rule]]\nname = "a"\npatern = "x"\n', "patern"),
        ('[[rule]]\nname = "a"\npersonal_data = ["shoe_size"]\n', "shoe_size"),
        ('[[rule]]\nname = "a"\npattern = "x"\nwhere = []\n', "where: name"),
        ('[[rule]]\nname = "a"\npattern = "x"\nlongest = 0\n', "longest: must be"),
        ("rule = 3", "rule"),
        ("[[rule", "rules.toml"),
    ],
)
def test_wrong_files(tmp_path, text, says):
    with pytest.raises(ConfigError, match="content_policy_file") as caught:
        made(tmp_path, text)
    assert says in str(caught.value)
