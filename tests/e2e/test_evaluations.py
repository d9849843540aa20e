"""EvaluateModel: what a version is worth, asked as any caller asks it."""

import json
import math

import pytest

from daemon import DaemonProcess, wait_for
from llmos_client import EvaluationNotFoundError, InvalidFieldError

TEXTS = ["the cat sat on the mat and looked at the dog", "two birds sang in the old tree", "no"]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory, tiny_folders):
    made = DaemonProcess(tmp_path_factory.mktemp("evaluations") / "daemon")
    made.install("tiny", tiny_folders["tiny-llama"])
    yield made
    made.stop()


def evaluate(daemon, model, parts, **options):
    with daemon.client() as client:
        job = client.evaluate_model(model, parts, **options)
        return client.wait_operation(job).result()


def test_texts_are_as_likely_as_score_text_says(daemon):
    """Perplexity over all tokens, bits over all bytes; each example's own beside it."""
    daemon.add("texts", [{"text": text} for text in TEXTS], "text")
    made = evaluate(daemon, "tiny", ["texts"])
    with daemon.client() as client:
        scores = [client.score("tiny", text) for text in TEXTS]
        examples = client.list_evaluation_examples(made.id)
    tokens = sum(len(score.tokens) - 1 for score in scores)
    logprob = sum(score.logprob for score in scores)
    size = sum(len(token.bytes) for score in scores for token in score.tokens[1:])
    result = made.results[0]
    assert (result.name, result.task, result.example_count) == ("texts/versions/1", "score", 3)
    assert result["perplexity"] == pytest.approx(math.exp(-logprob / tokens), rel=1e-9)
    assert result["bits_per_byte"] == pytest.approx(-logprob / math.log(2) / size, rel=1e-9)
    interval = result.metrics[0]
    assert interval.low <= interval.value <= interval.high
    assert [each.metrics["perplexity"] for each in examples] == pytest.approx(
        [score.perplexity for score in scores]
    )
    hits = sum(token.rank == 1 for score in scores for token in score.tokens[1:])
    assert result["token_accuracy"] == hits / tokens
    assert made.cost.prompt_tokens == tokens + 3
    assert made.cost.resident_bytes > 0


def test_long_texts_are_scored_in_windows(daemon):
    """The first token of a piece counts for nothing, as nothing comes before it."""
    text = " ".join(TEXTS * 4)
    daemon.add("long", [{"text": text}], "text")
    made = evaluate(daemon, "tiny", [{"dataset": "long", "window": 8}])
    with daemon.client() as client:
        ids = [token.id for token in client.score("tiny", text).tokens]
        pieces = [ids[at : at + 8] for at in range(0, len(ids), 8)]
        scores = [client.score("tiny", tokens=piece) for piece in pieces if len(piece) > 1]
    logprob = sum(score.logprob for score in scores)
    count = sum(len(score.tokens) - 1 for score in scores)
    assert made.results[0]["perplexity"] == pytest.approx(math.exp(-logprob / count), rel=1e-9)


def test_answers_are_those_of_generate(daemon):
    """Greedy unless asked otherwise, judged by what stands in the rows; paged."""
    rows = [{"prompt": f"count to {at}", "completion": f"one two {at}"} for at in range(12)]
    daemon.add("pairs", rows, "pairs")
    part = {"dataset": "pairs", "metrics": ["bleu", "exact_match"], "sampling": {"max_tokens": 6}}
    made = evaluate(daemon, "tiny", [part])
    with daemon.client() as client:
        examples = client.list_evaluation_examples(made.id, limit=None)
        messages = [{"role": "user", "content": "count to 7"}]
        alone = client.generate("tiny", messages=messages, temperature=0.0, max_tokens=6)
    assert examples[7].output["answer"] == alone.text
    assert [each.row for each in examples] == list(range(12))
    assert made.results[0]["exact_match"] == 0.0
    assert made.cost.completion_tokens == 12 * 6
    assert made.cost.first_token_p95 > 0


def test_answers_that_are_there_already(daemon):
    """The right answers, given as answers, are right; one that is changed is not."""
    rows = [{"prompt": f"{at} and 1?", "completion": f"So #### {at + 1}"} for at in range(8)]
    daemon.add("sums", rows, "pairs")
    given = [dict(row) for row in rows]
    given[3]["completion"] = "So #### 9999"
    daemon.add("given", given, "pairs")
    metrics = {"dataset": "sums", "metrics": ["final_number", "f1"]}
    right = evaluate(daemon, None, [metrics], answers="sums")
    wrong = evaluate(daemon, None, [metrics], answers="given")
    assert right.results[0]["final_number"] == 1.0
    assert right.results[0]["f1"] == 1.0
    assert wrong.results[0]["final_number"] == 7 / 8
    with daemon.client() as client:
        found = {d.metric: d for d in client.compare_evaluations(right.id, wrong.id)}
    assert found["final_number"].difference == 1 / 8
    assert found["final_number"].example_count == 8
    assert found["final_number"].low <= 1 / 8 <= found["final_number"].high


def test_choices_preferences_and_checks(daemon):
    """The likeliest continuation is what ScoreText finds likeliest."""
    choices = [
        {"prompt": "the cat", "choices": [" sat", " sang", " went away"], "answer": at % 3}
        for at in range(3)
    ]
    daemon.add("choices", choices, "choices")
    daemon.add("checks", [{"prompt": "hi", "must_not": ["zzz"]}] * 3, "checks")
    daemon.add("never", [{"prompt": "hi", "must": ["^never said$"]}] * 3, "checks")
    preferences = [{"prompt": "hi", "chosen": "good day", "rejected": "go"}]
    daemon.add("prefer", preferences * 2, "preference")
    names = ["choices", "checks", "never", "prefer"]
    made = evaluate(daemon, "tiny", names)
    values = list(made.results)
    assert values[0]["accuracy"] == 1 / 3  # each place is right once, and the choice is the same
    assert (values[1]["pass_rate"], values[2]["pass_rate"]) == (1.0, 0.0)
    with daemon.client() as client:
        prompt = client.render_chat("tiny", [{"role": "user", "content": "hi"}]).ids
        sums = []
        for reply in ("good day", "go"):
            ids = [token.id for token in client.tokenize("tiny", reply)]
            score = client.score("tiny", tokens=[*prompt, *ids])
            sums.append(sum(token.logprob for token in score.tokens[len(prompt) :]))
    assert values[3]["margin"] == pytest.approx(sums[0] - sums[1], abs=1e-9)


def test_suites_and_noise(daemon):
    """All suites run on a chat model; typing errors change what is asked, the same way twice."""
    with daemon.client() as client:
        suites = [f"suites/{suite.id}" for suite in client.list_suites()]
        made = evaluate(
            daemon, "tiny", [{"dataset": s, "sampling": {"max_tokens": 4}} for s in suites]
        )
        assert [result.data for result in made.results] == suites
        by_name = {result.name: result for result in made.results}
        assert 0 <= by_name["suites/fairness"]["gap"] <= 1
        assert by_name["suites/fairness"]["flips"] <= 1
        noisy = {"dataset": "suites/anchors", "noise": 0.2, "name": "noisy"}
        again = evaluate(daemon, "tiny", ["suites/anchors", noisy])
        twice = evaluate(daemon, "tiny", [noisy])
        assert again["noisy"].data_digest == twice["noisy"].data_digest
        assert again["noisy"].data_digest != again["suites/anchors"].data_digest
        texts = client.list_evaluation_examples(again.id, "noisy")
        assert texts[0].input["text"] != "Water boils at one hundred degrees Celsius at sea level"


def test_goes_on_after_the_daemon_was_killed(daemon):
    """kill -9 in the middle: what was answered is not asked again; figures are the same."""
    rows = [{"prompt": f"tell me {at}", "completion": "x"} for at in range(24)]
    daemon.add("many", rows, "pairs")
    part = {"dataset": "many", "sampling": {"max_tokens": 80}}
    whole = evaluate(daemon, "tiny", [part], concurrency=2)
    with daemon.client() as client:
        job = client.evaluate_model("tiny", [part], concurrency=2).name
        outputs = daemon.folder / f"state/operations/{job.removeprefix('operations/')}/out"
        log = outputs / "outputs.jsonl"
        wait_for(lambda: log.exists() and log.read_bytes().count(b"\n") >= 6, 60)
    daemon.kill()
    before = log.read_bytes().splitlines()[:6]
    daemon.start()
    with daemon.client() as client:
        made = client.wait_operation(client.get_operation(job)).result()
        said = [each.output for each in client.list_evaluation_examples(made.id)]
        same = [each.output for each in client.list_evaluation_examples(whole.id)]
        assert client.get_evaluation(made.name) == made
        assert client.list_evaluations("tiny")[0] == made
    assert said == same
    assert all(json.loads(line)["said"] == said[json.loads(line)["at"]] for line in before)
    assert [m.value for m in made.results[0].metrics] == [m.value for m in whole.results[0].metrics]


def test_what_cannot_be_evaluated_is_refused(daemon):
    """By name, and with what could be done; nothing is left."""
    daemon.add("grades", [{"text": "good", "score": 1.0}], "graded")
    daemon.add("one", [{"prompt": "a", "completion": "b"}], "pairs")
    with daemon.client() as client:
        with pytest.raises(InvalidFieldError, match=r"parts\[0\].suite"):
            client.evaluate_model("tiny", ["suites/none"])
        with pytest.raises(InvalidFieldError, match=r"parts\[1\].label"):
            client.evaluate_model("tiny", ["one", "one"])
        job = client.evaluate_model("tiny", ["grades"])
        with pytest.raises(InvalidFieldError, match="it gives text"):
            client.wait_operation(job).result()
        job = client.evaluate_model(None, ["suites/anchors"], answers="grades")
        with pytest.raises(InvalidFieldError, match="answers"):
            client.wait_operation(job).result()
        count = len(client.list_evaluations())
        found = client.list_evaluations()[0]
        client.delete_evaluation(found.name)
        assert not (daemon.folder / "state/evaluations" / found.id).exists()
        assert len(client.list_evaluations()) == count - 1
        with pytest.raises(EvaluationNotFoundError):
            client.get_evaluation(found.name)
