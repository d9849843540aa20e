"""How versions stand in comparisons: Bradley and Terry's model, and whether people agree."""

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from llmosd.jobs.feedback.specs import Comparison, RateSpec, Rating, Ratings
from llmosd.progress import Progress

Floats = NDArray[np.float64]

_SCALE, _CENTER = 400 / math.log(10), 1000.0
_ROUNDS = 200
# A tie with each other version that nobody saw: who won, or lost, all has a finite rating.
_PRIOR = 0.5


def rate(spec: RateSpec, progress: Progress) -> Ratings:
    """Ratings with intervals over verdicts drawn anew, and the raters' agreement.

    A rater who says much does not decide alone: the n verdicts of one count as sqrt(n).
    """
    versions = sorted({name for each in spec.comparisons for name in (each.first, each.second)})
    if not versions:
        return Ratings(ratings=[])
    place = {name: at for at, name in enumerate(versions)}
    pairs = np.array([(place[c.first], place[c.second]) for c in spec.comparisons])
    outcomes = np.array([c.outcome for c in spec.comparisons])
    weights = rater_weights([c.rater for c in spec.comparisons])
    strengths = _fit(pairs, outcomes, weights, len(versions))
    generator = np.random.default_rng(spec.seed)
    drawn = []
    for at in range(spec.resamples):
        if at % 50 == 0:
            progress.check_cancelled()
            progress.report("rate", at, spec.resamples, "sets")
        chosen = generator.integers(len(pairs), size=len(pairs))
        drawn.append(_fit(pairs[chosen], outcomes[chosen], weights[chosen], len(versions)))
    low, high = np.quantile(np.array(drawn), [0.025, 0.975], axis=0)
    ratings = []
    for at, name in enumerate(versions):
        mine = (pairs == at).any(1)
        won = np.where(pairs[mine, 0] == at, outcomes[mine], 1 - outcomes[mine])
        ratings.append(
            Rating(
                version=name,
                rating=float(strengths[at]),
                low=float(low[at]),
                high=float(high[at]),
                wins=float(won.mean()),
                comparisons=int(mine.sum()),
            )
        )
    ratings.sort(key=lambda each: -each.rating)
    return Ratings(ratings=ratings, agreement=krippendorff_alpha(spec.comparisons))


def rater_weights(raters: Sequence[str]) -> Floats:
    """(verdicts,) weights: those of a rater with n of them add up to sqrt(n)."""
    counts: dict[str, int] = defaultdict(int)
    for each in raters:
        counts[each] += 1
    return np.array([1 / math.sqrt(counts[each]) for each in raters])


def _fit(pairs: NDArray[np.int64], outcomes: Floats, weights: Floats, count: int) -> Floats:
    """(count,) ratings on Elo's scale, their mean 1000.

    Maximum likelihood of P(i beats j) = s_i / (s_i + s_j) by Hunter's minorization (2004), ties as
    half a win of each, with a weak prior of ties.
    """
    wins = np.full((count, count), _PRIOR / max(count - 1, 1))
    np.fill_diagonal(wins, 0.0)
    np.add.at(wins, (pairs[:, 0], pairs[:, 1]), weights * outcomes)
    np.add.at(wins, (pairs[:, 1], pairs[:, 0]), weights * (1 - outcomes))
    games, won = wins + wins.T, wins.sum(1)
    strengths = np.ones(count)
    for _ in range(_ROUNDS):
        shares = games / (strengths[:, None] + strengths[None, :])
        fresh = won / np.maximum(shares.sum(1), 1e-12)
        fresh /= math.exp(float(np.log(fresh).mean()))
        done = np.abs(np.log(fresh) - np.log(strengths)).max() < 1e-9
        strengths = fresh
        if done:
            break
    shown: Floats = _CENTER + _SCALE * np.log(strengths)
    return shown


def krippendorff_alpha(comparisons: Sequence[Comparison]) -> float | None:
    """1 - observed over expected disagreement, outcomes as an interval scale (Krippendorff, 2004).

    None where no item has two raters. An item's outcome counts once for each rater, the last.
    """
    items: dict[str, dict[str, float]] = defaultdict(dict)
    for each in comparisons:
        first, second = sorted((each.first, each.second))
        outcome = each.outcome if first == each.first else 1 - each.outcome
        items[f"{each.item}\0{first}\0{second}"][each.rater] = outcome
    units = [list(votes.values()) for votes in items.values() if len(votes) > 1]
    if not units:
        return None
    every = [value for unit in units for value in unit]
    observed = math.fsum(
        math.fsum((a - b) ** 2 for a in unit for b in unit) / (len(unit) - 1) for unit in units
    )
    expected = math.fsum((a - b) ** 2 for a in every for b in every) / (len(every) - 1)
    return 1.0 if not expected else 1 - observed / expected
