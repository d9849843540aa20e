"""Recurrent networks: trained and served alike, and both as the formulas say."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from llmos_kernels import reference
from llmosd.architectures.architecture import ForwardBatch
from llmosd.architectures.families.table import expected_shapes
from llmosd.architectures.recurrent import Recurrent
from llmosd.architectures.torch_ops import TorchOps
from llmosd.architectures.trainable.registry import from_scratch, from_weights
from llmosd.engine.kernel_ops import KernelOps
from llmosd.engine.recurrent_state import RecurrentState
from llmosd.objectives.cross_entropy import cross_entropy
from tiny_training import tiny_config

LENGTHS = (7, 1, 12, 7)
CELLS = ("rnn", "gru", "lstm")
CPU = torch.device("cpu")


@pytest.fixture(params=CELLS)
def network(request):
    """A network whose biases are not zero."""
    made = from_scratch(tiny_config(request.param, hidden_size=24), 0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.dim() == 1:
                parameter.normal_(0, 0.5, generator=generator)
            else:
                parameter.mul_(3)
    return made


def ids_of(lengths=LENGTHS, words=50):
    return torch.randint(words, (sum(lengths),), generator=torch.Generator().manual_seed(2))


def by_formula(network, ids):
    """Hidden states of one example, in float64, step by step."""
    kind, size = network.config.architecture, network.config.hidden_size
    weights = {name: each.detach().double().numpy() for name, each in network.named_parameters()}
    x = weights["embed_tokens.weight"][ids.numpy()]
    for index in range(network.config.num_layers):
        own = [
            weights[f"layers.{index}.rnn.{part}_l0"]
            for part in ("weight_ih", "bias_ih", "weight_hh", "bias_hh")
        ]
        hidden, cell, out = np.zeros(size), np.zeros(size), []
        for row in x:
            inputs, states = own[0] @ row + own[1], own[2] @ hidden + own[3]
            if kind == "lstm":
                hidden, cell = reference.lstm_cell(inputs, states, cell)
            elif kind == "gru":
                hidden = reference.gru_cell(inputs, states, hidden)
            else:
                hidden = reference.rnn_cell(inputs, states)
            out.append(hidden)
        x = np.array(out)
    return torch.from_numpy(x).float()


def served(network, ops):
    return Recurrent(network.config, network.state_dict().__getitem__, ops)


def batch_of(parts, slots, computed):
    """Parts of sequences, those before them computed."""
    lengths = [len(part) for part in parts]
    starts = np.cumsum([0, *lengths])
    positions = np.concatenate(
        [np.arange(first, first + length) for first, length in zip(computed, lengths, strict=True)]
    )
    none = torch.zeros(0, dtype=torch.int64)
    return ForwardBatch(
        torch.cat(parts), torch.from_numpy(positions).int(), none, none,
        torch.tensor(slots, dtype=torch.int32)[:, None],
        list(zip(starts[:-1].tolist(), lengths, strict=True)),
        none,
    )  # fmt: skip


def test_shapes(network):
    """The store's names and shapes are the network's."""
    found = {name: tuple(each.shape) for name, each in network.state_dict().items()}
    assert found == expected_shapes(network.config)


def test_as_the_formulas_say(network):
    """Examples of any lengths, in any order, end to end."""
    ids = ids_of()
    found = network(ids, LENGTHS)
    wanted = torch.cat([by_formula(network, part) for part in ids.split(LENGTHS)])
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


def test_gradients(network):
    """Packed, they are the sum of the examples'."""
    ids = ids_of()
    network(ids, LENGTHS).square().sum().backward()
    packed = {name: each.grad.clone() for name, each in network.named_parameters()}
    network.zero_grad()
    for part in ids.split(LENGTHS):
        network(part, (len(part),)).square().sum().backward()
    for name, each in network.named_parameters():
        torch.testing.assert_close(packed[name], each.grad, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("ops", [TorchOps, KernelOps])
def test_served_as_trained(network, ops):
    """Whole prompts; and in pieces, side by side with others, from states kept between."""
    ids = ids_of()
    with torch.no_grad():
        wanted = network(ids, LENGTHS).split(LENGTHS)
    parts = ids.split(LENGTHS)
    model = served(network, ops(CPU, torch.float32))
    cache = RecurrentState(network.config, 9, CPU)
    for layer in cache.layers:
        layer.fill_(float("nan"))  # of whoever had it before
    slots = [5, 0, 8, 3]
    with torch.inference_mode():
        found = model.forward(batch_of(parts, slots, [0] * 4), cache)
        torch.testing.assert_close(found, torch.cat(wanted), atol=1e-5, rtol=1e-5)
        model.forward(batch_of([parts[0][:4], parts[2][:5]], [1, 2], [0, 0]), cache)
        rest = model.forward(batch_of([parts[2][5:], parts[0][4:]], [2, 1], [5, 4]), cache)
    torch.testing.assert_close(
        rest, torch.cat([wanted[2][5:], wanted[0][4:]]), atol=1e-5, rtol=1e-5
    )
    logits = functional.linear(wanted[0], network.head)
    torch.testing.assert_close(
        model.logits(found[: LENGTHS[0]]), logits.detach(), atol=1e-4, rtol=1e-4
    )


def test_bits_do_not_depend_on_the_batch(network):
    """A sequence alone, token by token, and in a batch, whole."""
    parts = ids_of().split(LENGTHS)
    model = served(network, KernelOps(CPU, torch.float32))
    cache = RecurrentState(network.config, 4, CPU)
    with torch.inference_mode():
        whole = model.forward(batch_of(parts, [0, 1, 2, 3], [0] * 4), cache).split(LENGTHS)[2]
        alone = [
            model.forward(batch_of([parts[2][at : at + 1]], [1], [at]), cache)
            for at in range(LENGTHS[2])
        ]
    assert torch.equal(whole, torch.cat(alone))


@pytest.mark.parametrize(("words", "hidden"), [(65, 64), (65, 1024), (10_000, 256)])
@pytest.mark.parametrize("kind", CELLS)
def test_first_loss_is_that_of_guessing(words, hidden, kind):
    """ln V, within 0.1."""
    network = from_scratch(tiny_config(kind, vocab_size=words, hidden_size=hidden), 0)
    ids = ids_of((100,) * 4, words)
    with torch.no_grad():
        loss = cross_entropy(network(ids, (100,) * 4), network.head, ids_of((400,), words)).loss
    assert float(loss) / 400 == pytest.approx(math.log(words), abs=0.1)


def test_forget_gates_begin_open():
    """Biases of an LSTM's forget gates are one, all others zero."""
    network = from_scratch(tiny_config("lstm", hidden_size=8), 0)
    wanted = torch.zeros(32)
    wanted[8:16] = 1
    assert torch.equal(network.layers[1].rnn.bias_ih_l0, wanted)
    assert not network.layers[1].rnn.bias_hh_l0.any()


def test_weights_come_back(network):
    """From what is stored, the same network."""
    again = from_weights(network.config, network.state_dict())
    ids = ids_of()
    assert torch.equal(network(ids, LENGTHS), again(ids, LENGTHS))


def test_bfloat16(network):
    """Kept in half the memory: what a network of the rounded matrices says."""
    parts = ids_of().split(LENGTHS)
    model = served(network, KernelOps(CPU, torch.bfloat16))
    with torch.no_grad():
        exact = network(torch.cat(parts), LENGTHS)
        for parameter in network.parameters():
            if parameter.dim() == 2:
                parameter.copy_(parameter.bfloat16())
        wanted = network(torch.cat(parts), LENGTHS)
    with torch.inference_mode():
        cache = RecurrentState(network.config, 4, CPU)
        found = model.forward(batch_of(parts, [0, 1, 2, 3], [0] * 4), cache)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
    assert (found - exact).abs().max() > 1e-4  # rounding shows
