"""Intervals of proportions, and the bootstrap by patient for everything else."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from coread.domain.cards import Estimate
from coread.statistics.arrays import Floats, Groups, Indices, flags, gathered, images_of_groups, members_of
from coread.statistics.errors import NotEstimable, UnsuitableData
from coread.statistics.extras import scipy_part

Progress = Callable[[int, int], None]
"""Called with the resamples done and the resamples wanted."""
_CELLS = 4_000_000
"""Resamples are made in blocks of at most so many weights, which bounds memory to some 100 MB."""
_JACKKNIFE_BLOCKS = 200
"""The acceleration of BCa leaves out single patients, or at most so many equal blocks of them (Efron 1987)."""


def check_level(level: float) -> None:
    """Refuse a confidence level that is none."""
    if not 0.0 < level < 1.0:
        raise UnsuitableData(f"a confidence level lies between 0 and 1, got {level}.")


@dataclass(frozen=True, slots=True)
class Resampling:
    """How a bootstrap is made: same numbers, same interval."""

    repeats: int = 2000
    seed: int = 0
    level: float = 0.95
    method: Literal["bca", "percentile"] = "bca"

    def __post_init__(self) -> None:
        check_level(self.level)
        if self.repeats < 20:
            raise UnsuitableData(f"a bootstrap of {self.repeats} repeats has no tails; use at least 20, better 2000.")


USUAL = Resampling()
SHORT = Resampling(repeats=1000)
"""For statistics that are computed once per resample."""


def normal_quantile(probability: float) -> float:
    """Return the quantile of the standard normal distribution."""
    ndtri = scipy_part("special").ndtri

    return float(ndtri(probability))


def two_sided(level: float) -> float:
    """Return z such that (-z, z) holds ``level`` of the standard normal distribution."""
    check_level(level)
    return normal_quantile(0.5 + level / 2)


def estimate(value: float, low: float, high: float, n: int) -> Estimate:
    """Build an Estimate whose bounds hold its value (a bootstrap interval may miss it, rounding may too)."""
    if not np.isfinite([value, low, high]).all():
        raise NotEstimable(f"the interval of {value} over {n} cases is not finite.")
    return Estimate(float(value), float(min(low, value)), float(max(high, value)), int(n))


def clopper_pearson(successes: int, n: int, *, level: float = 0.95) -> Estimate:
    """Return a proportion with its exact interval (Clopper and Pearson 1934)."""
    betaincinv = scipy_part("special").betaincinv

    check_level(level)
    _check_counts(successes, n)
    tail = (1 - level) / 2
    low = 0.0 if successes == 0 else float(betaincinv(successes, n - successes + 1, tail))
    high = 1.0 if successes == n else float(betaincinv(successes + 1, n - successes, 1 - tail))
    return estimate(successes / n, low, high, n)


def wilson(successes: int, n: int, *, level: float = 0.95) -> Estimate:
    """Return a proportion with the score interval of Wilson (1927)."""
    _check_counts(successes, n)
    low, high = wilson_bounds(successes / n, n, level=level)
    return estimate(successes / n, low, high, n)


def wilson_bounds(share: float, n: float, *, level: float = 0.95) -> tuple[float, float]:
    """Return the score interval for a share of ``n`` cases; ``n`` may be an effective, fractional number."""
    z = two_sided(level)
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def clustered_proportion(successes: ArrayLike, groups: Groups, *, level: float = 0.95) -> Estimate:
    """Return a proportion over images whose patients give several.

    Wilson's interval at the effective number of images, n / design effect (Rao and Scott 1992), at most n and lessened
    for few patients (Korn and Graubard 1998). Where all images agree, or one patient gave them all, the design effect
    is unknown: each patient counts as one image.
    """
    hits = flags(successes, what="successes")
    n = len(hits)
    member, patients = members_of(groups, n)
    _check_counts(int(hits.sum()), n)
    share = float(hits.mean())
    if share in (0.0, 1.0):
        bounds = clopper_pearson(round(share * patients), patients, level=level)
        return estimate(share, bounds.low, bounds.high, n)
    if patients < 2:
        return estimate(share, *wilson_bounds(share, 1.0, level=level), n)
    residual = np.bincount(member, weights=hits - share, minlength=patients)
    variance = patients / (patients - 1) * float((residual**2).sum()) / n**2
    effective = n / max(variance / (share * (1 - share) / n), 1.0)
    student = scipy_part("special").stdtrit(patients - 1, 0.5 + level / 2)
    low, high = wilson_bounds(share, effective * (two_sided(level) / float(student)) ** 2, level=level)
    return estimate(share, low, high, n)


def proportion(successes: ArrayLike, groups: Groups | None = None, *, level: float = 0.95) -> Estimate:
    """Return a proportion: exact where every patient gives one image, clustered where some give several."""
    hits = flags(successes, what="successes")
    _, patients = members_of(groups, len(hits))
    if groups is None or patients == len(hits):
        return clopper_pearson(int(hits.sum()), len(hits), level=level)
    return clustered_proportion(hits, groups, level=level)


def bootstrap(
    statistic: Callable[[Indices], float],
    groups: Groups | int,
    *,
    plan: Resampling = USUAL,
    progress: Progress | None = None,
) -> Estimate:
    """Return a statistic with its bootstrap interval over patients (``groups``: names, or a number of single images).

    ``statistic`` gets the indices of the images in a resample. A resample in which it is NotEstimable is drawn again;
    when that happens more often than not, the statistic is not estimable.
    """
    member, patients, n = _grouping(groups)
    order, starts, sizes = images_of_groups(member, patients)
    value = statistic(np.arange(n))
    random = np.random.default_rng(plan.seed)
    drawn: list[float] = []
    failed = 0
    while len(drawn) < plan.repeats:
        chosen = gathered(order, starts, sizes, random.integers(0, patients, patients))
        try:
            drawn.append(statistic(chosen))
        except NotEstimable:
            failed += 1
            _give_up_when_rare(failed, len(drawn))
            continue
        if progress is not None:
            progress(len(drawn), plan.repeats)
    left_out: list[float] = []
    if plan.method == "bca":
        for block in _blocks(patients):
            try:
                left_out.append(statistic(np.flatnonzero(~np.isin(member, block))))
            except NotEstimable:
                continue  # that patient alone made the statistic estimable: no influence can be stated
    low, high = bootstrap_bounds(value, np.asarray(drawn), np.asarray(left_out), plan)
    return estimate(value, low, high, n)


def bootstrap_weighted(
    statistic: Callable[[Floats], Floats],
    groups: Groups | int,
    *,
    plan: Resampling = USUAL,
    progress: Progress | None = None,
) -> Estimate:
    """Return a statistic with its bootstrap interval over patients, many resamples at a time.

    ``statistic`` takes weights (k, n), how often each image stands in each of k resamples, and gives k values, NaN
    where a resample does not determine it; such resamples are drawn again.
    """
    member, patients, n = _grouping(groups)
    value = float(statistic(np.ones((1, n)))[0])
    random = np.random.default_rng(plan.seed)
    block = max(1, min(plan.repeats, _CELLS // max(n, 1)))
    kept: list[Floats] = []
    done, tried = 0, 0
    while done < plan.repeats:
        counts = random.multinomial(patients, np.full(patients, 1 / patients), size=min(block, plan.repeats - done))
        values = statistic(counts[:, member].astype(np.float64))
        good = values[~np.isnan(values)]
        tried += len(values)
        done += len(good)
        kept.append(good)
        _give_up_when_rare(tried - done, done)
        if progress is not None:
            progress(done, plan.repeats)
    left_out = np.empty(0)
    if plan.method == "bca":
        parts = [statistic(np.where(np.isin(member, part), 0.0, 1.0)[None, :]) for part in _blocks(patients)]
        left_out = np.concatenate(parts) if parts else left_out
        left_out = left_out[~np.isnan(left_out)]
    low, high = bootstrap_bounds(value, np.concatenate(kept), left_out, plan)
    return estimate(value, low, high, n)


def bootstrap_bounds(value: float, drawn: Floats, left_out: Floats, plan: Resampling) -> tuple[float, float]:
    """Return percentile or BCa bounds (Efron 1987) of resampled values; ``left_out``: values of the jackknife."""
    tails = np.array([(1 - plan.level) / 2, (1 + plan.level) / 2])
    if plan.method == "bca" and len(left_out) > 2 and np.ptp(drawn) > 0:
        part = scipy_part("special")
        ndtr, ndtri = part.ndtr, part.ndtri

        below = (np.count_nonzero(drawn < value) + 0.5 * np.count_nonzero(drawn == value)) / len(drawn)
        shift = float(ndtri(min(max(below, 0.5 / len(drawn)), 1 - 0.5 / len(drawn))))
        gap = left_out.mean() - left_out
        spread = float((gap**2).sum())
        acceleration = float((gap**3).sum()) / (6 * spread**1.5) if spread > 0 else 0.0
        moved = shift + ndtri(tails)
        tails = ndtr(shift + moved / (1 - acceleration * moved))
    low, high = np.quantile(drawn, tails)
    return float(low), float(high)


def _grouping(groups: Groups | int) -> tuple[np.ndarray, int, int]:
    n = groups if isinstance(groups, int) else len(groups)
    if n == 0:
        raise NotEstimable("no cases: nothing can be resampled.")
    member, patients = members_of(None if isinstance(groups, int) else groups, n)
    return member, patients, n


def _blocks(patients: int) -> list[np.ndarray]:
    return np.array_split(np.arange(patients), min(patients, _JACKKNIFE_BLOCKS)) if patients > 2 else []


def _give_up_when_rare(failed: int, good: int) -> None:
    if failed > 100 and failed > good:
        raise NotEstimable(f"{failed} of {failed + good} resamples of the patients do not determine the statistic.")


def _check_counts(successes: int, n: int) -> None:
    if n <= 0:
        raise NotEstimable("a proportion of no cases cannot be estimated.")
    if not 0 <= successes <= n:
        raise UnsuitableData(f"{successes} of {n} is no proportion.")
