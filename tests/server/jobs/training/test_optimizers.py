"""Optimizers take the same steps as torch.optim, with groups as they should be."""

import pytest
import torch
from torch import nn

from llmosd.architectures.trainable.registry import from_scratch
from llmosd.errors import InvalidField
from llmosd.jobs.specs import OptimizerSpec
from llmosd.jobs.training.optimizers import Optimizers, decays
from tiny_training import assert_same_bits, tiny_config, weights_of

TORCH = {
    "adamw": lambda p: torch.optim.AdamW(p, lr=1e-2, betas=(0.9, 0.95), weight_decay=0.1),
    "adam": lambda p: torch.optim.Adam(p, lr=1e-2, betas=(0.9, 0.95)),
    "adam l2": lambda p: torch.optim.Adam(p, lr=1e-2, betas=(0.9, 0.95), weight_decay=0.05),
    "sgd": lambda p: torch.optim.SGD(p, lr=1e-2, momentum=0.9),
    "sgd l2": lambda p: torch.optim.SGD(p, lr=1e-2, momentum=0.9, weight_decay=0.05),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=1e-2, momentum=0.9, alpha=0.99),
    "muon": lambda p: torch.optim.Muon(
        p, lr=1e-2, momentum=0.9, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"
    ),
}  # fmt: skip


def spec_of(case):
    name, _, l2 = case.partition(" ")
    decay = 0.1 if name in {"adamw", "muon"} else 0.0
    return OptimizerSpec(
        name=name, learning_rate=1e-2, momentum=0.9, weight_decay=decay, l2=0.05 if l2 else 0.0
    )


def gradient(weight, target, step):
    """Of a noisy quadratic: the same for the same step."""
    noise = torch.randn(weight.shape, generator=torch.Generator().manual_seed(step))
    return weight.detach() - target + 0.3 * noise


@pytest.mark.parametrize("case", TORCH)
def test_equal_to_torch_over_1000_steps(case):
    """To 1e-6, the learning rate changing; a state saved and restored midway changes no bit."""
    torch.manual_seed(0)
    start, target = torch.randn(6, 4), torch.randn(6, 4)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    optimizer, oracle = Optimizers([("w", ours)], spec_of(case)), TORCH[case]([theirs])
    for step in range(1000):
        rate = 1e-2 * (1 - step / 2000)
        ours.grad, theirs.grad = gradient(ours, target, step), gradient(theirs, target, step)
        optimizer.step(rate)
        oracle.param_groups[0]["lr"] = rate
        oracle.step()
        if step == 500:
            state = {name: each.clone() for name, each in optimizer.state().items()}
            optimizer = Optimizers([("w", ours)], spec_of(case))
            optimizer.restore(state)
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-6)
    assert (ours - start).abs().max() > 0.1


def test_adams_first_step():
    """A gradient of 100 moves a weight by the learning rate, not by 100 times it."""
    weight = nn.Parameter(torch.tensor([1.0]))
    optimizer = Optimizers([("w", weight)], OptimizerSpec(name="adam", learning_rate=1e-3))
    weight.grad = torch.tensor([100.0])
    optimizer.step(1e-3)
    assert 1.0 - float(weight.detach()) == pytest.approx(1.000e-3, rel=1e-4)


def test_gradient_descent_on_a_quadratic():
    """The distance shrinks by exactly 1 - rate a step; float64."""
    weight = nn.Parameter(torch.tensor([2.0], dtype=torch.float64))
    optimizer = Optimizers([("w", weight)], OptimizerSpec(name="sgd"))
    for _ in range(50):
        weight.grad = weight.detach().clone()
        optimizer.step(0.1)
    assert float(weight.detach()) == pytest.approx(2 * 0.9**50, rel=1e-9)


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd", "rmsprop", "muon"])
@pytest.mark.parametrize("kind", ["weight_decay", "l2"])
def test_vectors_and_embeddings_do_not_decay(name, kind):
    """With no gradient but decay, only the blocks' matrices move."""
    network = from_scratch(tiny_config(qkv_bias=True), 0)
    before = weights_of(network)
    spec = OptimizerSpec(name=name, learning_rate=1e-2, **{kind: 0.5})
    optimizer = Optimizers(network.named_parameters(), spec)
    for each in network.parameters():
        each.grad = torch.zeros_like(each)
    optimizer.step(1e-2)
    moved = {n for n, w in network.named_parameters() if not torch.equal(w, before[n])}
    assert moved == {n for n in before if n.endswith("proj.weight")}
    if kind == "weight_decay":
        key = "model.layers.0.mlp.up_proj.weight"
        torch.testing.assert_close(weights_of(network)[key], before[key] * (1 - 1e-2 * 0.5))


def test_muon_is_for_hidden_matrices():
    """AdamW has the rest: one has a momentum, the other two moments."""
    network = from_scratch(tiny_config(tie_embeddings=False), 0)
    optimizer = Optimizers(network.named_parameters(), OptimizerSpec(name="muon"))
    for each in network.parameters():
        each.grad = torch.ones_like(each)
    optimizer.step(1e-3)
    state = optimizer.state()
    muon = [name for name in state if name.endswith("momentum_buffer")]
    adam = [name for name in state if name.endswith("exp_avg")]
    matrices = [n for n, w in network.named_parameters() if decays(n, w)]
    assert len(muon) == len(matrices) == 2 * 7
    assert len(adam) == len(list(network.parameters())) - len(muon)


@pytest.mark.parametrize("name", ["adamw", "muon", "rmsprop", "sgd"])
def test_state_is_all_there_is(name):
    """A new optimizer with the state goes on as the old one would, in bits."""
    found = []
    for restored in (False, True):
        network = from_scratch(tiny_config(), 0)
        spec = OptimizerSpec(name=name, momentum=0.9, weight_decay=0.1)
        optimizer = Optimizers(network.named_parameters(), spec)
        for step in range(6):
            if step == 3 and restored:
                state = {n: each.clone() for n, each in optimizer.state().items()}
                optimizer = Optimizers(network.named_parameters(), spec)
                optimizer.restore(state)
            for each in network.parameters():
                each.grad = gradient(each, 0.0, step)
            optimizer.step(1e-2)
        found.append(weights_of(network))
    assert_same_bits(*found)


def test_unknown_names_are_refused():
    with pytest.raises(InvalidField, match="adamw, muon"):
        Optimizers([], OptimizerSpec(name="lion"))
