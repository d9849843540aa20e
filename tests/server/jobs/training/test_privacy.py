"""Differential privacy: the accountant against Opacus and the definition, gradients by hand."""

import math

import numpy as np
import pytest
import torch

from llmosd.architectures.trainable.registry import from_scratch
from llmosd.jobs.specs import OptimizerSpec, PrivacySpec
from llmosd.jobs.training.privacy import _ORDERS, PrivateGradients, _renyi, epsilon
from tiny_training import (
    WORDS,
    assert_same_bits,
    tiny_batch,
    tiny_config,
    tiny_data,
    tiny_objective,
    tiny_spec,
    tiny_trainer,
    weights_of,
)

# opacus 1.6.0, accountants.analysis.rdp at these orders: (noise, rate, steps, delta): epsilon.
OPACUS = {
    (1.0, 0.01, 1000, 1e-5): 2.107753075451561,
    (0.8, 0.05, 200, 1e-5): 8.75396470183971,
    (2.0, 0.1, 500, 1e-6): 6.6968588549662895,
    (1.5, 1.0, 10, 1e-5): 11.468358146709562,
    (0.5, 0.01, 100, 1e-5): 10.661181335284862,
}


@pytest.mark.parametrize("given", OPACUS)
def test_epsilon_is_that_of_opacus(given):
    assert epsilon(*given) == pytest.approx(OPACUS[given], rel=1e-9)


@pytest.mark.parametrize("order", [2, 3, 8, 32])
@pytest.mark.parametrize(("noise", "rate"), [(1.0, 0.05), (0.7, 0.3), (3.0, 0.5)])
def test_renyi_is_its_integral(order, noise, rate):
    """ln E[((1 - q) + q exp((2x - 1) / 2 s^2))^a] / (a - 1) over N(0, s^2), summed finely."""
    grid = np.linspace(-15 * noise, order + 15 * noise, 400_001)
    density = -(grid**2) / (2 * noise**2) - math.log(math.sqrt(2 * math.pi) * noise)
    ratio = np.logaddexp(math.log(1 - rate), math.log(rate) + (2 * grid - 1) / (2 * noise**2))
    logs = density + order * ratio
    integral = np.trapezoid(np.exp(logs - logs.max()), grid)
    expected = (logs.max() + math.log(integral)) / (order - 1)
    assert _renyi(order, noise, rate) == pytest.approx(expected, rel=1e-6)


def test_epsilon_moves_the_right_way():
    """More noise, fewer steps, a smaller rate: less is spent; nothing for nothing."""
    base = epsilon(1.0, 0.01, 1000, 1e-5)
    assert epsilon(2.0, 0.01, 1000, 1e-5) < base < epsilon(1.0, 0.02, 1000, 1e-5)
    assert epsilon(1.0, 0.01, 10, 1e-5) < base
    assert epsilon(1.0, 0.01, 0, 1e-5) == 0.0
    assert max(_ORDERS) == 512


def private(network, **changes):
    spec = tiny_spec(batch_size=4, dropout=0.0)
    return PrivateGradients(network, spec, PrivacySpec(**{"noise_multiplier": 1e-9, **changes}))


def test_gradients_are_clipped_one_by_one():
    """The sum of each example's own gradient, none longer than the limit, over the batch size."""
    network = from_scratch(tiny_config(), 0)
    objective, batch = tiny_objective("language_model"), tiny_batch(4)
    limit = 0.5
    expected = {name: torch.zeros_like(p) for name, p in network.named_parameters()}
    for part in batch.split(4):
        network.zero_grad()
        loss = objective.loss(network, part).loss / objective.count(part)
        loss.backward()
        norm = math.sqrt(sum(float(p.grad.square().sum()) for p in network.parameters()))
        assert norm > limit  # or the test would show nothing
        for name, parameter in network.named_parameters():
            expected[name] += parameter.grad * (limit / norm) / 4
    network.zero_grad()
    sums = private(network, max_grad_norm=limit).accumulate(batch, objective, 1)
    for name, parameter in network.named_parameters():
        assert torch.allclose(parameter.grad, expected[name], atol=1e-6), name
    assert math.isfinite(sums["loss"])


def test_noise_is_as_wide_as_it_says():
    """Of a step without any example nothing is left but the noise: other for each step and secret."""
    network = from_scratch(tiny_config(), 0)
    gradients = private(network, noise_multiplier=2.0, max_grad_norm=0.5)
    empty = tiny_batch(4).split(4)[0]
    nothing = type(empty)(empty.ids[:0], empty.targets[:0], ())

    def noise(secret):
        gradients.secret = secret
        gradients.accumulate(nothing, tiny_objective("language_model"), 1)
        return torch.cat([p.grad.flatten() for p in network.parameters()])

    one = noise(1)
    assert float(one.std()) == pytest.approx(2.0 * 0.5 / 4, rel=0.02)
    assert abs(float(one.mean())) < 0.01
    assert torch.equal(one, noise(1))
    assert not torch.equal(one, noise(2))


def trainer(privacy, steps=8):
    spec = tiny_spec(
        objective="language_model", batch_size=8, steps=steps, sampling="examples", privacy=privacy,
        optimizer=OptimizerSpec(learning_rate=1e-2),
    )  # fmt: skip
    return tiny_trainer(spec, from_scratch(tiny_config(), 0), tiny_data(40))


def test_a_resumed_run_changes_no_bit():
    """The secret is part of the state: the same examples, the same noise."""
    whole = trainer(PrivacySpec(noise_multiplier=0.5))
    half = trainer(PrivacySpec(noise_multiplier=0.5))
    for _ in range(4):
        whole.step()
    weights, optimizer, run = whole.state()
    saved = {name: each.clone() for name, each in weights.items()}
    kept = {name: each.clone() for name, each in optimizer.items()}
    for _ in range(4):
        whole.step()
    half.load_weights(saved)
    half._optimizers.restore(kept)
    half.run = run.__class__(**{n: getattr(run, n) for n in run.__struct_fields__} | {"step": 4})
    for _ in range(4):
        half.step()
    assert_same_bits(weights_of(half.network), weights_of(whole.network))
    assert 0 < whole.evaluate()["epsilon"] < math.inf


def learned(privacy):
    """By how many nats a token the first row, which is one of forty, became likelier."""
    made = trainer(privacy, steps=60)
    data = made._batches.examples.data
    canary = torch.from_numpy(np.asarray(data.ids[: data.offsets[1]], dtype=np.int64))
    start = made.network

    def loss():
        with torch.no_grad():
            hidden = start.eval()(canary[:-1], (len(canary) - 1,))
            return float(torch.nn.functional.cross_entropy(hidden @ start.head.T, canary[1:]))

    before = loss()
    for _ in range(60):
        made.step()
    return before - loss()


def test_what_one_example_says_is_not_learned():
    """Without noise a row is learned by heart; with it, hardly anything of it is."""
    assert math.log(WORDS) > 3.5
    plain = learned(None)
    noisy = learned(PrivacySpec(noise_multiplier=4.0, max_grad_norm=0.2))
    assert plain > 1.5
    assert noisy < 0.2 * plain
