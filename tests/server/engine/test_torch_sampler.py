"""Sampling in torch against the kernels: the same draws for the same logits, seeds and positions."""

import random

import msgspec
import numpy as np
import pytest
import torch

from llmos_kernels import reference
from llmosd.engine.draws import Draw
from llmosd.engine.sampler import NumbaSampler
from llmosd.engine.sequence import Sequence
from llmosd.engine.torch_sampler import TorchSampler
from llmosd.engine.torch_sampling import most_likely, philox, uniform
from llmosd.ipc.messages import SamplingSpec, Submit

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
# From the known-answer tests that come with Random123 (philox4x32, 10 rounds).
VECTORS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    (
        (0xFFFFFFFF,) * 4,
        (0xFFFFFFFF,) * 2,
        (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
    ),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]
VOCAB = 3000
PLAIN = SamplingSpec(1.0, 0, 1.0, 0.0, 1.0, 0.0, 0.0, 0, {})


class Mask:
    """A matcher that allows what it is told to."""

    def __init__(self, allowed):
        bits = np.zeros(-(-VOCAB // 32) * 32, np.uint32)
        bits[list(allowed)] = 1
        shifted = bits.reshape(-1, 32) << np.arange(32, dtype=np.uint32)
        self._words = np.bitwise_or.reduce(shifted, axis=1).view(np.int32)

    def mask(self):
        return self._words


def draw_of(row, *, drawn=(), matcher=None, choice=0, num_logprobs=-1, stops=(), least=0, **spec):
    """A draw for a sequence that has a prompt and part of an answer."""
    prompt = [(row * 7 + at) % VOCAB for at in range(10)]
    sampling = msgspec.structs.replace(PLAIN, **{"seed": row, **spec})
    request = Submit(row, prompt, 1, 100, least, list(stops), sampling, num_logprobs)
    return Draw(Sequence(request, choice, [*prompt, *drawn], matcher), choice)


def normal(rows, *, seed=0, rounded=False):
    logits = 3 * torch.randn((rows, VOCAB), generator=torch.Generator().manual_seed(seed))
    return logits.bfloat16().float() if rounded else logits


def same(logits, draws):
    """Both samplers' draws; they agree, log-probabilities to rounding."""
    expected = NumbaSampler().draw(logits.clone(), draws)
    actual = TorchSampler().draw(logits.clone().to(DEVICE), draws)
    for ours, known in zip(actual, expected, strict=True):
        assert (ours.id, ours.choice, ours.token) == (known.id, known.choice, known.token)
        assert ours.logprob == (
            None if known.logprob is None else pytest.approx(known.logprob, abs=2e-6)
        )
        if known.top is not None:
            assert [token for token, _ in ours.top] == [token for token, _ in known.top]
            values = [value for _, value in known.top]
            assert [value for _, value in ours.top] == pytest.approx(values, abs=2e-6)
        else:
            assert ours.top is None
    return actual


@pytest.mark.parametrize(("counter", "key", "expected"), VECTORS)
def test_philox_vectors(counter, key, expected):
    words = [tuple(np.array([word], np.uint64) for word in part) for part in (counter, key)]
    assert tuple(int(word[0]) for word in philox(*words)) == expected


def test_uniform_is_the_kernels():
    """To the bit, over all 64 bits of the seed."""
    rng = random.Random(1)
    seeds = [rng.getrandbits(64) for _ in range(200)]
    choices = [rng.randrange(8) for _ in seeds]
    positions = [rng.randrange(100000) for _ in seeds]
    expected = [reference.uniform(*each) for each in zip(seeds, choices, positions, strict=True)]
    assert uniform(seeds, choices, positions).tolist() == expected


@pytest.mark.parametrize("rounded", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("options", [
    {"temperature": 0.0},
    {},
    {"temperature": 0.7},
    {"temperature": 3.0, "min_p": 0.02},
    {"top_k": 1},
    {"top_k": 50},
    {"top_k": 50, "top_p": 0.9, "min_p": 0.05},
    {"top_p": 0.95},
    {"top_p": 0.1},
    {"temperature": 100.0, "top_p": 0.99},
    {"top_k": VOCAB + 5},
    {"top_k": 2000, "top_p": 0.999},
], ids=str)  # fmt: skip
def test_same_draws(options, rounded):
    """Every kind of draw, many times; rounded logits have equals at every border."""
    draws = [draw_of(row, drawn=range(row % 5), choice=row % 3, **options) for row in range(300)]
    tokens = [out.token for out in same(normal(300, rounded=rounded), draws)]
    if options.get("temperature") != 0 and options.get("top_k") != 1:
        assert len(set(tokens)) > 20


def test_everything_at_once():
    """Rows of all kinds beside each other, in one call."""
    rng = random.Random(3)
    draws = [
        draw_of(
            row,
            drawn=[rng.randrange(VOCAB) for _ in range(rng.randrange(30))],
            choice=rng.randrange(4),
            matcher=Mask(rng.sample(range(VOCAB), 40)) if row % 5 == 0 else None,
            num_logprobs=rng.randrange(-1, 20),
            stops=[1, 2, 3],
            least=rng.choice([0, 50]),
            temperature=rng.choice([0.0, 0.00005, 0.5, 1.0, 2.0]),
            top_k=rng.choice([0, 3, 40]),
            top_p=rng.choice([1.0, 0.9, 0.3]),
            min_p=rng.choice([0.0, 0.1]),
            repetition_penalty=rng.choice([1.0, 1.3, 0.8]),
            presence_penalty=rng.choice([0.0, 0.5, -0.5]),
            frequency_penalty=rng.choice([0.0, 0.2]),
            seed=rng.getrandbits(64),
            logit_bias=rng.choice([{}, {5: 8.0, 6: -8.0, 1: 9.0}]),
        )
        for row in range(200)
    ]
    same(normal(200, rounded=True), draws)


def test_a_row_does_not_depend_on_the_others():
    """Alone or beside rows that need other things, a row draws the same."""
    kinds = [
        {"temperature": 0.0},
        {},
        {"top_k": 9},
        {"top_p": 0.5},
        {"temperature": 90.0, "top_p": 0.999},
    ]
    draws = [draw_of(row, num_logprobs=2, **kinds[row % len(kinds)]) for row in range(20)]
    logits = normal(20)
    together = TorchSampler().draw(logits.clone().to(DEVICE), draws)
    for row, each in enumerate(draws):
        (alone,) = TorchSampler().draw(logits[row : row + 1].clone().to(DEVICE), [each])
        assert alone == together[row]


def test_masked_tokens_are_never_drawn():
    """Whatever the temperature and the limits."""
    for options in ({}, {"top_k": 10}, {"top_p": 0.9}, {"temperature": 0.0}, {"temperature": 99.0}):
        allowed = [3, 70, 2999]
        draws = [draw_of(row, matcher=Mask(allowed), **options) for row in range(100)]
        tokens = {out.token for out in TorchSampler().draw(normal(100).to(DEVICE), draws)}
        assert tokens <= set(allowed)
        assert options.get("temperature") != 99.0 or tokens == set(allowed)


def test_most_likely_breaks_ties_by_index():
    logits = torch.tensor([[0.0, -0.0, 2.0, -1.0, 2.0, -torch.inf, -3.0]], device=DEVICE)
    ids, values = most_likely(logits, 7)
    assert ids.tolist() == [[2, 4, 0, 1, 3, 6, 5]]
    assert values.tolist() == [[2.0, 2.0, 0.0, 0.0, -1.0, -3.0, -torch.inf]]


def test_score():
    """Log-probabilities, ranks and the likeliest tokens, of equals the first one before."""
    logits, tokens = normal(4), [4, 2999, 0, 17]
    logits[3, 5] = logits[3, 17] = logits[3, 18] = 99.0
    logprobs, ranks, top = NumbaSampler().score(logits, tokens, 3)
    own, own_ranks, own_top = TorchSampler().score(logits.to(DEVICE), tokens, 3)
    assert own == pytest.approx(logprobs, abs=2e-6)
    expected = logits.log_softmax(-1)[range(4), tokens]
    assert logprobs == pytest.approx(expected.tolist(), abs=1e-5)
    order = logits.sort(dim=-1, descending=True, stable=True).indices
    assert (
        own_ranks
        == ranks
        == [row.tolist().index(t) + 1 for row, t in zip(order, tokens, strict=True)]
    )
    assert ranks[3] == 2
    for rows, others, known in zip(top, own_top, order, strict=True):
        assert [token for token, _ in rows] == [token for token, _ in others] == known[:3].tolist()
        assert [v for _, v in rows] == pytest.approx([v for _, v in others], abs=2e-6)
    assert TorchSampler().score(logits.to(DEVICE), tokens)[2] == []


def test_the_comparison_would_see_a_difference():
    """The control: another seed draws other tokens."""
    draws = [draw_of(row) for row in range(50)]
    others = [draw_of(row, seed=row + 1) for row in range(50)]
    first, second = (
        [out.token for out in TorchSampler().draw(normal(50).to(DEVICE), each)]
        for each in (draws, others)
    )
    assert first != second
