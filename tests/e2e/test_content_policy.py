"""A daemon with a content policy: prompts and answers, whole, streamed, and of batches."""

import re

import pytest

from daemon import DaemonProcess
from llmos_client import ContentRefusedError, InvalidFieldError

RULES = """
[[rule]]
name = "zebras"
pattern = "zebra"
where = ["prompt"]
action = "deny"
[[rule]]
name = "hens"
pattern = "the hen"
where = ["prompt"]
action = "redact"
replacement = "the man"
[[rule]]
name = "vowels"
pattern = "[aeiou]+"
where = ["answer"]
action = "redact"
replacement = "_"
longest = 4
"""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory, tiny_folders):
    folder = tmp_path_factory.mktemp("policy")
    rules = folder / "rules.toml"
    rules.write_text(RULES)
    made = DaemonProcess(
        folder / "daemon", threads=1, content_policy="rules", content_policy_file=rules
    )
    made.install("tiny", tiny_folders["tiny-llama"])
    made.load("tiny", keep_alive=-1)
    yield made
    made.stop()


def test_prompts(client):
    """Refused with the rule's name, in texts and messages; redacted before a model sees them."""
    for given in ({"prompt": "a zebra"}, {"messages": [{"role": "user", "content": "a zebra"}]}):
        with pytest.raises(ContentRefusedError, match="'zebras'") as caught:
            client.generate("tiny", max_tokens=4, **given)
        assert caught.value.code == "PERMISSION_DENIED"
    said = [
        client.generate("tiny", text, max_tokens=12, temperature=0).text
        for text in ("in the inn the hen", "in the inn the man")
    ]
    assert said[0] == said[1]


def test_answers(daemon, client, tiny_folders):
    """Whole and streamed alike, and as the same answer would be without vowels."""
    options = {"max_tokens": 60, "temperature": 0}
    whole = client.generate("tiny", "the man", **options).text
    assert whole
    assert not set(whole) & set("aeiou")
    with client.stream("tiny", "the man", **options) as events:
        streamed = "".join(
            getattr(event, "text", "") for event in events if hasattr(event, "tokens")
        )
    assert streamed == whole
    plain = DaemonProcess(daemon.folder.parent / "plain", threads=1)
    try:
        plain.install("tiny", tiny_folders["tiny-llama"])
        with plain.client() as other:
            other.load_model("tiny").result()
            text = other.generate("tiny", "the man", **options).text
    finally:
        plain.stop()
    assert re.sub("[aeiou]+", "_", text) == whole != text  # the control


def test_tokens_would_give_it_away(client):
    """Ids of answers are refused; of prompts, where the policy would change them."""
    with pytest.raises(InvalidFieldError, match="gives text alone"):
        client.generate("tiny", "the man", max_tokens=4, logprobs=1)
    ids = [token.id for token in client.tokenize("tiny", "a zebra")]
    with pytest.raises(ContentRefusedError):
        client.generate("tiny", tokens=ids, max_tokens=4)
    ids = [token.id for token in client.tokenize("tiny", "see the hen")]
    with pytest.raises(InvalidFieldError, match="send the prompt as text"):
        client.generate("tiny", tokens=ids, max_tokens=4)


def test_the_log_says_that_and_not_what(daemon, client):
    with pytest.raises(ContentRefusedError):
        client.generate("tiny", "one zebra here", max_tokens=4)
    for rule, where in (("zebras", "prompt"), ("vowels", "answer")):
        line = daemon.logged(event="content_rule", rule=rule, where=where)
        assert line["model"] == "tiny"
    assert "one zebra here" not in daemon.log.read_text()
