"""Decision curves: is acting on the reader better than acting on everybody or on nobody (Vickers and Elkin 2006)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from coread.statistics.arrays import Floats, Groups, both_classes, flags, members_of, probabilities_of, same_length
from coread.statistics.errors import UnsuitableData
from coread.statistics.intervals import USUAL, Progress, Resampling

_CELLS = 4_000_000


@dataclass(frozen=True, slots=True, eq=False)
class NetBenefit:
    """Net benefit per case at each threshold probability; bounds are bootstrap percentiles, point by point."""

    thresholds: Floats
    reader: Floats
    everybody: Floats
    nobody: Floats
    low: Floats
    high: Floats
    prevalence: float

    @property
    def standardised(self) -> Floats:
        """Return the reader's net benefit as a share of the best possible one (Kerr et al. 2016)."""
        return np.asarray(self.reader / self.prevalence)


def net_benefit(
    truth: ArrayLike,
    probabilities: ArrayLike,
    thresholds: ArrayLike | None = None,
    groups: Groups | None = None,
    *,
    prevalence: float | None = None,
    plan: Resampling = USUAL,
    progress: Progress | None = None,
) -> NetBenefit:
    """Return the decision curve at threshold probabilities (default 0.01 .. 0.99); act when probability >= threshold.

    ``prevalence``: of the population in question, where the cases were not drawn at random.
    """
    known, chance = flags(truth), probabilities_of(probabilities)
    same_length(known, chance)
    both_classes(known, what="a decision curve")
    cuts = np.arange(1, 100) / 100 if thresholds is None else np.asarray(thresholds, dtype=np.float64)
    if cuts.ndim != 1 or len(cuts) == 0 or cuts.min() <= 0 or cuts.max() >= 1:
        raise UnsuitableData("threshold probabilities lie between 0 and 1.")
    if prevalence is not None and not 0.0 < prevalence < 1.0:
        raise UnsuitableData(f"a prevalence lies between 0 and 1, got {prevalence}.")
    called = (chance[:, None] >= cuts[None, :]).astype(np.float64)
    odds = cuts / (1 - cuts)
    target = known.astype(np.float64)

    def benefit(weights: Floats) -> Floats:
        up, down = weights * target, weights * (1 - target)
        found, wrong = up @ called, down @ called
        if prevalence is None:
            return np.asarray((found - wrong * odds) / weights.sum(axis=1)[:, None])
        with np.errstate(invalid="ignore", divide="ignore"):
            hit, false = found / up.sum(axis=1)[:, None], wrong / down.sum(axis=1)[:, None]
        return np.asarray(hit * prevalence - false * (1 - prevalence) * odds)

    member, patients = members_of(groups, len(known))
    random = np.random.default_rng(plan.seed)
    block = max(1, min(plan.repeats, _CELLS // len(known)))
    drawn: list[Floats] = []
    done = 0
    while done < plan.repeats:
        size = min(block, plan.repeats - done)
        counts = random.multinomial(patients, np.full(patients, 1 / patients), size=size)
        drawn.append(benefit(counts[:, member].astype(np.float64)))
        done += size
        if progress is not None:
            progress(done, plan.repeats)
    tails = [(1 - plan.level) / 2, (1 + plan.level) / 2]
    low, high = np.nanquantile(np.concatenate(drawn), tails, axis=0)
    rate = float(target.mean()) if prevalence is None else prevalence
    return NetBenefit(
        thresholds=cuts,
        reader=benefit(np.ones((1, len(known))))[0],
        everybody=np.asarray(rate - (1 - rate) * odds),
        nobody=np.zeros(len(cuts)),
        low=np.asarray(low),
        high=np.asarray(high),
        prevalence=rate,
    )
