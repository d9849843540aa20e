"""Learning from a teacher's scores beside the labels (Hinton et al., 2015)."""

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from llmosd.objectives.batch import Batch, wanted_rows
from llmosd.objectives.cross_entropy import cross_entropy
from llmosd.objectives.likelihood import LanguageModel
from llmosd.objectives.objective import Network, Outcome, Settings

_SCORES = 1 << 23


class Distill(LanguageModel):
    """(1 - share) * cross-entropy + share * T^2 * KL(teacher || student), both at temperature T.

    T^2 keeps the two gradients of a size, whatever T. Evaluation's loss is the cross-entropy.
    """

    def __init__(self, settings: Settings, reference: Network | None) -> None:
        """`reference` is the teacher."""
        super().__init__(settings)
        if reference is None:
            raise ValueError("a teacher is needed")
        self._teacher = reference

    def loss(self, network: Network, batch: Batch) -> Outcome:
        """Sum over the wanted tokens; "divergence" is KL(teacher || student)."""
        rows, targets = wanted_rows(batch)
        hidden = network(batch.ids, batch.lengths, batch.perturbation).index_select(0, rows)
        with torch.no_grad():
            taught = self._teacher(batch.ids, batch.lengths).index_select(0, rows)
        temperature = self._settings.distill_temperature
        divergence = _divergence(hidden, network.head, taught, self._teacher.head, temperature)
        sums = cross_entropy(hidden, network.head, targets)
        share = self._settings.distill_share
        loss = (1 - share) * sums.loss + share * temperature**2 * divergence
        metrics = {"loss": sums.plain, "divergence": float(divergence.detach())}
        if not torch.is_grad_enabled():
            metrics["accuracy"] = float(sums.hits)
        return Outcome(loss, len(rows), metrics)


def _divergence(
    hidden: Tensor, head: Tensor, taught: Tensor, teacher: Tensor, temperature: float
) -> Tensor:
    """Sum over the rows of KL(teacher || student); scores of a few rows exist at a time."""
    step = max(64, _SCORES // len(head))
    total = hidden.new_zeros((), dtype=torch.float32)
    for start in range(0, len(hidden), step):
        rows = slice(start, start + step)
        total = total + checkpoint(
            _piece, hidden[rows], head, taught[rows], teacher, temperature, use_reentrant=False
        )
    return total


def _piece(x: Tensor, head: Tensor, y: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    student = functional.log_softmax((x @ head.to(x.dtype).T).float() / temperature, 1)
    wanted = functional.log_softmax((y @ teacher.to(y.dtype).T).float() / temperature, 1)
    return functional.kl_div(student, wanted, reduction="sum", log_target=True)
