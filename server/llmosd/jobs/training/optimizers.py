"""Optimizers by name: torch's own, with the parameters sorted into groups."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Muon, Optimizer, RMSprop

from llmosd.errors import InvalidField
from llmosd.jobs.specs import OptimizerSpec

Named = list[tuple[str, nn.Parameter]]

_TABLES = ("embed_tokens.", "wte.", "wpe.", "lm_head.", "score.")


class Optimizers:
    """One optimizer, or two that share the parameters (Muon and AdamW), as one.

    Weight decay and L2 leave vectors and embeddings alone: see `decays`.
    """

    def __init__(self, parameters: Iterable[tuple[str, nn.Parameter]], spec: OptimizerSpec) -> None:
        """Take the parameters that want gradients.

        Raises:
            InvalidField: for a name that is not in the table.
        """
        build = _OPTIMIZERS.get(spec.name)
        if build is None:
            known = ", ".join(sorted(_OPTIMIZERS))
            raise InvalidField.of("optimizer.name", f"{spec.name!r} is not one of {known}")
        named = [(name, each) for name, each in parameters if each.requires_grad]
        self.parameters = [each for _, each in named]
        self._spec = spec
        self._decayed = [each for name, each in named if decays(name, each)]
        self._parts = build(named, spec)
        self._native_decay = isinstance(self._parts[0], AdamW | Muon)

    def step(self, learning_rate: float) -> None:
        """Move every parameter by its gradient."""
        spec = self._spec
        if spec.l2 and self._decayed:
            grads = [each.grad for each in self._decayed if each.grad is not None]
            held = [each.detach() for each in self._decayed if each.grad is not None]
            torch._foreach_add_(grads, held, alpha=spec.l2)
        if spec.weight_decay and not self._native_decay:
            for each in self._decayed:
                each.detach().mul_(1 - learning_rate * spec.weight_decay)
        for part in self._parts:
            for group in part.param_groups:
                group["lr"] = learning_rate
            part.step()

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for part in self._parts:
            part.zero_grad(set_to_none=True)

    def state(self) -> dict[str, Tensor]:
        """All moments and counts, by optimizer, parameter and name: "0/12/exp_avg"."""
        out: dict[str, Tensor] = {}
        for at, part in enumerate(self._parts):
            for index, values in part.state_dict()["state"].items():
                for name, value in values.items():
                    if value is not None:
                        out[f"{at}/{index}/{name}"] = torch.as_tensor(value)
        return out

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take back what `state` gave."""
        for at, part in enumerate(self._parts):
            whole = part.state_dict()
            whole["state"] = {}
            for key, value in state.items():
                place, index, name = key.split("/")
                if int(place) == at:
                    whole["state"].setdefault(int(index), {})[name] = value.clone()
            part.load_state_dict(whole)


def decays(name: str, parameter: Tensor) -> bool:
    """Whether weight decay and L2 are for this weight: matrices, but no embeddings and heads."""
    return parameter.dim() > 1 and not any(table in name for table in _TABLES)


def _groups(named: Named, decay: float) -> list[dict[str, Any]]:
    yes = [each for name, each in named if decays(name, each)]
    no = [each for name, each in named if not decays(name, each)]
    groups = [{"params": yes, "weight_decay": decay}, {"params": no, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def _adamw(named: Named, spec: OptimizerSpec) -> list[Optimizer]:
    return [
        AdamW(
            _groups(named, spec.weight_decay),
            lr=spec.learning_rate,
            betas=(spec.beta1, spec.beta2),
            eps=spec.epsilon,
            fused=True,
        )
    ]


def _adam(named: Named, spec: OptimizerSpec) -> list[Optimizer]:
    betas = (spec.beta1, spec.beta2)
    values = [each for _, each in named]
    return [Adam(values, lr=spec.learning_rate, betas=betas, eps=spec.epsilon, fused=True)]


def _sgd(named: Named, spec: OptimizerSpec) -> list[Optimizer]:
    values = [each for _, each in named]
    return [SGD(values, lr=spec.learning_rate, momentum=spec.momentum, fused=True)]


def _rmsprop(named: Named, spec: OptimizerSpec) -> list[Optimizer]:
    return [
        RMSprop(
            [each for _, each in named],
            lr=spec.learning_rate,
            alpha=spec.alpha,
            eps=spec.epsilon,
            momentum=spec.momentum,
            foreach=True,
        )
    ]


def _muon(named: Named, spec: OptimizerSpec) -> list[Optimizer]:
    """Muon (Jordan et al., 2024) for the matrices of the blocks, AdamW for the rest.

    Its step is scaled to the size of AdamW's (Liu et al., 2025), so that one learning rate is
    right for both.
    """
    matrices = [(name, each) for name, each in named if decays(name, each) and each.dim() == 2]
    chosen = {name for name, _ in matrices}
    rest = [(name, each) for name, each in named if name not in chosen]
    parts: list[Optimizer] = []
    if matrices:
        parts.append(
            Muon(
                [each for _, each in matrices],
                lr=spec.learning_rate,
                momentum=spec.momentum or 0.95,
                weight_decay=spec.weight_decay,
                adjust_lr_fn="match_rms_adamw",
            )
        )
    return parts + (_adamw(rest, spec) if rest else [])


_OPTIMIZERS: dict[str, Callable[[Named, OptimizerSpec], list[Optimizer]]] = {
    "adamw": _adamw,
    "adam": _adam,
    "sgd": _sgd,
    "rmsprop": _rmsprop,
    "muon": _muon,
}
