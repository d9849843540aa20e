"""The evidence lower bound: its parts against definitions, and a latent vector that stays in use."""

import math
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from llmosd.architectures.config import ModelConfig
from llmosd.architectures.trainable.registry import from_scratch
from llmosd.jobs.data.tokenized import TokenizedDataset
from llmosd.jobs.specs import LatentSpec, OptimizerSpec, ScheduleSpec
from llmosd.objectives.annealing import SCHEDULES, kl_weight
from llmosd.objectives.batch import IGNORED
from llmosd.objectives.gaussian import kl_divergence, log_density
from tiny_training import (
    START,
    WORDS,
    sentence_batch,
    tiny_config,
    tiny_objective,
    tiny_sentences,
    tiny_spec,
    tiny_trainer,
)

COCO = Path(__file__).parents[4] / "shared" / "data" / "texygen.coco.train.txt"
LATENT = 6


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Networks so small that a second thread waits more than it helps."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def network_of(seed=0, **changes):
    config = tiny_config(
        "vae", **({"latent_size": LATENT, "encoder_layers": 1, "start_id": START} | changes)
    )
    return from_scratch(config, seed)


def prepared(objective, network, batch, seed=5):
    return objective.prepare(network, batch, torch.Generator().manual_seed(seed), 1)


def test_kl_is_that_of_monte_carlo():
    """The mean of log q - log p over a million draws, within 1 %."""
    generator = torch.Generator().manual_seed(0)
    mean, log_variance = torch.tensor([[1.0, -0.5, 0.2]]), torch.tensor([[0.3, -1.0, -2.0]])
    noise = torch.randn(1_000_000, 3, generator=generator)
    z = mean + (log_variance / 2).exp() * noise
    zero = torch.zeros(1, 3)
    found = (log_density(z, mean, log_variance) - log_density(z, zero, zero)).mean()
    assert float(kl_divergence(mean, log_variance).sum()) == pytest.approx(float(found), rel=0.01)
    assert not kl_divergence(zero, zero).any()


def test_density_is_torchs():
    mean, log_variance, z = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(1))
    normal = torch.distributions.Normal(mean, (log_variance / 2).exp())
    torch.testing.assert_close(log_density(z, mean, log_variance), normal.log_prob(z).sum(1))


# Schedule, steps of the run, settings: the weight at steps.
TABLE = [
    ("constant", 100, {}, {0: 1.0, 50: 1.0, 99: 1.0}),
    ("constant", 100, {"weight": 0.3}, {0: 0.3, 99: 0.3}),
    ("linear", 100, {"warmup": 20}, {0: 0.0, 5: 0.25, 10: 0.5, 20: 1.0, 99: 1.0}),
    ("linear", 100, {}, {0: 0.0, 25: 0.5, 50: 1.0, 99: 1.0}),
    ("linear", 100, {"warmup": 20, "weight": 0.5}, {10: 0.25, 20: 0.5, 90: 0.5}),
    ("logistic", 100, {"warmup": 20},
     {0: 1 / (1 + math.exp(5)), 10: 0.5, 12: 1 / (1 + math.exp(-1)), 20: 1.0, 99: 1.0}),
    ("cyclical", 100, {"cycles": 4}, {0: 0.0, 5: 0.4, 12: 0.96, 13: 1.0, 24: 1.0, 25: 0.0, 30: 0.4,
                                      50: 0.0, 99: 1.0}),
    ("cyclical", 100, {"cycles": 2, "warmup": 10}, {5: 0.5, 10: 1.0, 49: 1.0, 50: 0.0, 55: 0.5}),
    ("cyclical", 10, {"cycles": 4}, {0: 0.0, 1: 0.8, 2: 1.0, 3: 0.4}),
    ("linear", 1, {}, {0: 0.0}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "steps", "settings", "wanted"), TABLE)
def test_schedules(name, steps, settings, wanted):
    """Against a table made by hand."""
    given = {"weight": 1.0} | settings
    found = {step: kl_weight(name, step, steps, **given) for step in wanted}
    assert found == pytest.approx(wanted)


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_stay_between(name):
    """Never below 0 or above the weight, whatever the settings."""
    for steps in (1, 2, 7, 100):
        for warmup in (0, 1, 30):
            for cycles in (1, 3, 200):
                every = [
                    kl_weight(name, step, steps, weight=0.7, warmup=warmup, cycles=cycles)
                    for step in range(steps)
                ]
                assert all(0 <= each <= 0.7 for each in every)


def test_the_loss_is_its_definition():
    """Cross-entropy by torch, and the divergence by torch.distributions, of one noise."""
    network, batch = network_of().train(), sentence_batch()
    objective = tiny_objective("vae", kl_schedule="linear", kl_warmup_steps=10)
    ready = prepared(objective, network, replace(batch, step=4, steps=100))
    assert ready.noise.shape == (6, 1, LATENT)
    posterior, _, hidden = network.variational(batch.ids, batch.lengths, ready.noise)
    scores = hidden[0] @ network.head.T
    written = functional.cross_entropy(scores, batch.targets, reduction="sum")
    prior = torch.distributions.Normal(torch.zeros(6, LATENT), 1.0)
    own = torch.distributions.Normal(posterior.mean, (posterior.log_variance / 2).exp())
    kl = torch.distributions.kl_divergence(own, prior).sum()
    nats, divergence = float(written.detach()), float(kl.detach())
    outcome = objective.loss(network, ready)
    torch.testing.assert_close(outcome.loss, written + 0.4 * kl)
    tokens = int((batch.targets != IGNORED).sum())
    assert outcome.count == tokens
    means = {name: value / tokens for name, value in outcome.metrics.items()}
    assert means == pytest.approx({
        "loss": (nats + divergence) / tokens,
        "reconstruction": nats / 6,
        "kl": divergence / 6,
        "kl_weight": 0.4,
    }, rel=1e-5)  # fmt: skip
    assert objective.guess() == math.log(WORDS)


def test_free_bits():
    """No dimension of a sentence costs less; what costs more costs what it costs."""
    network, batch = network_of().train(), sentence_batch()
    found = {}
    for free in (0.0, 0.5, 1e3):
        objective = tiny_objective("vae", kl_schedule="constant", free_bits=free)
        ready = prepared(objective, network, batch)
        outcome = objective.loss(network, ready)
        found[free] = outcome
        posterior, _, _ = network.variational(batch.ids, batch.lengths, ready.noise)
        divergence = kl_divergence(*posterior)
        wanted = found[0.0].loss - divergence.sum() + divergence.clamp_min(free).sum()
        torch.testing.assert_close(outcome.loss, wanted)
        assert outcome.metrics == found[0.0].metrics
    gradient = torch.autograd.grad(found[1e3].loss, network.encoder.log_variance.bias)[0]
    # What is free pulls at nothing: only the reconstruction is left.
    posterior, _, hidden = network.variational(batch.ids, batch.lengths, ready.noise)
    written = functional.cross_entropy(hidden[0] @ network.head.T, batch.targets, reduction="sum")
    wanted = torch.autograd.grad(written, network.encoder.log_variance.bias)[0]
    torch.testing.assert_close(gradient, wanted, rtol=1e-4, atol=1e-5)


def test_word_dropout():
    """A share of the words that are written is hidden; nothing that is read, and no start."""
    network, batch = network_of().train(), sentence_batch(400)
    ready = prepared(tiny_objective("vae", word_dropout=0.4), network, batch)
    changed, words = ready.ids != batch.ids, torch.zeros(len(batch.ids), dtype=torch.bool)
    at = 0
    for length in batch.lengths:
        words[at + length // 2 + 1 : at + length] = True
        assert batch.ids[at + length // 2] == START
        at += length
    assert not changed[~words].any()
    assert set(ready.ids[changed].tolist()) == {WORDS - 1}
    assert float(changed[words].float().mean()) == pytest.approx(0.4, abs=0.03)
    all_hidden = prepared(tiny_objective("vae", word_dropout=1.0), network, batch)
    assert set(all_hidden.ids[words].tolist()) == {WORDS - 1}
    untouched = prepared(tiny_objective("vae", word_dropout=0.4), network.eval(), batch)
    assert torch.equal(untouched.ids, batch.ids)


def evaluated(network, objective, batch, seed=5):
    with torch.no_grad():
        outcome = objective.loss(network.eval(), prepared(objective, network, batch, seed))
    figures = {name: value / outcome.count for name, value in outcome.metrics.items()}
    return figures | objective.summarize(outcome.sums)


def test_evaluation_is_deterministic_and_per_sentence():
    """The same seed, the same figures; in two batches, the same sums."""
    network, batch = network_of(), sentence_batch(20)
    objective = tiny_objective("vae", importance_samples=4)
    figures = evaluated(network, objective, batch)
    assert figures == evaluated(network, objective, batch)
    tokens = int((batch.targets != IGNORED).sum())
    assert figures["loss"] == pytest.approx(
        (figures["reconstruction"] + figures["kl"]) * 20 / tokens, rel=1e-6
    )


def test_active_units():
    """Dimensions whose mean moves with the sentence, by definition."""
    network, batch = network_of(), sentence_batch(50)
    with torch.no_grad():
        network.encoder.mean.weight[:4] = 0  # four that say nothing
        network.encoder.mean.bias.add_(100.0)  # and a mean of squares that is no variance
        network.encoder.mean.weight[4:].mul_(10)
        network.encoder.log_variance.bias.add_(-5.0)
    assert evaluated(network, tiny_objective("vae"), batch)["active_units"] == 2


def trained(spec_changes=None, steps=150):
    spec = tiny_spec(
        objective="vae", family="vae", steps=steps, batch_size=16, packing=False,
        latent=LatentSpec(**(spec_changes or {})),
    )  # fmt: skip
    trainer = tiny_trainer(
        spec, network_of(), tiny_sentences(400), validation=tiny_sentences(60, seed=1)
    )
    while not trainer.done:
        trainer.step()
    return trainer


def test_importance_weighting():
    """The bound is above the evidence's, and rises with the number of draws, to log p(x)."""
    trainer = trained({"kl_schedule": "linear", "free_bits": 0.3})
    batch, found = sentence_batch(60, seed=1), {}
    for draws in (1, 4, 16, 128):
        objective = tiny_objective("vae", importance_samples=draws)
        every = [evaluated(trainer.network, objective, batch, seed) for seed in range(8)]
        found[draws] = float(np.mean([each["iwae"] for each in every]))
        bound = float(np.mean([each["reconstruction"] + each["kl"] for each in every]))
        if draws > 1:
            assert found[draws] < bound
    print(f"negative bounds by draws: {found}")
    assert found[1] == pytest.approx(bound, rel=0.01)
    assert found[1] > found[4] + 0.05 > found[16] + 0.08 > found[128] + 0.09


def test_the_bound_is_exact_where_the_posterior_is_the_prior():
    """A decoder that does not look, and q = p: both bounds are log p(x), whatever is drawn."""
    network, batch = network_of(), sentence_batch()
    with torch.no_grad():
        for part in (network.encoder.mean, network.encoder.log_variance, network.decoder.initial):
            part.weight.zero_()
            part.bias.zero_()
        network.decoder.latent.weight.zero_()
    figures = evaluated(network, tiny_objective("vae", importance_samples=5), batch)
    assert figures["kl"] == 0
    assert figures["iwae"] == pytest.approx(figures["reconstruction"], rel=1e-5)
    assert figures["active_units"] == 0


def laid(rows, words):
    """Sentences of word numbers, as examples."""
    examples = [[*row, START, *row, START] for row in rows]
    masks = [[0] * (len(row) + 1) + [1] * (len(row) + 1) for row in rows]
    assert max(map(max, rows)) < words
    return TokenizedDataset(
        np.concatenate(examples).astype(np.uint16),
        np.cumsum([0, *map(len, examples)]).astype(np.int64),
        np.concatenate(masks).astype(np.uint8),
    )


def topical(seed, count, topics=64, slots=6, words=24, own=2):
    """Each of 64 topics has two words for each of six places: one tells much of the others.

    A decoder that sees what it wrote knows the topic from the first word or two.
    """
    table = np.random.default_rng(99).integers(words, size=(topics, slots, own))
    draw = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        topic = draw.integers(topics)
        chosen = table[topic, np.arange(slots), draw.integers(own, size=slots)]
        rows.append((2 + np.arange(slots) * words + chosen).tolist())
    return rows, 2 + slots * words


def captions(count=6000, most=12, known=1500):
    """Texygen's captions as word numbers; rare words are one."""
    lines = [line.split() for line in COCO.read_text().splitlines()]
    lines = [line for line in lines if len(line) <= most][:count]
    common = Counter(word for line in lines for word in line).most_common(known)
    numbers = {word: at for at, (word, _) in enumerate(common, 3)}
    return [[numbers.get(word, 2) for word in line] for line in lines], known + 3


def learn(rows, held_out, words, *, steps, hidden=64, rate=1e-2, seed=0, **latent):
    """The last evaluation of a run; the word after the last one hides others."""
    config = ModelConfig(
        "vae", "vae", vocab_size=words + 1, hidden_size=hidden, intermediate_size=0, num_layers=1,
        num_heads=1, num_kv_heads=1, head_dim=hidden, context_length=64, norm_eps=1e-5,
        tie_embeddings=True, encoder_layers=1, start_id=START, latent_size=16,
    )  # fmt: skip
    spec = tiny_spec(
        objective="vae", family="vae", steps=steps, batch_size=32, packing=False, seed=seed,
        optimizer=OptimizerSpec(learning_rate=rate), schedule=ScheduleSpec(warmup_steps=20),
        latent=LatentSpec(**latent),
    )  # fmt: skip
    data = laid(rows, words), laid(held_out, words)
    trainer = tiny_trainer(spec, from_scratch(config, seed), data[0], validation=data[1])
    while not trainer.done:
        trainer.step()
    return trainer.evaluate()


def test_annealing_keeps_the_latent_vector_in_use():
    """KL of 3 nats or more with annealing and word dropout; without, below 0.5: it collapses."""
    rows, words = topical(0, 4000)
    held_out, _ = topical(1, 300)
    annealed = learn(
        rows, held_out, words, steps=800, kl_schedule="linear", kl_warmup_steps=600,
        word_dropout=0.9,
    )  # fmt: skip
    control = learn(rows, held_out, words, steps=800, kl_schedule="constant")
    print(f"annealed {annealed}\ncontrol {control}")
    assert annealed["kl"] >= 3
    assert control["kl"] < 0.5
    # What the latent vector says is worth something: fewer nats for the words.
    assert annealed["reconstruction"] < control["reconstruction"] - 0.5
    assert annealed["active_units"] >= 5 > control["active_units"]


@pytest.mark.skipif(not COCO.exists(), reason="needs ../shared/data/texygen.coco.train.txt")
@pytest.mark.skipif("LLMOS_VAE_STEPS" not in os.environ, reason="minutes: LLMOS_VAE_STEPS=1000")
def test_annealing_on_captions():
    """The same of 5,700 captions of pictures, with free bits beside; LLMOS_VAE_STEPS=1000."""
    rows, words = captions()
    both = {"steps": int(os.environ["LLMOS_VAE_STEPS"]), "hidden": 96, "rate": 5e-3}
    annealed = learn(
        rows[300:], rows[:300], words, **both, kl_schedule="linear", word_dropout=0.6,
        free_bits=0.25,
    )  # fmt: skip
    control = learn(rows[300:], rows[:300], words, **both, kl_schedule="constant")
    print(f"annealed {annealed}\ncontrol {control}")
    assert annealed["kl"] >= 3
    assert control["kl"] < 0.5
