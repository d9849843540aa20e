"""Feedback: bound to an answer, learned from, and forgotten to the last byte."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from daemon import DaemonProcess
from llmos_client import (
    Client,
    FeedbackNotFoundError,
    GateCondition,
    GenerationNotFoundError,
    InvalidFieldError,
)

CANARY = "zebra-canary-4711"
QUICK = {"settings": {"epochs": 1, "steps": 3, "batch_size": 8}}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory, tiny_folders):
    made = DaemonProcess(tmp_path_factory.mktemp("feedback") / "daemon", threads=1)
    try:
        made.install("tiny", tiny_folders["tiny-llama"])
        made.load("tiny", keep_alive=-1)
        yield made
    finally:
        made.stop()


@pytest.fixture
def client(daemon):
    with daemon.client() as client:
        yield client
        for each in client.list_feedback():
            client.delete_feedback(each.name)


def answer(client, text, **options):
    messages = [{"role": "user", "content": text}]
    return client.generate("tiny", messages=messages, max_tokens=6, **options)


def files_with(folder, text):
    """Every file of the state directory, and the log, that has the text in it."""
    needle = text.encode()
    return [
        path
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink() and needle in path.read_bytes()
    ]


def test_bound_to_an_answer(client):
    """It knows the version; without consent it keeps no text; an unknown answer is refused."""
    made = answer(client, "hello")
    told = client.create_feedback(made.name, "up", comment="good", subject="s1")
    assert told.model_version == "models/tiny/versions/1"
    assert told.model_digest == client.get_version("tiny").digest
    assert (told.answer, told.prompt_json, told.comment) == ("", "", "")
    kept = client.create_feedback(made.name, "edit", edit="hi", consent=True)
    assert (kept.answer, kept.edit) == (made.text, "hi")
    assert json.loads(kept.prompt_json) == [{"role": "user", "content": "hello"}]
    assert [each.name for each in client.list_feedback("tiny")] == [kept.name, told.name]
    with pytest.raises(GenerationNotFoundError):
        client.create_feedback("generations/0123456789abcdef", "up")
    with pytest.raises(InvalidFieldError, match="choice"):
        client.create_feedback(made.name, "up", choice=3)
    with pytest.raises(InvalidFieldError, match="edit"):
        client.create_feedback(made.name, "edit")
    with pytest.raises(InvalidFieldError, match="other_generation"):
        client.create_feedback(made.name, "better")
    other = answer(client, "something else")
    with pytest.raises(InvalidFieldError, match="another prompt"):
        client.create_feedback(made.name, "better", other=other.name)
    client.delete_feedback(kept.name)
    with pytest.raises(FeedbackNotFoundError):
        client.delete_feedback(kept.name)


def test_of_other_tenants_nothing_can_be_said(daemon, client):
    """An answer belongs to whom it was given to."""
    with Client(daemon.address, tenant="one") as one:
        made = answer(one, "mine")
        assert one.create_feedback(made.name, "up").tenant == "one"
    with pytest.raises(GenerationNotFoundError):
        client.create_feedback(made.name, "down")


def test_comparisons_become_ratings(client):
    """Versions of one answer each; the one that always wins stands first."""
    for at in range(6):
        pair = [answer(client, f"q{at}", seed=n, temperature=1.0) for n in (1, 2)]
        client.create_feedback(
            pair[0].name, "better", other=pair[1].name, subject=f"s{at}", consent=True
        )
    # Both are of one version: there is nothing to rate.
    assert client.rate_models().comparison_count == 0
    made = client.wait_operation(client.export_feedback("prefs", "preference")).result()
    assert (made.kind, made.row_count) == ("preference", 6)
    rows = client.list_examples("prefs")
    assert {row.content["prompt"] for row in rows} == {f"q{at}" for at in range(6)}


def test_two_hundred_ratings_to_a_live_version(client, daemon):
    """Ratings in, candidate, gate, promoted; the known preference is learned.

    Answers with an even prompt number are liked: what is asked again is what the version finds
    likelier than it did. In the control the alias has a policy that nobody can meet.
    """
    with ThreadPoolExecutor(8) as pool:
        made = list(
            pool.map(
                lambda at: answer(client, f"say {at % 20}", seed=at, temperature=1.0), range(200)
            )
        )
    for at, each in enumerate(made):
        kind = "up" if at % 2 == 0 else "down"
        client.create_feedback(each.name, kind, consent=True, subject=f"s{at}")
    liked, disliked = made[0], made[1]
    before = client.get_version("tiny@live").name

    def margin(version):
        sums = []
        for at, each in ((0, liked), (1, disliked)):
            prompt = client.render_chat(version, [{"role": "user", "content": f"say {at}"}]).ids
            ids = [token.id for token in client.tokenize(version, each.text)]
            score = client.score(version, tokens=[*prompt, *ids])
            sums.append(sum(token.logprob for token in score.tokens[len(prompt) :]))
        return sums[0] - sums[1]

    start = margin("tiny")
    client.set_gate_policy(
        "tiny", "live", [GateCondition("suites/anchors", "perplexity", at_most=1)]
    )
    held = client.wait_operation(client.learn_from_feedback("tiny", **QUICK, promote=True)).result()
    assert not held.promoted
    assert "a candidate and no more" in held.outcome
    assert "1 is the most" in held.outcome or "went from" in held.outcome
    assert client.get_version("tiny@live").name == before
    client.set_gate_policy("tiny", "live", [])
    settings = {"epochs": 2, "optimizer.learning_rate": 3e-3}
    job = client.learn_from_feedback(
        "tiny", settings=settings, max_metric_regression=0.5, promote=True
    )
    made = client.wait_operation(job).result()
    assert made.promoted, made.outcome
    # Whole weights, so that it can learn again.
    assert "model.embed_tokens.weight" in {t.name for t in client.list_tensors(made.version.name)}
    assert made.dataset.row_count > 190  # an empty answer is no row
    assert client.get_version("tiny@live").name == made.version.name != before
    assert margin("tiny") > start


def test_too_little_to_learn_from(client):
    """Nothing is trained; that is an outcome."""
    made = answer(client, "one")
    client.create_feedback(made.name, "up", consent=True)
    result = client.wait_operation(client.learn_from_feedback("tiny")).result()
    assert result.version is None
    assert "nothing to learn" in result.outcome


def test_a_subject_is_forgotten_to_the_last_byte(daemon, client):
    """Words, dataset, tokens, evaluation: gone from every file; what was trained on it says so."""
    state = daemon.folder / "state"
    for at in range(12):
        made = answer(client, f"{CANARY} number {at}")
        client.create_feedback(
            made.name, "edit", edit=f"{CANARY} edited {at}", comment=CANARY, consent=True,
            subject="gone" if at < 6 else "stays",
        )  # fmt: skip
    client.wait_operation(client.export_feedback("words", "pairs")).result()
    shape = {"shape.num_layers": 1, "shape.hidden_size": 32, "shape.num_heads": 2}
    settings = {**shape, "steps": 20, "optimizer.learning_rate": 1e-2}
    job = client.train_model("learned", "words", family="llama", settings=settings)
    trained = client.wait_operation(job).result().version.name
    client.wait_operation(client.evaluate_model("tiny", ["words"])).result()
    assert files_with(state, CANARY)  # the control: it is there before
    gone = client.delete_feedback(subject="gone")
    assert gone.deleted_count == 6
    assert gone.removed_datasets == ("datasets/words/versions/1",)
    assert trained in gone.marked_versions
    assert "deleted on request" in client.get_version(trained).notes[0]
    client.delete_feedback(subject="stays")
    assert files_with(daemon.folder, CANARY) == []
    assert not client.list_feedback()
