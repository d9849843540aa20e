"""A version that is an adapter: beside its base's weights, or added to them as they are read.

Low-rank adaptation (Hu et al., 2021) in the files of the peft library: adapter_config.json and
adapter_model.safetensors.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from llmosd.architectures.architecture import Changes, LowRank
from llmosd.architectures.config import ModelConfig
from llmosd.architectures.families.table import expected_shapes, family_of
from llmosd.architectures.peft_files import PREFIX
from llmosd.errors import DataCorrupt
from llmosd.store.adapter_config import read_config
from llmosd.store.files import open_regular, read_regular
from llmosd.store.manifest import ADAPTER_CONFIG, ADAPTER_WEIGHTS

_LARGEST_CONFIG = 1024 * 1024


def with_adapter(folder: Path, weights: Callable[[str], Tensor]) -> Callable[[str], Tensor]:
    """The weights of a base with the adapter of `folder` merged: W + alpha / r * B A.

    A head for labels is the adapter's own.

    Raises DataCorrupt where the adapter's files are damaged or of another shape than the base's.
    """
    with _opened(folder) as (scale, names, tensor):
        changes = {name: tensor(name) for name in names}

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
        _check_fits(name, down, up, tuple(base.shape))
        # Wide: what the adapter learned is small beside the weights.
        return base.float() + scale * (up.float() @ down.float())

    return weight


def read_changes(folder: Path, config: ModelConfig) -> Iterator[Changes]:
    """The adapter of `folder`, layer by layer, as what it adds to its base's products.

    Raises DataCorrupt where its files are damaged, of another shape, or change something else.
    """
    shapes, products = expected_shapes(config), family_of(config.architecture).products
    used = 0
    with _opened(folder) as (scale, names, tensor):
        for layer in range(config.num_layers):
            changes: Changes = {}
            for product, parts in products.items():
                pairs: list[LowRank | None] = []
                widths: list[int] = []
                for part in parts:
                    name = f"model.layers.{layer}.{part}"
                    shape = shapes[f"{name}.weight"]
                    widths.append(shape[0])
                    both = [f"{PREFIX}{name}.lora_{side}.weight" for side in "AB"]
                    if not names.issuperset(both):
                        pairs.append(None)
                        continue
                    down, up = map(tensor, both)
                    _check_fits(name, down, up, shape)
                    pairs.append(LowRank(down, up))
                    used += 2
                if any(pairs):
                    changes[product] = _joined(pairs, widths, scale)
            yield changes
    if used != len(names):
        raise DataCorrupt("the adapter changes more than the products of its base's layers")


def _check_fits(name: str, down: Tensor, up: Tensor, shape: tuple[int, ...]) -> None:
    if (up.shape[0], down.shape[1]) != shape or up.shape[1] != down.shape[0]:
        raise DataCorrupt(f'the adapter does not fit the weight "{name}" of its base')


def _joined(pairs: list[LowRank | None], widths: list[int], scale: float) -> LowRank:
    """Changes of products that share their input, as one; each has ranks of its own."""
    there = [pair for pair in pairs if pair is not None]
    down = torch.cat([pair.down.float() for pair in there])
    up = torch.zeros(sum(widths), len(down))
    row = rank = 0
    for pair, width in zip(pairs, widths, strict=True):
        if pair is not None:
            end = rank + len(pair.down)
            up[row : row + width, rank:end] = scale * pair.up.float()
            rank = end
        row += width
    return LowRank(down, up)


@contextmanager
def _opened(folder: Path) -> Iterator[tuple[float, set[str], Callable[[str], Tensor]]]:
    """The scale alpha / r, and the weights by their names in the file."""
    with _damage_told():
        data = read_regular(folder, ADAPTER_CONFIG, _LARGEST_CONFIG)
        config = read_config(data)
        fd = open_regular(folder, ADAPTER_WEIGHTS)
        try:
            opened = safe_open(f"/proc/self/fd/{fd}", framework="pt")
        finally:
            os.close(fd)

    def tensor(name: str) -> Tensor:
        with _damage_told():
            found: Tensor = file.get_tensor(name)
        if not torch.isfinite(found).all():
            raise DataCorrupt(f'weight "{name}" of the adapter is not finite')
        return found

    with opened as file:
        yield config.lora_alpha / config.r, set(file.keys()), tensor


@contextmanager
def _damage_told() -> Iterator[None]:
    try:
        yield
    except (SafetensorError, FileNotFoundError) as error:
        raise DataCorrupt(f"the adapter's files are damaged: {error}") from None
