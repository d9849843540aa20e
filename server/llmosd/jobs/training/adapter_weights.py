"""The weights of a version that is an adapter, put on a network that can be trained."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file

from llmosd.architectures.trainable.lora import add_adapters, from_peft, merge
from llmosd.architectures.trainable.network import Network
from llmosd.errors import DataCorrupt
from llmosd.store.manifest import ADAPTER_CONFIG, ADAPTER_WEIGHTS


def fill_adapters(network: Network, folder: Path) -> None:
    """Give a network's adapters the weights of a version; raises DataCorrupt: they do not fit."""
    with torch.no_grad():
        from_peft(network, load_file(folder / ADAPTER_WEIGHTS))


def merge_adapter(network: Network, folder: Path) -> None:
    """Add an adapter to a network's weights, W + alpha / r * B A; raises DataCorrupt."""
    try:
        told = json.loads((folder / ADAPTER_CONFIG).read_bytes())
        targets, rank, alpha = tuple(told["target_modules"]), told["r"], told["lora_alpha"]
    except (ValueError, KeyError, TypeError):
        raise DataCorrupt(f'file "{ADAPTER_CONFIG}" of the adapter is damaged') from None
    add_adapters(network, targets, rank=rank, alpha=alpha)
    fill_adapters(network, folder)
    merge(network)
    network.requires_grad_()  # which adapters take from their base
