"""Heads for labels and grades: what is served says what was trained, for every family.

Through a whole engine: its scheduler, its runner, its memory of sequences.
"""

import msgspec
import pytest
import torch

from llmosd.architectures.families.table import families, family_of
from llmosd.architectures.head import head_weight
from llmosd.architectures.torch_ops import TorchOps
from llmosd.architectures.trainable.registry import from_scratch, from_weights
from llmosd.engine.cpu import RUNNERS
from llmosd.engine.kernel_ops import KernelOps
from llmosd.engine.loader import assemble
from llmosd.errors import DataCorrupt
from llmosd.ipc.messages import LoadEngine, SamplingSpec, Submit
from llmosd.jobs.specs import TrainSpec
from llmosd.jobs.training.shape import fresh_config

LENGTHS = (7, 1, 40, 3, 5, 4, 17)
WORDS = 50
UNUSED = SamplingSpec(0.0, 0, 1.0, 0.0, 1.0, 0.0, 0.0, 0, {})
CPU = torch.device("cpu")
HEADS = {"classify": ("bad", "good", "neither"), "regress": ("grade",)}
CASES = [
    (name, head) for name in families() for head in HEADS if head in family_of(name).objectives
]


def network_of(name, head, **shape):
    """Of random weights, none of them zero."""
    shape = {"num_layers": 2, "hidden_size": 32, **shape}
    own = {k: v for k, v in shape.items() if k in family_of(name).sizes}
    spec = TrainSpec(model_id="m", dataset="d", family=name, shape=own, sequence_length=64)
    config = msgspec.structs.replace(fresh_config(spec, WORDS), head=head, labels=HEADS[head])
    network = from_scratch(config, 0).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.3)
    return network


def engine_of(network, ops, dtype="float32", *, step_tokens=64, blocks=64):
    config = network.config
    cache = blocks * 2 * config.num_layers * config.num_kv_heads * config.head_dim * 16 * 4
    order = LoadEngine("", "cpu", dtype, "", cache, 4, step_tokens, 0, 1, 1.0)
    weights = {name: each.detach() for name, each in network.named_parameters()}
    build = family_of(config.architecture).load_network()
    made = build(config, weights.__getitem__, ops(CPU, getattr(torch, dtype)))
    return assemble(order, config, RUNNERS[dtype], made)[0]


def texts_of(lengths=LENGTHS):
    ids = torch.randint(WORDS, (sum(lengths),), generator=torch.Generator().manual_seed(2))
    return [part.tolist() for part in ids.split(lengths)]


def classified(engine, texts):
    """Scores of all texts, which wait together."""
    for at, text in enumerate(texts):
        engine.submit(Submit(at, text, 1, 0, 0, [], UNUSED, -1, task="classify"))
    found = {}
    while engine.has_work:
        step = engine.step()
        assert not step.tokens
        for scored in step.scored:
            assert scored.done
            assert scored.id not in found
            found[scored.id] = scored.logprobs
    assert engine.stats.kv_blocks_used == 0
    return torch.tensor([found[at] for at in range(len(texts))])


def trained_scores(network, texts):
    lengths = tuple(map(len, texts))
    ids = torch.tensor([each for text in texts for each in text])
    with torch.no_grad():
        return network.scores(network(ids, lengths), lengths)


@pytest.mark.parametrize("ops", [TorchOps, KernelOps])
@pytest.mark.parametrize(("name", "head"), CASES)
def test_served_as_trained(name, head, ops):
    """Of texts from one token on, longer than a step's budget or not."""
    network, texts = network_of(name, head), texts_of()
    wanted = trained_scores(network, texts)
    assert wanted.shape == (len(texts), len(HEADS[head]))
    assert wanted.std(0).min() > 1e-2  # not all alike
    found = classified(engine_of(network, ops), texts)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", [name for name, head in CASES if head == "classify"])
def test_bits_do_not_depend_on_the_batch(name):
    """Alone, together, and in steps that cut decoders' prompts in pieces."""
    network, texts = network_of(name, "classify"), texts_of()
    together = classified(engine_of(network, KernelOps), texts)
    alone = engine_of(network, KernelOps)
    assert torch.equal(together, torch.cat([classified(alone, [text]) for text in texts]))
    # 10 blocks: of seven texts, some have to wait for others.
    pieces = engine_of(network, KernelOps, step_tokens=8, blocks=10)
    assert torch.equal(together, classified(pieces, texts))


@pytest.mark.parametrize("name", ["encoder", "cnn"])
def test_the_end_matters(name):
    """What comes last changes what is made of the first: tokens see both sides.

    The control is a text that differs before the other's end.
    """
    network = network_of(name, "classify")
    text = texts_of((20,))[0]
    other = [*text[:-1], (text[-1] + 1) % WORDS]
    found = classified(engine_of(network, KernelOps), [text, other, text])
    assert torch.equal(found[0], found[2])
    assert not torch.allclose(found[0], found[1], atol=1e-4)


@pytest.mark.parametrize("name", [
    name for name, family in families().items()
    if "bfloat16" in family.served.get("cpu", ()) and "classify" in family.objectives
])  # fmt: skip
def test_bfloat16(name):
    """What a network of the rounded matrices says, and not what the exact one does."""
    network, texts = network_of(name, "classify"), texts_of()
    exact = trained_scores(network, texts)
    found = classified(engine_of(network, KernelOps, "bfloat16"), texts)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() >= 2:
                parameter.copy_(parameter.bfloat16())
    torch.testing.assert_close(found, trained_scores(network, texts), atol=1e-4, rtol=1e-4)
    assert (found - exact).abs().max() > 1e-4  # rounding shows


def test_other_labels_than_scores():
    """A head of another size than the labels is refused, as the kernels do not look."""
    network = network_of("llama", "classify")
    config = msgspec.structs.replace(network.config, labels=("a", "b"))
    weights = dict(network.named_parameters())
    with pytest.raises(DataCorrupt, match=r"score.weight.*\(3, 32\), not \(2, 32\)"):
        head_weight(config, weights.__getitem__, network.embedding)
    assert head_weight(network.config, weights.__getitem__, network.embedding).shape == (3, 32)


@pytest.mark.parametrize("name", ["llama", "cnn"])
def test_a_missing_head_starts_at_random(name):
    """A network from weights without one gets a head, small, and the same for the same seed."""
    network = network_of(name, "classify")
    weights = {n: w for n, w in network.state_dict().items() if not n.startswith("score.")}
    made = [from_weights(network.config, weights, seed=seed) for seed in (1, 1, 2)]
    assert torch.equal(made[0].score.weight, made[1].score.weight)
    assert not torch.equal(made[0].score.weight, made[2].score.weight)
    assert made[0].score.weight.abs().max() < 0.2
