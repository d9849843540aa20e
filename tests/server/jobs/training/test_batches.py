"""Which examples a step sees: all, once an epoch, whole, and the same whenever asked."""

import numpy as np
import pytest

from llmosd.errors import InvalidDataset
from llmosd.jobs.data.tokenized import TokenizedDataset
from llmosd.jobs.training.batches import Batches, Examples, Rules, evaluation_batches
from llmosd.objectives.batch import IGNORED
from tiny_training import tiny_data, tiny_spec, tiny_text

CAUSAL = Rules(True, 1, False, 32)
CUT = Rules(True, 1, True, 8)


def dataset(*rows, masks=None):
    lengths = [len(row) for row in rows]
    masks = masks or [[1] * length for length in lengths]
    return TokenizedDataset(
        np.concatenate([np.array(row) for row in rows]).astype(np.uint16),
        np.concatenate([[0], np.cumsum(lengths)]),
        np.concatenate([np.array(mask) for mask in masks]).astype(np.uint8),
    )


def test_targets_are_successors_that_are_asked_for():
    examples = Examples(dataset([1, 2, 3, 4], [5, 6], masks=[[0, 0, 1, 1], [0, 1]]), CAUSAL)
    batch = examples.batch(np.array([1, 0]))
    assert batch.ids.tolist() == [5, 1, 2, 3]
    assert batch.targets.tolist() == [6, IGNORED, 3, 4]
    assert batch.lengths == (1, 3)
    assert batch.examples == (1, 0)


def test_long_texts_are_cut_and_no_target_is_lost():
    """Every token but a document's first is a target once."""
    rows = [list(range(100, 100 + length)) for length in (1, 2, 8, 9, 10, 17, 40)]
    examples = Examples(dataset(*rows), CUT)
    assert examples.lengths.max() == 8
    batch = examples.batch(np.arange(len(examples)))
    assert batch.targets.tolist() == [token for row in rows for token in row[1:]]
    assert (batch.targets - batch.ids == 1).all()


def test_long_examples_are_refused_where_they_must_stay_whole():
    with pytest.raises(InvalidDataset, match=r"1 examples are longer.*example 2 with 39 tokens"):
        Examples(dataset([1, 2], list(range(40))), CAUSAL)


def test_examples_without_targets_are_left_out():
    """A mask of zeros, or one on the first token alone, teaches nothing; pairs go together."""
    data = dataset([1, 2, 3], [4, 5], [6, 7], [8, 9], masks=[[0, 0, 1], [0, 0], [1, 0], [0, 1]])
    assert [int(at) for at in Examples(data, CAUSAL).sources] == [0, 3]
    with pytest.raises(InvalidDataset, match="no example"):
        Examples(data, Rules(True, 2, False, 32))


@pytest.mark.parametrize("packing", [True, False])
@pytest.mark.parametrize(("objective", "group"), [("sft", 1), ("dpo", 2)])
def test_an_epoch_sees_every_example_once(packing, objective, group):
    """In an order that is the epoch's; pairs in place; steps are about alike."""
    spec = tiny_spec(packing=packing, objective=objective, batch_size=5)
    examples = Examples(tiny_data(200), Rules(True, group, False, 32))
    batches = Batches(examples, spec)
    orders = []
    for epoch in range(3):
        steps = [
            batches.at(epoch * batches.steps_per_epoch + at)
            for at in range(batches.steps_per_epoch)
        ]
        seen = [example for batch in steps for example in batch.examples]
        assert sorted(seen) == list(range(200))
        orders.append(seen)
        if group == 2:
            pairs = np.array(seen).reshape(-1, 2)
            assert (pairs[:, 1] == pairs[:, 0] + 1).all()
            assert (pairs[:, 0] % 2 == 0).all()
        sizes = [len(batch.ids) if packing else len(batch.lengths) for batch in steps]
        limit = 5 * 32 * group if packing else 5 * group
        assert max(sizes) < limit + (20 * group if packing else 1)
        assert min(sizes) > 0.6 * max(sizes)
    assert orders[0] != orders[1] != orders[2]


def test_a_step_does_not_depend_on_what_was_asked_before():
    """Any order of asking, any process: the same batch; another seed, another."""
    examples = Examples(tiny_data(100), CAUSAL)
    one, two = (Batches(examples, tiny_spec(objective="sft")) for _ in range(2))
    forward = [one.at(step).examples for step in range(40)]
    assert [two.at(step).examples for step in reversed(range(40))] == forward[::-1]
    other = Batches(examples, tiny_spec(objective="sft", seed=1))
    assert [other.at(step).examples for step in range(40)] != forward


def test_every_step_has_something():
    """Whatever the lengths: none empty, none much over its share."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        lengths = rng.choice([2, 3, 30, 32, 33], size=rng.integers(1, 40))
        data = dataset(*(range(length) for length in lengths))
        batches = Batches(Examples(data, CAUSAL), tiny_spec(objective="sft", batch_size=1))
        sizes = [len(batches.at(at).ids) for at in range(batches.steps_per_epoch)]
        assert min(sizes) > 0
        assert sum(sizes) == sum(lengths) - len(lengths)
        assert max(sizes) <= 2 * 32


def test_windows_of_one_long_text():
    """As nanoGPT draws them: anywhere, every one as likely, each token's successor its target."""
    data = tiny_text(200)
    spec = tiny_spec(batch_size=10, sequence_length=8)
    batches = Batches(Examples(data, CUT), spec)
    assert batches.windows
    text, starts = data.ids.tolist(), []
    for step in range(400):
        batch = batches.at(step)
        assert batch.lengths == (8,) * 10
        for ids, targets in zip(
            batch.ids.view(10, 8).tolist(), batch.targets.view(10, 8).tolist(), strict=True
        ):
            assert ids[1:] == targets[:-1]
            starts.append(next(at for at in range(192) if text[at : at + 9] == [*ids, targets[-1]]))
    assert max(starts) > 185
    assert min(starts) < 5
    again = Batches(Examples(data, CUT), spec)
    assert again.at(7).ids.tolist() == batches.at(7).ids.tolist() != batches.at(8).ids.tolist()


def test_windows_are_for_few_long_texts():
    """`auto`: many examples are gone through instead; asking for windows of short ones fails."""
    many = Examples(tiny_data(100, longest=20), CUT)
    assert not Batches(many, tiny_spec(sequence_length=8)).windows
    assert Batches(many, tiny_spec(sequence_length=8, sampling="windows")).windows
    long = Examples(tiny_text(), CUT)
    assert not Batches(long, tiny_spec(sequence_length=8, sampling="examples")).windows
    short = Examples(tiny_data(2, longest=6), CUT)
    with pytest.raises(InvalidDataset, match="longer than sequence_length"):
        Batches(short, tiny_spec(sequence_length=8, sampling="windows"))


def test_windows_stay_within_their_document():
    """Of two documents, no window crosses from one to the other."""
    data = dataset(range(30), range(100, 130))
    batches = Batches(Examples(data, CUT), tiny_spec(batch_size=50, sequence_length=8))
    ids = batches.at(0).ids.view(50, 8)
    assert ((ids < 30).all(1) | (ids >= 100).all(1)).all()
    assert bool((ids < 30).any())
    assert bool((ids >= 100).any())


@pytest.mark.parametrize(("rows", "wanted"), [(0, 41), (7, 7), (100, 41)])
def test_evaluation_covers_rows_once_in_order(rows, wanted):
    examples = Examples(tiny_data(41), CAUSAL)
    seen = [
        example for batch in evaluation_batches(examples, rows, 4) for example in batch.examples
    ]
    assert seen == list(range(wanted))
