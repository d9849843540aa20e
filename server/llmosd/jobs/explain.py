"""Which tokens of a prompt an answer hangs on: integrated gradients, in a process of its own.

Sundararajan, Taly and Yan, 2017. Between a baseline b and the prompt's embeddings e there is a
straight path; a token's attribution is the integral along it of the gradient, in the direction of
what the token adds. Together they are F(e) - F(b), F being the target's logits: completeness.

How well an integral is approximated is known on every piece of the path: what the attributions of a
piece add up to is the difference of F between its ends. So pieces are cut in two where that is
missed most, until what is missed is small. The mean of all embeddings is
the better baseline: what normalizes what it reads (RMSNorm without biases) makes something of next
to nothing, layer after layer, so that near zeros F is all but a step.
"""

import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import msgspec
import torch
from safetensors import safe_open
from torch import Tensor
from torch.nn import functional

from llmosd.architectures.config import ModelConfig
from llmosd.architectures.families.table import expected_shapes
from llmosd.architectures.trainable.layout import layout_of
from llmosd.architectures.trainable.network import Layered
from llmosd.architectures.trainable.registry import from_weights
from llmosd.engine.adapters import with_adapter
from llmosd.errors import FeatureUnavailable
from llmosd.jobs.messages import ExplainResult, ExplainSpec
from llmosd.progress import Progress
from llmosd.quantizers.stored import read_stored
from llmosd.store.files import open_regular, read_regular
from llmosd.store.manifest import CONFIG, WEIGHTS

_LARGEST_CONFIG = 1024 * 1024
_FIRST_PIECES = 4
# Gauss and Legendre's points on (-1, 1) and their weights: exact for polynomials up to degree 7.
_POINTS = (-0.8611363115940526, -0.3399810435848563, 0.3399810435848563, 0.8611363115940526)
_WEIGHTS = (0.3478548451374538, 0.6521451548625461, 0.6521451548625461, 0.3478548451374538)
# Tokens that go through the network together; their activations are kept for the way back.
_BATCH_TOKENS = 512
# Activations of longer texts are computed again on the way back, layer by layer.
_REMEMBERED_TOKENS = 256
# Differences of logits below it are float32's rounding.
_LEAST = 1e-3
_NICE = 19


def explain(spec: ExplainSpec, progress: Progress) -> ExplainResult:
    """See `attribute`; streams that are read meanwhile come first."""
    os.nice(_NICE)
    return attribute(spec, progress)


def attribute(spec: ExplainSpec, progress: Progress) -> ExplainResult:
    """Attribute the target's logits to the prompt's tokens.

    Raises:
        FeatureUnavailable: for a network that is not one layer after another.
        DataCorrupt: where the version's files are damaged.
        OperationCancelled.
    """
    progress.report("weights")
    network = _network(spec)
    if not isinstance(network, Layered):
        raise FeatureUnavailable("this family's networks do not tell how they read a prompt")
    network.checkpointing = len(spec.prompt) + len(spec.answer) > _REMEMBERED_TOKENS
    path = Way(network, spec)
    pieces = [_piece(path, at / _FIRST_PIECES, 1 / _FIRST_PIECES) for at in range(_FIRST_PIECES)]
    return _refined(path, pieces, spec, progress)


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of the path, what its tokens' gradients add up to there, and the miss.

    Attributes:
        begin, width: on the path from 0, the baseline, to 1.
        attributions: (prompt tokens,) float64.
        error: their sum less the difference of F between the ends.
    """

    begin: float
    width: float
    attributions: Tensor
    error: float


class Way:
    """The straight path from the baseline to a prompt, and F and its gradient on it."""

    def __init__(self, network: Layered, spec: ExplainSpec) -> None:
        self._network = network
        self.steps = 0
        self._known: dict[float, float] = {}
        prompt = len(spec.prompt)
        # Nothing is read after the answer's last token but one.
        self._ids = torch.tensor([*spec.prompt, *spec.answer[:-1]])
        self._prompt = prompt
        places = range(len(spec.answer)) if spec.target < 0 else [spec.target]
        self._rows = torch.tensor([prompt - 1 + at for at in places])
        self._head = network.head[torch.tensor([spec.answer[at] for at in places])].detach()
        with torch.no_grad():
            embedded = network.embed(self._ids, layout_of((len(self._ids),), self._ids.device))
            own = functional.embedding(self._ids[:prompt], network.embedding).float()
            base = network.embedding.float().mean(0) if spec.baseline == "mean" else 0.0
            self._added = own - base
            # What is added to: exactly zero for a baseline of zeros, so that no step is too small.
            self._begin = embedded
            self._begin[:prompt] -= self._added

    def value(self, at: float) -> float:
        """F, the sum of the target's logits, at a place of the path."""
        if at not in self._known:
            with torch.no_grad():
                self._known[at] = float(self._outputs(self._at([at]), 1)[0])
        return self._known[at]

    def gradients(self, places: list[float]) -> Tensor:
        """(places, prompt tokens) float64: F's derivative along each token's part of the way."""
        found = []
        most = max(1, _BATCH_TOKENS // len(self._ids))
        for first in range(0, len(places), most):
            some = places[first : first + most]
            x = self._at(some).requires_grad_()
            (gradient,) = torch.autograd.grad(self._outputs(x, len(some)).sum(), x)
            own = gradient.view(len(some), len(self._ids), -1)[:, : self._prompt]
            found.append((own.double() * self._added.double()).sum(-1))
        self.steps += len(places)
        return torch.cat(found)

    def _at(self, places: list[float]) -> Tensor:
        """(places * tokens, hidden): the embeddings at places of the path, end to end."""
        x = self._begin.repeat(len(places), 1, 1)
        x[:, : self._prompt] += torch.tensor(places).view(-1, 1, 1) * self._added
        return x.flatten(0, 1)

    def _outputs(self, x: Tensor, count: int) -> Tensor:
        """(count,) F of each."""
        hidden = self._network.through(x, (len(self._ids),) * count)
        rows = hidden.view(count, len(self._ids), -1)[:, self._rows]
        return (rows.float() * self._head.float()).sum((1, 2))


def _piece(path: Way, begin: float, width: float) -> Piece:
    """Four points of a part of the path."""
    places = [begin + width * (1 + point) / 2 for point in _POINTS]
    weights = torch.tensor(_WEIGHTS, dtype=torch.float64).unsqueeze(1) * width / 2
    attributions = (weights * path.gradients(places)).sum(0)
    change = path.value(begin + width) - path.value(begin)
    return Piece(begin, width, attributions, float(attributions.sum()) - change)


def _refined(
    path: Way, pieces: list[Piece], spec: ExplainSpec, progress: Progress
) -> ExplainResult:
    """Cut the worst pieces in two until what is missed is small enough; see `_enough`."""
    change = path.value(1.0) - path.value(0.0)
    while not (enough := _enough(pieces, change, spec.tolerance)):
        if path.steps + 2 * len(_POINTS) > spec.max_steps:
            break
        progress.check_cancelled()
        progress.report("gradients", path.steps, spec.max_steps, "steps")
        worst = max(pieces, key=lambda piece: abs(piece.error))
        pieces.remove(worst)
        half = worst.width / 2
        pieces += [_piece(path, worst.begin, half), _piece(path, worst.begin + half, half)]
    return ExplainResult(
        attributions=_sum(pieces).tolist(),
        output=path.value(1.0),
        baseline_output=path.value(0.0),
        steps=path.steps,
        converged=enough,
    )


def _enough(pieces: list[Piece], change: float, tolerance: float) -> bool:
    """Whether the whole is missed by less than a share of it, and not because errors cancel.

    Errors of both signs are held against what all tokens add and take away: where these nearly
    cancel, the whole is small beside its parts, and no yardstick for them.
    """
    errors = [piece.error for piece in pieces]
    moved = float(_sum(pieces).abs().sum())
    whole = max(abs(change), _LEAST)
    missed = sum(map(abs, errors))
    return abs(sum(errors)) <= tolerance * whole and missed <= tolerance * max(whole, moved)


def _sum(pieces: list[Piece]) -> Tensor:
    return torch.stack([piece.attributions for piece in pieces]).sum(0)


def _network(spec: ExplainSpec) -> torch.nn.Module:
    """The version's network in float32, its adapter merged."""
    folder = Path(spec.model_dir)
    config = msgspec.json.decode(read_regular(folder, CONFIG, _LARGEST_CONFIG), type=ModelConfig)
    fd = open_regular(Path(spec.base_dir or spec.model_dir), WEIGHTS)
    with ExitStack() as stack:
        stack.callback(os.close, fd)
        file = stack.enter_context(safe_open(f"/proc/self/fd/{fd}", framework="pt"))
        stored = set(file.keys())

        def read(name: str) -> Tensor:
            return read_stored(name, stored, file.get_tensor)

        weight = with_adapter(folder, read) if spec.base_dir else read
        names = stored & expected_shapes(config).keys()
        network = from_weights(config, {name: weight(name) for name in names})
    return network.eval().requires_grad_(requires_grad=False)
