"""Sampling against its twin, transformers' logits processors, and Random123's vectors."""

import math

import numpy as np
import pytest
import torch
from transformers import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from llmos_kernels import reference
from llmos_kernels.random import normals, philox, uniform
from llmos_kernels.sampling import BIAS, PARAMS, SEEN, sample

# From the known-answer tests that come with Random123 (philox4x32, 10 rounds).
VECTORS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]
VOCAB = 1000


def run(logits, *, seeds=None, places=None, seen=(), bias=(), allowed=None, **values):
    """Tokens, logprobs and top lists for rows that share their parameters.

    `allowed` are the tokens each row may draw; None allows a row all.
    """
    rows = len(logits)
    params = np.zeros(rows, PARAMS)
    defaults = {"temperature": 1.0, "top_p": 1.0, "repetition": 1.0, "num_logprobs": -1}
    for name, value in {**defaults, **values}.items():
        params[name] = value
    seeds = np.arange(rows, dtype=np.uint64) if seeds is None else np.array(seeds, np.uint64)
    places = np.zeros((rows, 2), np.int64) if places is None else np.array(places, np.int64)

    def ragged(entries, dtype):
        starts = np.arange(rows + 1, dtype=np.int64) * len(entries)
        return np.array(list(entries) * rows, dtype), starts

    masked = packed(allowed or [None] * rows)
    tokens, logprobs = np.empty(rows, np.int32), np.full(rows, np.nan, np.float32)
    top_ids, top_logprobs = np.empty((rows, 20), np.int32), np.empty((rows, 20), np.float32)
    sample(
        logits.copy(), params, seeds, places, *ragged(seen, SEEN), *ragged(bias, BIAS), *masked,
        tokens, logprobs, top_ids, top_logprobs,
    )  # fmt: skip
    return tokens, logprobs, top_ids, top_logprobs


def packed(allowed):
    """Bits as the kernel has them, made by NumPy's own packing."""
    masks, mask_of = [], np.full(len(allowed), -1, np.int32)
    for row, tokens in enumerate(allowed):
        if tokens is not None:
            bits = np.zeros(-(-VOCAB // 32) * 32, np.uint8)
            bits[list(tokens)] = 1
            mask_of[row] = len(masks)
            masks.append(np.packbits(bits, bitorder="little").view(np.int32))
    return (np.stack(masks) if masks else np.empty((0, 0), np.int32)), mask_of


def normal(rows, seed=0):
    return np.random.default_rng(seed).standard_normal((rows, VOCAB), np.float32) * 3


@pytest.mark.parametrize(("counter", "key", "expected"), VECTORS)
def test_philox_known_answers(counter, key, expected):
    """The kernel and its twin give the published words."""
    words = [np.uint64(word) for word in (*counter, *key)]
    assert tuple(int(word) for word in philox(*words)) == expected
    assert reference.philox(counter, key) == expected


@pytest.mark.parametrize(("seed", "choice", "size"), [(0, 0, 1), (9, 3, 32), (2**64 - 1, 63, 7)])
def test_normals(seed, choice, size):
    """The kernel's are the twin's, and a longer vector begins with a shorter one."""
    out = np.empty(size, np.float32)
    normals(np.uint64(seed), choice, out)
    np.testing.assert_allclose(out, reference.normals(seed, choice, size), rtol=1e-6)
    np.testing.assert_array_equal(
        reference.normals(seed, choice, size), reference.normals(seed, choice, size + 5)[:size]
    )


def test_normals_are_normal():
    """Kolmogorov and Smirnov, and neighbours are not correlated."""
    out = np.empty(20_000, np.float32)
    normals(np.uint64(5), 1, out)
    ordered = np.sort(out.astype(np.float64))
    wanted = np.array([0.5 * (1 + math.erf(x / math.sqrt(2))) for x in ordered])
    assert np.abs(wanted - np.arange(1, 20_001) / 20_000).max() < 1.63 / math.sqrt(20_000)
    assert abs(np.corrcoef(out[::2], out[1::2])[0, 1]) < 0.03


def test_uniform_is_uniform():
    """Equal to the twin, and flat over [0, 1) by a chi-squared bound (99.99 %, 63 degrees)."""
    draws = [uniform(np.uint64(9), 0, position) for position in range(20_000)]
    assert draws[:50] == [reference.uniform(9, 0, position) for position in range(50)]
    assert uniform(np.uint64(2**64 - 1), 63, 2**31) == reference.uniform(2**64 - 1, 63, 2**31)
    counts = np.histogram(draws, 64, (0, 1))[0]
    expected = len(draws) / 64
    assert ((counts - expected) ** 2 / expected).sum() < 118


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0.7},
        {"temperature": 1.3, "top_k": 5},
        {"temperature": 1.0, "top_p": 0.6},
        {"temperature": 2.0, "top_p": 0.99},
        {"temperature": 0.9, "min_p": 0.2},
        {"temperature": 1.1, "top_k": 40, "top_p": 0.8, "min_p": 0.05},
        {"temperature": 1.0, "top_k": VOCAB + 5},
    ],
)
def test_draws_follow_the_distribution(options):
    """Each token is the twin distribution's at the row's uniform number, in the kernel's order."""
    logits = normal(1)
    expected = reference.distribution(logits[0], **options)
    rows = 4000
    tokens, *_ = run(np.repeat(logits, rows, axis=0), **options)

    assert set(tokens) <= set(np.flatnonzero(expected))
    likely = np.argsort(-expected)[:10]
    counts = np.array([(tokens == token).sum() for token in likely]) / rows
    deviation = np.sqrt(expected[likely] * (1 - expected[likely]) / rows)
    assert (np.abs(counts - expected[likely]) <= 5 * deviation + 1e-9).all()


@pytest.mark.parametrize(
    ("options", "warpers"),
    [
        ({"top_k": 7}, [TopKLogitsWarper(7)]),
        ({"top_p": 0.7}, [TopPLogitsWarper(0.7)]),
        ({"min_p": 0.1}, [MinPLogitsWarper(0.1)]),
        (
            {"top_k": 30, "top_p": 0.9, "min_p": 0.02},
            [TopKLogitsWarper(30), TopPLogitsWarper(0.9), MinPLogitsWarper(0.02)],
        ),
    ],
)
def test_distribution_is_transformers(options, warpers):
    """The twin keeps the tokens that transformers' warpers keep, with their probabilities."""
    logits = normal(1, seed=4)
    scores = torch.from_numpy(logits.astype(np.float64))
    for warper in [TemperatureLogitsWarper(0.8), *warpers]:
        scores = warper(None, scores)
    expected = scores.softmax(-1)[0].numpy()

    ours = reference.distribution(logits[0], temperature=0.8, **options)

    np.testing.assert_allclose(ours, expected, atol=1e-12)


def test_greedy_takes_the_first_largest():
    """Temperature 0 and tiny ones; of equal logits the lowest id."""
    logits = normal(3)
    logits[1, [40, 17]] = 99.0
    for temperature in (0.0, 1e-5, 1e-45):
        tokens, *_ = run(logits, temperature=temperature)
        assert tokens.tolist() == logits.argmax(-1).tolist()
    assert tokens[1] == 17


def test_penalties():
    """All three against the twin, the repetition penalty against transformers."""
    logits, prompt, drawn = normal(1), [1, 2, 3, 3], [3, 4, 4, 4]
    entries = [(3, 1), (4, 3), (1, 0), (2, 0)]
    for repetition, presence, frequency in ((1.5, 0, 0), (1.0, 0.7, 0), (1.2, -0.5, 1.1)):
        penalized = reference.penalize(logits[0], prompt, drawn, repetition, presence, frequency)
        tokens, *_ = run(
            logits, seen=entries, temperature=0.0, repetition=repetition, presence=presence,
            frequency=frequency,
        )  # fmt: skip
        assert tokens[0] == penalized.argmax()
    processor = RepetitionPenaltyLogitsProcessor(1.5)
    expected = processor(torch.tensor([prompt + drawn]), torch.from_numpy(logits.copy()))[0]
    ours = reference.penalize(logits[0], prompt, drawn, 1.5, 0, 0)
    np.testing.assert_allclose(ours, expected.numpy(), rtol=1e-6)


def test_logit_bias_and_ban():
    """A large bias wins, a ban loses, log-probabilities stay the model's own."""
    logits = normal(1)
    best = int(logits[0].argmax())
    plain = run(logits, temperature=0.0, num_logprobs=3)
    biased = run(logits, temperature=0.0, num_logprobs=3, bias=[(5, 100.0)])
    banned = run(logits, temperature=0.0, bias=[(best, -1e30)])
    assert biased[0].tolist() == [5]
    assert banned[0][0] != best
    np.testing.assert_array_equal(plain[3][:, :3], biased[3][:, :3])


@pytest.mark.parametrize(
    "options", [{"temperature": 0.0}, {}, {"top_k": 40}, {"top_p": 0.9}, {"min_p": 0.05}]
)
def test_masks(options):
    """A masked row draws what it may, as if the rest were impossible; the others are not touched."""
    logits = normal(300)
    allowed = [None if row % 3 == 0 else {5, 31, 32, 700, VOCAB - 1} for row in range(300)]
    tokens = run(logits, allowed=allowed, **options)[0]
    assert set(tokens[np.arange(300) % 3 > 0]) <= {5, 31, 32, 700, VOCAB - 1}
    assert len(set(tokens[1::3])) > 1
    assert np.array_equal(tokens[::3], run(logits, **options)[0][::3])
    banned = logits.copy()
    kept = np.isin(np.arange(VOCAB), [5, 31, 32, 700, VOCAB - 1])
    banned[:, ~kept] = -np.inf
    assert np.array_equal(tokens[1::3], run(banned, **options)[0][1::3])


def test_masks_leave_logprobs_alone():
    """Log-probabilities are the model's own, whatever the constraint."""
    logits = normal(4)
    free = run(logits, temperature=0.0, num_logprobs=3)
    held = run(logits, temperature=0.0, num_logprobs=3, allowed=[{1}, {1}, None, None])
    assert np.array_equal(free[2][:, :3], held[2][:, :3])
    assert np.array_equal(free[3][:, :3], held[3][:, :3])
    assert held[0][0] == 1
    expected = logits[0, 1] - np.log(np.exp(logits[0].astype(np.float64)).sum())
    assert held[1][0] == pytest.approx(expected, abs=1e-5)


def test_logprobs():
    """Of the drawn and the most likely tokens, against torch."""
    logits = normal(8)
    tokens, logprobs, top_ids, top_logprobs = run(logits, num_logprobs=20, top_k=50)
    expected = torch.from_numpy(logits).double().log_softmax(-1)
    top = expected.topk(20)
    for row in range(8):
        assert logprobs[row] == pytest.approx(expected[row, tokens[row]].item(), abs=1e-5)
    assert top_ids.tolist() == top.indices.tolist()
    np.testing.assert_allclose(top_logprobs, top.values.numpy(), atol=1e-5)


def test_rows_do_not_depend_on_the_batch():
    """A row's token and log-probabilities are the same alone."""
    logits = normal(16)
    for options in ({"top_p": 0.9}, {"top_k": 20}, {}, {"min_p": 0.1}):
        whole = run(logits, num_logprobs=4, **options)
        for row in range(16):
            alone = run(logits[row : row + 1], seeds=[row], num_logprobs=4, **options)
            for one, many in zip(alone, whole, strict=True):
                np.testing.assert_array_equal(
                    one[0, :4] if one.ndim > 1 else one[0],
                    many[row, :4] if many.ndim > 1 else many[row],
                )
