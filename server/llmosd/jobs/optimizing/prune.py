"""Weights that become zero, and neurons that go."""

import math

import msgspec
import torch
from torch import Tensor

from llmosd.architectures.config import ModelConfig
from llmosd.errors import InvalidField
from llmosd.jobs.optimizing.specs import Prune

Weights = dict[str, Tensor]
# Panels of the fused kernels, and everybody's vector width, divide it.
_MULTIPLE = 32


def prune(
    config: ModelConfig, weights: Weights, importance: dict[str, Tensor], how: Prune
) -> tuple[ModelConfig, Weights, dict[str, float]]:
    """The network without what matters least; `importance` as calibrate gives it, or empty.

    Raises:
        InvalidField: nothing is to be done, or nothing would be left.
    """
    if not how.sparsity and not how.neurons:
        raise InvalidField.of("prune", "set sparsity, or neurons, or both")
    report: dict[str, float] = {}
    if how.neurons:
        config, weights = _without_neurons(config, weights, importance, how.neurons)
        report["intermediate_size"] = config.intermediate_size
    if how.sparsity:
        names = [name for name in weights if _is_product(name)]
        weights = dict(weights)
        for name in names:
            weights[name] = _sparse(weights[name], importance.get(name), how.sparsity)
        zeros = sum(int((weights[name] == 0).sum()) for name in names)
        report["zeros"] = zeros / sum(weights[name].numel() for name in names)
    return config, weights, report


def _is_product(name: str) -> bool:
    return name.endswith("_proj.weight") and ".layers." in name


def _sparse(weight: Tensor, importance: Tensor | None, share: float) -> Tensor:
    """Zero in each output the smallest |w| x rms of its input, as Wanda does (Sun et al., 2024).

    Without inputs it is the magnitude alone.
    """
    score = weight.abs()
    if importance is not None and len(importance) == weight.shape[1]:
        score = score * importance.sqrt()
    count = int(share * weight.shape[1])
    if not count:
        return weight
    places = score.topk(count, dim=1, largest=False).indices
    return weight.scatter(1, places, 0.0)


def _without_neurons(
    config: ModelConfig, weights: Weights, importance: dict[str, Tensor], share: float
) -> tuple[ModelConfig, Weights]:
    """Keep in each layer's MLP the neurons that write most: rms of the neuron x |down column|."""
    kept = config.intermediate_size * (1 - share)
    size = max(_MULTIPLE, math.ceil(kept / _MULTIPLE) * _MULTIPLE)
    if size >= config.intermediate_size:
        raise InvalidField.of(
            "prune.neurons",
            f"{share:g} of {config.intermediate_size} neurons is less than {_MULTIPLE}",
        )
    out = dict(weights)
    for layer in range(config.num_layers):
        prefix = f"model.layers.{layer}.mlp."
        gate, up, down = (weights[f"{prefix}{each}_proj.weight"] for each in ("gate", "up", "down"))
        score = down.norm(dim=0)
        inputs = importance.get(f"{prefix}down_proj.weight")
        score = score * (inputs.sqrt() if inputs is not None else gate.norm(dim=1) * up.norm(dim=1))
        places = score.topk(size).indices.sort().values
        for each in ("gate", "up"):
            for part in ("weight", "bias"):
                name = f"{prefix}{each}_proj.{part}"
                if name in out:
                    out[name] = out[name].index_select(0, places)
        out[f"{prefix}down_proj.weight"] = down.index_select(1, places)
    return msgspec.structs.replace(config, intermediate_size=size), out


def squared_error(before: Weights, after: Weights) -> float:
    """Squared distance of the weights over their squared length, of those both have."""
    off = norm = 0.0
    for name, old in before.items():
        new = after.get(name)
        if new is not None and new.shape == old.shape:
            off += float((new.double() - old.double()).square().sum())
            norm += float(old.double().square().sum())
    return off / norm if norm else 0.0


def average(parts: list[tuple[Weights, float]]) -> Weights:
    """The weighted mean, in float32. Raises InvalidField where shapes differ."""
    total = sum(share for _, share in parts)
    first = parts[0][0]
    out: Weights = {}
    for name, weight in first.items():
        same = [each.get(name) for each, _ in parts]
        shares = [share / total for _, share in parts]
        if any(each is None or each.shape != weight.shape for each in same):
            raise InvalidField.of("average.others", f'weight "{name}" is not of one shape in all')
        values = torch.stack(
            [w.double() * s for w, s in zip(same, shares, strict=True) if w is not None]
        )
        out[name] = values.sum(0).float()
    return out
