"""Success is earned: what must hold before a trained network becomes a version."""

import math

import torch

from llmosd.architectures.trainable.network import Network
from llmosd.errors import TrainingDiverged

_SLACK = 0.01
"""Share by which a loss may be worse than it was: less is noise."""


def check_finite(network: Network) -> None:
    """Raise TrainingDiverged unless every weight is a finite number."""
    for name, weight in network.named_parameters():
        if not bool(torch.isfinite(weight).all()):
            raise TrainingDiverged(f'weight "{name}" has numbers that are not finite')


def check_health(
    network: Network, metrics: dict[str, float], before: dict[str, float], guess: float | None
) -> None:
    """Raise TrainingDiverged unless every weight is finite and the loss is what it should be.

    From scratch: no worse than guessing, and not the same to the last digit, which is what a
    network says that no longer tells one input from another. Else: no worse than before. A
    classifier may have a worse loss, as it grows too sure of its guesses, where more of them are
    right.

    Args:
        network: what would be published.
        metrics: its own, over the validation rows.
        before: those of what it started from; empty: from scratch.
        guess: the loss of knowing nothing; None: not known.
    """
    check_finite(network)
    loss = metrics.get("loss")
    if loss is None:
        return
    if not math.isfinite(loss):
        raise TrainingDiverged("the loss is not a finite number")
    if _guesses_better(metrics, before):
        return
    if not before and guess is not None and loss > guess * (1 + _SLACK):
        raise TrainingDiverged(
            f"the loss is {loss:.4g}; guessing has {guess:.4g}", metadata={"loss": f"{loss:.6g}"}
        )
    if not before and guess is not None and math.isclose(loss, guess, rel_tol=1e-7):
        raise TrainingDiverged(
            f"the loss is that of guessing, {guess:.4g}: the network says the same of everything"
        )
    if before and loss > before["loss"] * (1 + _SLACK):
        raise TrainingDiverged(
            f"the loss is {loss:.4g}, and was {before['loss']:.4g} before the training",
            metadata={"loss": f"{loss:.6g}", "before": f"{before['loss']:.6g}"},
        )


def _guesses_better(metrics: dict[str, float], before: dict[str, float]) -> bool:
    """Whether a classifier is right more often than before, and than the most frequent label."""
    if "majority_baseline" not in metrics:
        return False
    floor = max(metrics["majority_baseline"], before.get("accuracy", 0.0))
    return metrics["accuracy"] > floor
