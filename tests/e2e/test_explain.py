"""ExplainGeneration and `llmos explain` through a real daemon. See tests/server/jobs/test_explain.py."""

import json
import subprocess
import sys

import pytest

from daemon import DaemonProcess
from llmos_client import (
    ContextLengthExceededError,
    InsufficientMemoryError,
    InvalidFieldError,
)

PROMPT = "the man and the inn"
SETTINGS = {
    "sequence_length": 64, "steps": 60, "batch_size": 4, "optimizer.learning_rate": 3e-2,
}  # fmt: skip


@pytest.fixture(scope="module")
def daemon(tmp_path_factory, tiny_folders):
    process = DaemonProcess(tmp_path_factory.mktemp("explain"), keep_alive_seconds=-1)
    process.install("tiny", tiny_folders["tiny-llama"])
    process.load("tiny")
    process.add("talk", [{"prompt": "say", "completion": " yes yes yes"}] * 8, "pairs")
    yield process
    process.stop()


def llmos(daemon, *arguments):
    command = [sys.executable, "-c", "from llmos_client.cli.main import main; main()"]
    command += ["--address", daemon.address, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_an_answer_of_its_own(client):
    """What it says greedily, scored as ScoreText scores it, accounted for within 5 %."""
    answer = client.generate("tiny", PROMPT, temperature=0.0, max_tokens=4, logprobs=3)
    found = client.explain("tiny", PROMPT, max_tokens=4, top=3)
    said = answer.choices[0].tokens
    assert [token.id for token in found.answer] == [token.id for token in said]
    assert [token.logprob for token in found.answer] == [token.logprob for token in said]
    assert [token.top for token in found.answer] == [token.top for token in said]
    assert {token.rank for token in found.answer} == {1}
    own = [token.id for token in client.tokenize("tiny", PROMPT, add_special=True)]
    assert [token.id for token in found.prompt] == own
    integration = found.integration
    change = integration.output - integration.baseline_output
    total = sum(token.attribution for token in found.prompt)
    assert integration.converged
    assert integration.error == pytest.approx(total - change, abs=1e-6)
    assert integration.relative_error == pytest.approx(abs(integration.error / change))
    assert integration.relative_error <= 0.05
    (ancestor,) = found.lineage
    assert (ancestor.version, ancestor.license) == ("models/tiny/versions/1", "Apache-2.0")
    assert ancestor.base == ancestor.dataset == ""


def test_an_answer_that_is_given(client):
    """As text it is cut as ScoreChoices cuts it, and the same as its tokens."""
    whole = client.explain("tiny", "the", answer=" man and")
    ids = [token.id for token in whole.answer]
    assert b"".join(token.bytes for token in whole.answer) == b" man and"
    tokens = [token.id for token in client.tokenize("tiny", "the", add_special=True)]
    assert client.explain("tiny", tokens=tokens, answer=ids) == whole


def test_lineage_and_an_adapter(daemon, client):
    """An adapter's own logits, and what it was made of: dataset, method, base."""
    client.wait_operation(
        client.train_model("talker", "talk", init_from="tiny", method="lora", settings=SETTINGS)
    ).result()
    client.load_model("talker").result()
    found = client.explain(
        "talker", messages=[{"role": "user", "content": "the inn"}], max_tokens=2
    )
    assert found.integration.relative_error <= 0.05
    adapter, base = found.lineage
    assert adapter.version == found.model_version == "models/talker/versions/1"
    assert (adapter.base, adapter.adapter) == ("models/tiny/versions/1", True)
    assert (adapter.dataset, adapter.method) == ("datasets/talk/versions/1", "lora")
    assert (base.version, base.dataset, base.adapter) == ("models/tiny/versions/1", "", False)
    said = llmos(daemon, "explain", "talker", "the inn", "--answer", " and", "-o", "json")
    again = json.loads(said.stdout)
    assert [each["dataset"] for each in again["lineage"]] == [adapter.dataset, ""]
    assert again["integration"]["converged"]


def test_refusals(client):
    """The field is named; and a model that is not read token by token."""
    with pytest.raises(InvalidFieldError, match=r"target.*2 tokens"):
        client.explain("tiny", PROMPT, answer=[1, 2], target=2)
    with pytest.raises(InvalidFieldError, match=r"answer_tokens.ids\[0\].*304"):
        client.explain("tiny", PROMPT, answer=[304])
    with pytest.raises(InvalidFieldError, match=r"tokens.ids\[1\]"):
        client.explain("tiny", tokens=[1, 999])
    with pytest.raises(InvalidFieldError, match=r"answer_text.*no token"):
        client.explain("tiny", "i", answer="n")
    with pytest.raises(ContextLengthExceededError):
        client.explain("tiny", tokens=[1] * 250, answer=[2] * 8)
    with pytest.raises(ValueError, match="mean, zero"):
        client.explain("tiny", PROMPT, baseline="noise")
    assert client.explain("tiny", PROMPT, answer=[1, 2], target=1).prompt  # the control


def test_without_memory(new_daemon, tiny_folders):
    """Refused before it begins, where the daemon may not have as much beside the model."""
    # Enough to load it, which counts on 420 MiB and takes less; but not for as much once more.
    daemon = new_daemon(
        keep_alive_seconds=-1, kv_cache_bytes=16 << 20, memory_reserve_bytes=0,
        memory_limit_bytes=640 << 20,
    )  # fmt: skip
    daemon.install("tiny", tiny_folders["tiny-llama"])
    daemon.load("tiny")
    with daemon.client() as client, pytest.raises(InsufficientMemoryError, match="MiB are free"):
        client.explain("tiny", PROMPT, max_tokens=1)


def test_command(daemon, client):
    """A table of the answer, one of the prompt, one of versions."""
    plain = llmos(daemon, "explain", "tiny", PROMPT, "--raw", "--max-tokens", "2", "--top", "2")
    assert plain.returncode == 0, plain.stderr
    assert "attributions miss" in plain.stderr
    answer, prompt, versions = plain.stdout.split("\n\n")
    assert answer.splitlines()[0].split() == ["ANSWER", "LOGPROB", "RANK", "LIKELIEST"]
    assert len(answer.splitlines()) == 3
    assert len(prompt.splitlines()) == 1 + len(client.tokenize("tiny", PROMPT, add_special=True))
    assert versions.splitlines()[1].startswith("models/tiny/versions/1")
