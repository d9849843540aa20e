"""The table of architectures: what each record says holds."""

import msgspec
import pytest
import torch

from llmosd.architectures.families.table import expected_shapes, families, family_of
from llmosd.architectures.torch_ops import TorchOps
from llmosd.architectures.trainable.network import ClosedForm
from llmosd.architectures.trainable.registry import from_scratch
from llmosd.errors import InvalidField
from llmosd.jobs.specs import TrainSpec
from llmosd.jobs.training.shape import fresh_config


@pytest.mark.parametrize("name", families())
def test_records(name):
    """What is trained has the weights that the record names, in the sizes that come by default."""
    family = family_of(name)
    config = fresh_config(TrainSpec(model_id="m", dataset="d", family=name), words=50)
    network = from_scratch(config, seed=0)
    found = {each: tuple(weight.shape) for each, weight in network.state_dict().items()}
    assert found == expected_shapes(config)
    assert network.causal == family.causal
    assert isinstance(network, ClosedForm) == family.closed_form
    assert family.sizes <= set(config.__struct_fields__)
    assert_built(family, config, network)


@pytest.mark.parametrize(("name", "head"), [
    (name, head)
    for name in families()
    for head in ("classify", "regress")
    if head in family_of(name).objectives
])  # fmt: skip
def test_heads(name, head):
    """The same with a head for labels, where the record says that it can be trained to have one.

    Each weight is asked for once, and none is left.
    """
    family = family_of(name)
    spec = TrainSpec(model_id="m", dataset="d", family=name)
    labels = ("a", "b", "c") if head == "classify" else ("grade",)
    config = msgspec.structs.replace(fresh_config(spec, words=50), head=head, labels=labels)
    network = from_scratch(config, seed=0)
    found = {each: tuple(weight.shape) for each, weight in network.state_dict().items()}
    assert found == expected_shapes(config)
    assert_built(family, config, network)


def assert_built(family, config, network):
    if not family.served:
        return
    weights = dict(network.state_dict())
    family.load_network()(config, weights.pop, TorchOps(torch.device("cpu"), torch.float32))
    assert weights == {}


def test_unknown():
    """The error names what there is."""
    with pytest.raises(InvalidField, match="'lama' is not one of llama, gpt2"):
        family_of("lama")
