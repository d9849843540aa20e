"""Macro F1 and the majority's share, against their definitions."""

import numpy as np
import pytest
import torch

from llmosd.objectives.labelled import confusion_of, shares
from tiny_training import tiny_batch, tiny_config, tiny_objective


def by_definition(labels, guesses):
    """The mean of F1 over what occurs, from precision and recall."""
    values = []
    for each in sorted({*labels, *guesses}):
        hits = sum(a == b == each for a, b in zip(labels, guesses, strict=True))
        precision = hits / max(1, guesses.count(each))
        recall = hits / max(1, labels.count(each))
        values.append(2 * precision * recall / max(precision + recall, 1e-300))
    return float(np.mean(values))


@pytest.mark.parametrize("seed", range(5))
def test_macro_f1(seed):
    """Summed over batches, of labels of which some do not occur."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(5, 40, p=[0.6, 0.2, 0.15, 0.05, 0.0]).tolist()
    guesses = [x if rng.random() < 0.5 else int(rng.integers(5)) for x in labels]
    parts = [
        confusion_of(torch.tensor(labels[at : at + 9]), torch.tensor(guesses[at : at + 9]), 6)
        for at in range(0, 40, 9)
    ]
    found = shares(sum(parts))
    assert found["macro_f1"] == pytest.approx(by_definition(labels, guesses))
    assert found["majority_baseline"] == max(map(labels.count, labels)) / 40


def test_macro_f1_is_not_accuracy():
    """Nine in ten are right where the rare label is never found: its F1 is zero."""
    found = shares(confusion_of(torch.tensor([0] * 9 + [1]), torch.zeros(10, dtype=torch.int64), 2))
    assert found["majority_baseline"] == 0.9
    assert found["macro_f1"] == pytest.approx(0.5 * 2 * 9 / (2 * 9 + 1))


def test_counted_where_evaluation_asks():
    """Training, which would pay for it in every step, does not count."""
    from llmosd.architectures.trainable.registry import from_scratch

    config = tiny_config("encoder", head="classify", labels=("a", "b", "c"))
    network, batch = from_scratch(config, 0), tiny_batch(8, shifted=False, labels=3)
    objective = tiny_objective("classify")
    assert not objective.loss(network, batch).sums
    with torch.no_grad():
        outcome = objective.loss(network, batch)
    assert outcome.sums["confusion"].sum() == 8
    assert outcome.sums["confusion"].diagonal().sum() == outcome.metrics["accuracy"]
