"""A version that is an adapter: its changes are added to the base's weights as they are read.

Low-rank adaptation (Hu et al., 2021) in the files of the peft library: adapter_config.json and
adapter_model.safetensors.
"""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from llmosd.architectures.peft_files import PREFIX
from llmosd.errors import DataCorrupt
from llmosd.store.files import open_regular, read_regular
from llmosd.store.manifest import ADAPTER_CONFIG, ADAPTER_WEIGHTS

_LARGEST_CONFIG = 1024 * 1024


class AdapterConfig(msgspec.Struct, frozen=True):
    """What serving needs of adapter_config.json."""

    r: int
    lora_alpha: float


def with_adapter(folder: Path, weights: Callable[[str], Tensor]) -> Callable[[str], Tensor]:
    """The weights of a base with the adapter of `folder` merged: W + alpha / r * B A.

    A head for labels is the adapter's own.

    Raises DataCorrupt where the adapter's files are damaged or of another shape than the base's.
    """
    try:
        data = read_regular(folder, ADAPTER_CONFIG, _LARGEST_CONFIG)
        config = msgspec.json.decode(data, type=AdapterConfig)
        changes = _read(folder)
    except (msgspec.MsgspecError, SafetensorError, FileNotFoundError) as error:
        raise DataCorrupt(f"the adapter's files are damaged: {error}") from None
    if config.r < 1:
        raise DataCorrupt("the adapter's files are damaged: r is below 1")
    scale = config.lora_alpha / config.r

    def weight(name: str) -> Tensor:
        if name == "score.weight":  # what peft calls modules_to_save: the base has no such head
            if (own := changes.get(PREFIX + name)) is None:
                raise DataCorrupt("the adapter has no head for its labels")
            return own
        base = weights(name)
        path = PREFIX + name.removesuffix(".weight")
        down, up = (changes.get(f"{path}.lora_{part}.weight") for part in "AB")
        if down is None or up is None:
            return base
        if (up.shape[0], down.shape[1]) != tuple(base.shape):
            raise DataCorrupt(f'the adapter does not fit the weight "{name}" of its base')
        # Wide: what the adapter learned is small beside the weights.
        return base.float() + scale * (up.float() @ down.float())

    return weight


def _read(folder: Path) -> dict[str, Tensor]:
    fd = open_regular(folder, ADAPTER_WEIGHTS)
    try:
        opened = safe_open(f"/proc/self/fd/{fd}", framework="pt")
    finally:
        os.close(fd)
    with opened as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise DataCorrupt(f'weight "{name}" of the adapter is not finite')
    return tensors
