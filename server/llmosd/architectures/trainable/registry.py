"""Building a network to be trained, filled or from scratch."""

from collections.abc import Mapping

import torch
from torch import Tensor

from llmosd.architectures.config import ModelConfig
from llmosd.architectures.families.table import expected_shapes, family_of
from llmosd.architectures.trainable.network import STD, Network
from llmosd.errors import DataCorrupt


def from_scratch(config: ModelConfig, seed: int, dropout: float = 0.0) -> Network:
    """A network of random weights, the same for the same seed.

    Each network draws them in its own way: see `initialize`.

    Raises:
        InvalidField: for an architecture that is not known.
    """
    network = _empty(config, dropout).to_empty(device="cpu")
    network.fill_buffers()
    network.initialize(torch.Generator().manual_seed(seed))
    return network


def from_weights(
    config: ModelConfig, weights: Mapping[str, Tensor], dropout: float = 0.0, seed: int = 0
) -> Network:
    """A network of given weights, kept in float32; a missing `score.` starts at random.

    Raises:
        DataCorrupt: where a weight is missing or has another shape.
        InvalidField: for an architecture that is not known.
    """
    values: dict[str, Tensor] = {}
    for name, shape in expected_shapes(config).items():
        if name in weights:
            values[name] = weights[name].to(torch.float32, copy=True)
        elif name.startswith("score."):
            generator = torch.Generator().manual_seed(seed)
            values[name] = STD * torch.randn(shape, generator=generator)
        else:
            raise DataCorrupt(f'weight "{name}" is missing')
        if values[name].shape != shape:
            raise DataCorrupt(f'weight "{name}" has shape {tuple(values[name].shape)}, not {shape}')
    network = _empty(config, dropout)
    network.load_state_dict(values, assign=True)
    network.fill_buffers()
    network.requires_grad_(requires_grad=True)
    return network


def _empty(config: ModelConfig, dropout: float) -> Network:
    build = family_of(config.architecture).load_trainable()
    with torch.device("meta"):
        network: Network = build(config, dropout)
        return network
