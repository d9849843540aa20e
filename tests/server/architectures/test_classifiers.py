"""The CNN and naive Bayes, as their formulas say, in NumPy."""

import math

import msgspec
import numpy as np
import pytest
import torch

from llmosd.architectures.trainable.registry import from_scratch
from llmosd.errors import InvalidDataset
from llmosd.jobs.training.batches import Examples, Rules, evaluation_batches
from tiny_training import tiny_config, tiny_data

LENGTHS = (7, 1, 12, 4, 5)
LABELS = ("a", "b", "c")
HEAD = {"head": "classify", "labels": LABELS}


def ids_of(lengths=LENGTHS, words=50):
    return torch.randint(words, (sum(lengths),), generator=torch.Generator().manual_seed(2))


def filled(name, **changes):
    """With biases that are not zero."""
    network = from_scratch(tiny_config(name, **HEAD, **changes), 0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.2)
    return network


def convolved(network, ids):
    """Scores of one text: every window of every width, in float64."""
    weights = {name: each.detach().double().numpy() for name, each in network.named_parameters()}
    x = weights["embed_tokens.weight"][ids.numpy()]
    x = np.vstack([x, np.zeros((max(0, 5 - len(x)), x.shape[1]))])
    features = []
    for width in (3, 4, 5):
        kernel, bias = weights[f"convs.{width}.weight"], weights[f"convs.{width}.bias"]
        windows = [
            sum(kernel[:, :, at] @ x[start + at] for at in range(width)) + bias
            for start in range(len(x) - width + 1)
        ]
        features.append(np.maximum(np.array(windows), 0).max(0))
    return weights["score.weight"] @ np.concatenate(features) + weights["score.bias"]


def test_cnn_as_the_formula_says():
    """Texts of any lengths, those shorter than the widest filter too, side by side."""
    network, ids = filled("cnn", hidden_size=16), ids_of()
    found = network.scores(network(ids, LENGTHS), LENGTHS)
    wanted = np.array([convolved(network, part) for part in ids.split(LENGTHS)])
    np.testing.assert_allclose(found.detach().numpy(), wanted, atol=1e-5)
    # A text in which no window is whole, and one in which one more would be seen, are told apart.
    assert np.abs(np.diff(wanted, axis=0)).min() > 1e-4


def test_gradients_of_the_cnn():
    """Of texts side by side, the sum of theirs alone."""
    network, ids = filled("cnn", hidden_size=16), ids_of()
    network.scores(network(ids, LENGTHS), LENGTHS).square().sum().backward()
    packed = {name: each.grad.clone() for name, each in network.named_parameters()}
    network.zero_grad()
    for part in ids.split(LENGTHS):
        length = (len(part),)
        network.scores(network(part, length), length).square().sum().backward()
    for name, each in network.named_parameters():
        torch.testing.assert_close(packed[name], each.grad, atol=1e-4, rtol=1e-4)


def test_dropout_of_the_cnn():
    """Of what filters found, while it is trained, and of nothing else."""
    network, ids = from_scratch(tiny_config("cnn", **HEAD), 0, dropout=0.5), ids_of()
    torch.manual_seed(0)
    with torch.no_grad():
        hidden = network.train()(ids, LENGTHS)
        assert torch.equal(hidden, network.embedding[ids])
        drawn = [network.scores(hidden, LENGTHS) for _ in range(2)]
        assert not torch.equal(*drawn)
        network.eval()
        assert torch.equal(network.scores(hidden, LENGTHS), network.scores(hidden, LENGTHS))


@pytest.mark.parametrize("name", ["cnn", "naive-bayes"])
@pytest.mark.parametrize("words", [50, 20_000])
def test_first_loss_is_that_of_guessing(name, words):
    """ln of the number of labels, within 0.1."""
    network = from_scratch(tiny_config(name, vocab_size=words, **HEAD), 0).eval()
    with torch.no_grad():
        ids = ids_of(words=words)
        scores = network.scores(network(ids, LENGTHS), LENGTHS)
    loss = torch.nn.functional.cross_entropy(scores, torch.tensor([0, 1, 2, 0, 1]))
    assert float(loss) == pytest.approx(math.log(3), abs=0.1)


def test_naive_bayes_is_counted():
    """Tables and scores are those of a count by hand, however the examples are cut in batches."""
    data = tiny_data(60, labels=3)
    examples = Examples(data, Rules(shifted=False, group=1, every_token=False, length=64))
    network = from_scratch(tiny_config("naive-bayes", **HEAD), 0)
    counts, texts = np.ones((50, 3)), np.zeros(3)
    for at, label in enumerate(data.labels):
        texts[label] += 1
        for token in data.ids[data.offsets[at] : data.offsets[at + 1]]:
            counts[token, label] += 1
    prior, tokens = np.log(texts / texts.sum()), np.log(counts / counts.sum(0))
    for size in (60, 7, 1):
        batches = evaluation_batches(examples, 0, size)
        network.fit((batch.ids, batch.lengths, batch.labels) for batch in batches)
        np.testing.assert_allclose(network.class_log_prior.detach(), prior, atol=1e-6)
        np.testing.assert_allclose(network.feature_log_prob.detach(), tokens, atol=1e-6)
    batch = next(iter(evaluation_batches(examples, 0, 60)))
    with torch.no_grad():
        found = network.scores(network(batch.ids, batch.lengths), batch.lengths)
    wanted = [prior + tokens[part.numpy()].sum(0) for part in batch.ids.split(batch.lengths)]
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    # Each token's and each label's probabilities are ones.
    np.testing.assert_allclose(network.feature_log_prob.detach().exp().sum(0), 1, atol=1e-5)


def test_a_label_without_examples():
    """Has no logarithm: it is refused by name."""
    data = tiny_data(60, labels=2)
    config = msgspec.structs.replace(tiny_config("naive-bayes", **HEAD), labels=("x", "y", "z"))
    examples = Examples(data, Rules(shifted=False, group=1, every_token=False, length=64))
    batch = next(iter(evaluation_batches(examples, 0, 60)))
    with pytest.raises(InvalidDataset, match='"z" is of no row'):
        from_scratch(config, 0).fit([(batch.ids, batch.lengths, batch.labels)])
