"""Low-rank adapters (Hu et al., 2021), in memory and in the files of the peft library.

W x + alpha / rank * B A x, where A starts at random and B at zero, so that the adapter starts as
nothing. The base is frozen.
"""

import contextlib
import math
from collections.abc import Iterator, Mapping
from contextvars import ContextVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from llmosd.architectures.peft_files import PREFIX
from llmosd.architectures.trainable.network import Network, linear_names
from llmosd.architectures.trainable.parts import Linear
from llmosd.errors import DataCorrupt, InvalidField

_OFF: ContextVar[bool] = ContextVar("_OFF", default=False)


class LoraLinear(Linear):
    """A frozen product with an adapter; takes the base's own parameters."""

    def __init__(self, base: nn.Linear, rank: int, alpha: float, dropout: float) -> None:
        """A is drawn from torch's own generator as peft draws it; B is zero."""
        nn.Module.__init__(self)
        self.in_features, self.out_features = base.in_features, base.out_features
        self.weight, self.bias = base.weight, base.bias
        self.lora_A = nn.Linear(base.in_features, rank, bias=False)
        self.lora_B = nn.Linear(rank, base.out_features, bias=False)
        nn.init.kaiming_uniform_(self.lora_A.weight, a=math.sqrt(5))
        nn.init.zeros_(self.lora_B.weight)
        self.scale = alpha / rank
        self.lora_dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        """The base's product, and the adapter's unless they are off."""
        out = super().forward(x)
        if _OFF.get():
            return out
        dropped = functional.dropout(x, self.lora_dropout, self.training)
        # Scaled while it is small, and added as it is multiplied.
        return torch.addmm(out, self.lora_A(dropped) * self.scale, self.lora_B.weight.t())

    def change(self) -> Tensor:
        """What the adapter adds to the weight, (out, in) float32."""
        return (self.lora_B.weight @ self.lora_A.weight).float() * self.scale


def add_adapters(
    network: Network, targets: tuple[str, ...], *, rank: int, alpha: float, dropout: float = 0.0
) -> list[str]:
    """Freeze the network and put an adapter on every product whose name ends in a target.

    A `score` head, which is new, stays trainable. Returns the names of the products.

    Raises:
        InvalidField: where a target is no product of the network.
    """
    names = [
        name
        for name in linear_names(network)
        if any(name == target or name.endswith("." + target) for target in targets)
    ]
    for target in targets:
        if not any(name == target or name.endswith("." + target) for name in names):
            known = sorted({name.rpartition(".")[2] for name in linear_names(network)})
            raise InvalidField.of(
                "lora.targets", f"{target!r} is no product of the network: {', '.join(known)}"
            )
    network.requires_grad_(requires_grad=False)
    for name in names:
        parent, _, leaf = name.rpartition(".")
        owner = network.get_submodule(parent)
        base = getattr(owner, leaf)
        setattr(owner, leaf, LoraLinear(base, rank, alpha, dropout))
    if network.config.head != "language":
        network.score.requires_grad_(requires_grad=True)
    return names


def adapters(network: nn.Module) -> Iterator[tuple[str, LoraLinear]]:
    """All adapted products, by name."""
    for name, module in network.named_modules():
        if isinstance(module, LoraLinear):
            yield name, module


@contextlib.contextmanager
def adapters_off() -> Iterator[None]:
    """Let the bases alone answer, in this thread."""
    token = _OFF.set(True)
    try:
        yield
    finally:
        _OFF.reset(token)


def narrow_base(network: Network, dtype: torch.dtype) -> None:
    """Keep the frozen matrices as `dtype`; vectors, as norms, and what is trained stay as is."""
    for parameter in network.parameters():
        if not parameter.requires_grad and parameter.dim() > 1:
            parameter.data = parameter.data.to(dtype)


def merge(network: Network) -> None:
    """Add every adapter to its weight, and take it away."""
    for name, module in list(adapters(network)):
        with torch.no_grad():
            merged = module.weight.float() + module.change()
            module.weight.data = merged.to(module.weight.dtype)
        _unwrap(network, name, module)


def unmerge(network: Network, change: Mapping[str, Tensor]) -> None:
    """Take `change`, by the products' names, away from weights that were merged."""
    for name, difference in change.items():
        weight = network.get_submodule(name).weight
        if not isinstance(weight, Tensor):
            raise DataCorrupt(f'"{name}" has no weight')
        with torch.no_grad():
            weight.copy_(weight.float() - difference)


def changes(network: Network) -> dict[str, Tensor]:
    """What each adapter adds to its weight: what `unmerge` takes away again."""
    return {name: module.change().detach() for name, module in adapters(network)}


def _unwrap(network: Network, name: str, module: LoraLinear) -> None:
    parent, _, leaf = name.rpartition(".")
    plain = Linear(1, 1, bias=False)
    plain.in_features, plain.out_features = module.in_features, module.out_features
    plain.weight, plain.bias = module.weight, module.bias
    setattr(network.get_submodule(parent), leaf, plain)


def to_peft(network: Network) -> dict[str, Tensor]:
    """The adapters' weights by the names of adapter_model.safetensors."""
    weights: dict[str, Tensor] = {}
    for name, module in adapters(network):
        weights[f"{PREFIX}{name}.lora_A.weight"] = module.lora_A.weight.detach()
        weights[f"{PREFIX}{name}.lora_B.weight"] = module.lora_B.weight.detach()
    if network.config.head != "language":
        weights[f"{PREFIX}score.weight"] = network.score.weight.detach()
    return weights


def from_peft(network: Network, weights: Mapping[str, Tensor]) -> None:
    """Fill the network's adapters.

    Raises:
        DataCorrupt: unless `weights` has exactly what the adapters need, of the right shapes.
    """
    own = to_peft(network)
    if own.keys() != weights.keys():
        odd = sorted(own.keys() ^ weights.keys())
        raise DataCorrupt(f'adapter weights are missing or not known: "{odd[0]}"')
    for name, weight in weights.items():
        if own[name].shape != weight.shape:
            raise DataCorrupt(f'adapter weight "{name}" has shape {tuple(weight.shape)}')
        own[name].copy_(weight)
