"""The weights of a version that is an adapter, put on a network that can be trained."""

from pathlib import Path

import torch
from safetensors.torch import load_file

from llmosd.architectures.trainable.lora import add_adapters, from_peft, merge
from llmosd.architectures.trainable.network import Network
from llmosd.store.adapter_config import read_config
from llmosd.store.manifest import ADAPTER_CONFIG, ADAPTER_WEIGHTS


def fill_adapters(network: Network, folder: Path) -> None:
    """Give a network's adapters the weights of a version; raises DataCorrupt: they do not fit."""
    with torch.no_grad():
        from_peft(network, load_file(folder / ADAPTER_WEIGHTS))


def merge_adapter(network: Network, folder: Path) -> None:
    """Add an adapter to a network's weights, W + alpha / r * B A; raises DataCorrupt."""
    told = read_config((folder / ADAPTER_CONFIG).read_bytes())
    add_adapters(network, told.target_modules, rank=told.r, alpha=told.lora_alpha)
    fill_adapters(network, folder)
    merge(network)
    network.requires_grad_()  # which adapters take from their base
