"""The table of architectures: what each record says holds."""

import pytest
import torch

from llmosd.architectures.families.table import expected_shapes, families, family_of
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
    assert family.sizes <= set(config.__struct_fields__)
    if family.served:
        weights = network.state_dict().__getitem__
        from llmosd.architectures.torch_ops import TorchOps

        family.load_network()(config, weights, TorchOps(torch.device("cpu"), torch.float32))


def test_unknown():
    """The error names what there is."""
    with pytest.raises(InvalidField, match="'lama' is not one of llama, gpt2"):
        family_of("lama")
