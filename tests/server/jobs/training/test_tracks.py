"""Texts read side by side: nothing is left out, and states go from step to step."""

import numpy as np
import pytest
import torch

from llmosd.architectures.trainable.registry import from_scratch
from llmosd.errors import InvalidDataset
from llmosd.jobs.data.tokenized import TokenizedDataset
from llmosd.jobs.training.batches import Examples, Rules
from llmosd.jobs.training.tracks import Tracks
from tiny_training import tiny_config, tiny_spec, tiny_trainer

LENGTH = 7


def texts(*lengths, seed=0):
    """Documents of so many random words."""
    ids = np.random.default_rng(seed).integers(0, 50, sum(lengths)).astype(np.uint16)
    return TokenizedDataset(
        ids, np.concatenate([[0], np.cumsum(lengths)]), np.ones(len(ids), np.uint8)
    )


def tracks_of(data, count):
    return Tracks(Examples(data, Rules(True, 1, True, LENGTH)), count)


CASES = [((100,), 1), ((100,), 3), ((40, 2, 1, 30, 9), 2), ((5, 5, 5, 5, 5), 4), ((8, 7, 15), 3)]


@pytest.mark.parametrize(("lengths", "count"), CASES)
def test_every_token_but_the_first_is_a_target_once(lengths, count):
    data = texts(*lengths)
    network = from_scratch(tiny_config("gru"), 0)
    tracks = tracks_of(data, count)
    states = network.carried(count)
    found = []
    for step in range(tracks.steps_per_epoch):
        batch = tracks.at(step, states)
        assert len(batch.ids) <= count * LENGTH
        assert len(batch.carry.begins) == len(batch.carry.ends) == len(batch.lengths)
        found += batch.targets.tolist()
    wanted = [
        int(each)
        for start, end in zip(data.offsets, data.offsets[1:], strict=False)
        for each in data.ids[start + 1 : end]
    ]
    assert sorted(found) == sorted(wanted)


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize(("lengths", "count"), CASES)
def test_read_in_steps_as_in_one_piece(lengths, count, cell, parts):
    """Hidden states are those of each document's part in a track, read at once; twice the same."""
    data = texts(*lengths)
    network = from_scratch(tiny_config(cell), 0).eval()
    tracks = tracks_of(data, count)
    states = network.carried(count)
    with torch.no_grad():
        for _ in range(2):
            seen = {}
            for step in range(tracks.steps_per_epoch):
                batch = tracks.at(step, states)
                for part in batch.split(parts) if batch.lengths else ():
                    hidden = network(part.ids, part.lengths, None, part.carry)
                    network(part.ids, part.lengths, None, part.carry)  # changes nothing yet
                    for row, word in zip(hidden, part.ids.tolist(), strict=True):
                        seen.setdefault(word, []).append(row)
                states.advance()
            wanted = {}
            total = int(data.offsets[-1])
            edges = {total * at // count for at in range(count + 1)} | set(data.offsets.tolist())
            for start, end in zip(sorted(edges), sorted(edges)[1:], strict=False):
                last = end - 1 if end in data.offsets else end
                if last > start:
                    ids = torch.from_numpy(data.ids[start:last].astype(np.int64))
                    for row, word in zip(network(ids, (len(ids),)), ids.tolist(), strict=True):
                        wanted.setdefault(word, []).append(row)
            assert seen.keys() == wanted.keys()
            for word, rows in wanted.items():
                one, two = (
                    torch.stack(sorted(each, key=lambda row: row.sum().item()))
                    for each in (seen[word], rows)
                )
                torch.testing.assert_close(one, two, atol=2e-6, rtol=0)


def test_gradients_end_where_a_piece_begins():
    """What is carried is a number, and a step's graph ends with the step."""
    network = from_scratch(tiny_config("lstm"), 0)
    tracks = tracks_of(texts(40), 2)
    states = network.carried(2)
    for step in range(2):
        batch = tracks.at(step, states)
        network(batch.ids, batch.lengths, None, batch.carry).sum().backward()
        states.advance()
        assert not states.state().requires_grad
    assert states.state()[:, :, :2].abs().sum() > 0
    assert states.state()[:, :, 2].abs().sum() == 0


def test_too_short():
    with pytest.raises(InvalidDataset, match="4 tracks"):
        tracks_of(texts(7), 4)


def cycles(count, seed):
    """Three words over and over, thirty in all, then three others.

    In a piece of four, the fourth is known; the others are to who has seen the piece before.
    """
    rng = np.random.default_rng(seed)
    ids = np.concatenate([np.tile(rng.integers(0, 8, 3), 10) for _ in range(count)])
    return TokenizedDataset(
        ids.astype(np.uint16), np.array([0, len(ids)]), np.ones(len(ids), np.uint8)
    )


def test_what_was_read_before_the_piece_helps():
    """Nine words of ten are known with states carried; without, one of four."""
    losses = {}
    for sampling in ("tracks", "examples"):
        spec = tiny_spec(
            family="gru", sequence_length=4, batch_size=20, steps=300, sampling=sampling
        )
        network = from_scratch(tiny_config("gru", num_layers=1, hidden_size=64), 0)
        trainer = tiny_trainer(spec, network, cycles(400, 0), validation=cycles(40, 1))
        while not trainer.done:
            trainer.step()
        losses[sampling] = trainer.evaluate()["loss"]
    guess = np.log(8)
    print(losses, guess)
    assert losses["examples"] > 0.6 * guess
    assert losses["tracks"] < 0.5 * guess
