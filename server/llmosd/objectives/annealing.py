"""The weight of the KL term: a function of the step alone, so a resumed run needs no memory."""

import math

SCHEDULES = ("constant", "linear", "logistic", "cyclical")
_STEEPNESS = 10.0
"""Of the logistic curve over its ramp: it goes from 0.7 % to 99.3 %."""
_RAMP = 0.5
"""Share of a run, or of a cycle, that a ramp takes where nobody says (Fu et al., 2019)."""


def kl_weight(
    schedule: str, step: int, steps: int, *, weight: float, warmup: int = 0, cycles: int = 4
) -> float:
    """What the KL divergence is multiplied with in a step.

    "constant" is `weight`; "linear" goes from 0 to it in `warmup` steps, "logistic" along
    weight / (1 + exp(-10 (step / warmup - 1/2))) (Bowman et al., 2016), and both stay there;
    "cyclical" divides the run into `cycles` equal parts, each of which goes from 0 to `weight`
    linearly in its first `warmup` steps (Fu et al., 2019).

    Args:
        schedule: one of SCHEDULES.
        step: counted from 0.
        steps: of the run.
        weight: where it ends: beta of a beta-VAE; 1 for the evidence's lower bound.
        warmup: 0: half of the run, or of each cycle.
        cycles: of "cyclical".
    """
    if schedule == "constant":
        return weight
    period = steps / cycles if schedule == "cyclical" else float(steps)
    at = (step % period if schedule == "cyclical" else step) / (warmup or max(1, _RAMP * period))
    if at >= 1:
        return weight
    if schedule == "logistic":
        return weight / (1 + math.exp(-_STEEPNESS * (at - 0.5)))
    return weight * at
