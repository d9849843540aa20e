"""Classifiers and graders of real text: tweets and lines of film reviews, rated by twenty people.

A text is positive or negative by the sign of its mean rating; those nearer to zero than 0.5, on
which people do not agree, are left out of classification and kept for grading. A tenth of the texts
is held out, another stops the training; which, the text alone decides.

LLMOS_SENTIMENT=1 trains every family on everything and prints the table of docs/training.md, in
half an hour.
"""

import os
import statistics
import time
import zlib
from typing import NamedTuple

import pytest

from daemon import DaemonProcess

WHOLE = bool(os.environ.get("LLMOS_SENTIMENT"))
NEUTRAL = 0.5
WORDS = {"tokenizer_kind": "word", "sequence_length": 128}
STEPS = {
    **WORDS,
    "batch_size": 32,
    "packing": "false",
    "schedule.warmup_steps": 50,
    "early_stopping.patience": 3,
}
FAMILIES = {
    "naive-bayes": None,
    "cnn": {"shape.hidden_size": 128, "dropout": 0.5, "optimizer.learning_rate": 1e-3},
    "lstm": {
        "shape.hidden_size": 128,
        "shape.num_layers": 1,
        "dropout": 0.3,
        "optimizer.learning_rate": 2e-3,
    },
    "encoder": {
        "shape.hidden_size": 128,
        "shape.num_layers": 2,
        "dropout": 0.2,
        "optimizer.learning_rate": 1e-3,
    },
}

FEW = {"shape.hidden_size": 64, "optimizer.learning_rate": 4e-3, "schedule.warmup_steps": 10}


class Parts(NamedTuple):
    """(text, rating) of the rows to train on, to stop by, and to be judged by."""

    train: list
    stop: list
    test: list


def read(folder, name, most=None):
    parts = Parts([], [], [])
    for line in (folder / f"{name}_GroundTruth.txt").read_text().splitlines()[:most]:
        _, rating, text = line.split("\t")
        tenth = zlib.crc32(text.encode()) % 10
        (parts.test, parts.stop, *[parts.train] * 8)[tenth].append((text.strip(), float(rating)))
    return parts


def labelled(rows):
    """(text, "positive" or "negative") of the rows that are clearly one of them."""
    return [
        (text, "positive" if rating > 0 else "negative")
        for text, rating in rows
        if abs(rating) >= NEUTRAL
    ]


def train(daemon, model, dataset, family, settings, epochs=0):
    """Train, load, and give seconds; `epochs` at most, evaluated after each."""
    if epochs:
        with daemon.client() as client:
            rows = client.list_dataset_versions(dataset)[0].row_count
        once = -(-rows // settings["batch_size"])
        settings = {**settings, "steps": epochs * once, "evaluate_every": once}
    began = time.monotonic()
    with daemon.client() as client:
        client.wait_operation(
            client.train_model(
                model,
                f"{dataset}",
                validation_dataset=f"{dataset}-stop",
                family=family,
                settings=settings,
            )
        ).result()
        seconds = time.monotonic() - began
        client.load_model(model).result()
    return seconds


def judged(pairs):
    """Accuracy and macro F1 of (label, guess)."""
    f1 = []
    for each in ("positive", "negative"):
        hits = sum(label == guess == each for label, guess in pairs)
        f1.append(2 * hits / max(1, sum((a == each) + (b == each) for a, b in pairs)))
    return sum(a == b for a, b in pairs) / len(pairs), statistics.fmean(f1)


def asked(daemon, model, rows):
    with daemon.client() as client:
        found = [client.classify(model, text) for text, _ in rows]
        client.delete_model(model, force=True)
    return found


def majority(rows):
    return statistics.mode(label for _, label in rows)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    process = DaemonProcess(tmp_path_factory.mktemp("sentiment"), keep_alive_seconds=-1)
    yield process
    process.stop()


def prepared(daemon, name, parts, kind="labelled"):
    field = "label" if kind == "labelled" else "score"
    for part, rows in (("", parts.train), ("-stop", parts.stop)):
        chosen = labelled(rows) if kind == "labelled" else rows
        daemon.add(f"{name}{part}", [{"text": t, field: v} for t, v in chosen], kind)


def test_a_few_hundred_tweets(daemon, rated_texts):
    """Counted words tell moods better than guessing does; filters learn something, too."""
    parts = read(rated_texts, "tweets", most=1500)
    prepared(daemon, "few", parts)
    rows = labelled(parts.test)
    always = judged([(label, majority(rows)) for _, label in rows])
    for family in ("naive-bayes", "cnn"):
        settings, epochs = WORDS, 0
        if FAMILIES[family] is not None:
            # Fewer texts are fewer steps: larger ones.
            settings, epochs = {**STEPS, **FAMILIES[family], **FEW}, 6
        train(daemon, f"few-{family}", "few", family, settings, epochs)
        found = asked(daemon, f"few-{family}", rows)
        pairs = [(label, each.label) for (_, label), each in zip(rows, found, strict=True)]
        print(family, judged(pairs), "always the same:", always)
        assert judged(pairs)[1] > always[1] + 0.1


@pytest.mark.skipif(not WHOLE, reason="the whole table takes half an hour: LLMOS_SENTIMENT=1")
@pytest.mark.parametrize("corpus", ["tweets", "movieReviewSnippets"])
def test_table(daemon, rated_texts, corpus):
    """Every family on every text: better than always saying the same."""
    parts, name = read(rated_texts, corpus), corpus.lower()
    prepared(daemon, name, parts)
    rows = labelled(parts.test)
    table = {"majority": (*judged([(label, majority(rows)) for _, label in rows]), 0.0)}
    for family, own in FAMILIES.items():
        settings = WORDS if own is None else {**STEPS, **own}
        seconds = train(daemon, family, name, family, settings, 0 if own is None else 12)
        found = asked(daemon, family, rows)
        pairs = [(label, each.label) for (_, label), each in zip(rows, found, strict=True)]
        table[family] = (*judged(pairs), seconds)
    print(f"\n{corpus}: {len(labelled(parts.train))} texts to train on, {len(rows)} held out")
    for family, (accuracy, f1, seconds) in table.items():
        print(f"{family:12} accuracy {accuracy:.3f}  macro F1 {f1:.3f}  {seconds:5.0f} s")
    for family in FAMILIES:
        assert table[family][0] > table["majority"][0]
        assert table[family][1] > table["majority"][1] + 0.15


@pytest.mark.skipif(not WHOLE, reason="the whole table takes half an hour: LLMOS_SENTIMENT=1")
def test_grades(daemon, rated_texts):
    """The rating itself, -4 to 4: nearer than the mean of all ratings is, and in step with it."""
    parts, name = read(rated_texts, "tweets"), "grades"
    prepared(daemon, name, parts, kind="graded")
    ratings = [rating for _, rating in parts.test]
    mean = statistics.fmean(rating for _, rating in parts.train)
    always = statistics.fmean(abs(rating - mean) for rating in ratings)
    print(f"\n{len(ratings)} tweets: always {mean:.2f}: mean absolute error {always:.3f}")
    for family in ("cnn", "lstm", "encoder"):
        model = f"{family}-grades"
        train(daemon, model, name, family, {**STEPS, **FAMILIES[family]}, 12)
        grades = [each.grade for each in asked(daemon, model, parts.test)]
        error = statistics.fmean(abs(a - b) for a, b in zip(grades, ratings, strict=True))
        r = statistics.correlation(grades, ratings)
        print(f"{family:12} mean absolute error {error:.3f}  correlation {r:.3f}")
        assert error < always - 0.1
        assert r > 0.3
