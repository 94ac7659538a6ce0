"""Sets of answers with stated coverage, and when to give no answer at all, with a stated bound on errors."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from coread.domain.cards import Estimate
from coread.statistics.arrays import Flags, Floats, Integers, flags, probabilities_of, same_length
from coread.statistics.errors import NotEstimable, UnsuitableData
from coread.statistics.intervals import clopper_pearson

_STEPS = 20
_START = 3
"""The search begins with so many times the fewest cases, so that one error by chance does not end it."""
_EDGE = 1e-9


@dataclass(frozen=True, slots=True)
class Conformal:
    """A class belongs to the answer while its probability is at least 1 - limit of that class."""

    coverage: float
    limits: tuple[float, ...]
    class_conditional: bool

    def sets(self, probabilities: ArrayLike) -> Flags:
        """Return which classes each case may have, (cases, classes); an empty row is unlike all calibration cases."""
        table = class_table(probabilities)
        if table.shape[1] != len(self.limits):
            raise UnsuitableData(f"{table.shape[1]} classes given, {len(self.limits)} calibrated.")
        return np.asarray(1.0 - table <= np.asarray(self.limits)[None, :])


@dataclass(frozen=True, slots=True)
class Selective:
    """No answer between ``low`` and ``high``; outside, errors stay below ``most_error`` with the confidence."""

    low: float
    high: float
    threshold: float
    accepted: Estimate
    error: Estimate
    """Among the accepted calibration cases."""
    most_error: float
    confidence: float

    def accepts(self, probabilities: ArrayLike) -> Flags:
        """Return which cases get an answer."""
        chance = probabilities_of(probabilities)
        return np.asarray((chance <= self.low) | (chance >= self.high))


def fit_conformal(
    probabilities: ArrayLike, truth: ArrayLike, *, coverage: float = 0.9, class_conditional: bool = False
) -> Conformal:
    """Calibrate sets that hold the true class in at least ``coverage`` of exchangeable new cases.

    Split conformal prediction with 1 - probability of the true class (Sadinle, Lei, Wasserman 2019); with
    ``class_conditional`` the coverage holds within every class. Probabilities: (N, K), or (N,) of the second of two.
    """
    table, classes = class_table(probabilities), _classes(truth)
    same_length(table, classes)
    if not 0.0 < coverage < 1.0:
        raise UnsuitableData(f"a coverage lies between 0 and 1, got {coverage}.")
    if len(classes) == 0 or classes.max() >= table.shape[1]:
        raise UnsuitableData("class numbers must lie between 0 and the number of columns.")
    strangeness = 1.0 - table[np.arange(len(classes)), classes]
    if class_conditional:
        limits = tuple(_quantile(strangeness[classes == k], coverage, f"class {k}") for k in range(table.shape[1]))
    else:
        limits = (_quantile(strangeness, coverage, "the calibration set"),) * table.shape[1]
    return Conformal(coverage, limits, class_conditional)


def set_coverage(sets: ArrayLike, truth: ArrayLike) -> Estimate:
    """Return the share of cases whose set holds the true class."""
    table, classes = np.asarray(sets, dtype=np.bool_), _classes(truth)
    same_length(table, classes)
    held = table[np.arange(len(classes)), classes]
    return clopper_pearson(int(held.sum()), len(held))


def fit_selective(
    truth: ArrayLike,
    probabilities: ArrayLike,
    *,
    most_error: float,
    confidence: float = 0.95,
    threshold: float = 0.5,
) -> Selective:
    """Find the widest answering range in which errors stay below ``most_error`` with the stated confidence.

    Learn then test with a fixed sequence (Angelopoulos et al. 2021): from few, clear cases to all; each step must keep
    an exact upper bound of the error rate below the wish, and the first that fails ends the search. Cases must be
    independent (one image per patient) and not have been used to calibrate the probabilities.
    """
    known, chance = flags(truth), probabilities_of(probabilities)
    n = same_length(known, chance)
    if not (0.0 < most_error < 1.0 and 0.5 <= confidence < 1.0 and 0.0 < threshold < 1.0):
        raise UnsuitableData("most_error and threshold lie between 0 and 1, confidence in [0.5, 1).")
    needed = int(np.ceil(np.log(1 - confidence) / np.log(1 - most_error)))
    if n < needed:
        raise NotEstimable(f"an error below {most_error:g} with {confidence:.0%} needs {needed} cases, got {n}.")
    distance = np.abs(_logit(chance) - _logit(np.array([threshold]))[0])
    wrong = (chance >= threshold) != known
    best: float | None = None
    for limit in _limits(distance, min(n, max(_START * needed, n // 5))):
        inside = distance >= limit
        errors, accepted = int(wrong[inside].sum()), int(inside.sum())
        if clopper_pearson(errors, accepted, level=2 * confidence - 1).high > most_error:
            break
        best = float(limit)
    if best is None:
        raise NotEstimable(
            f"even the clearest cases err too often for {most_error:g} with {confidence:.0%} confidence."
        )
    middle = float(np.log(threshold / (1 - threshold)))
    low, high = (float(1 / (1 + np.exp(-(middle + side * best)))) for side in (-1.0, 1.0))
    # The edge cases themselves were accepted: the bounds are theirs, not a rounding of theirs.
    accepted_here = distance >= best
    below, above = chance[accepted_here & (chance < threshold)], chance[accepted_here & (chance >= threshold)]
    low, high = max(low, float(below.max(initial=0.0))), min(high, float(above.min(initial=1.0)))
    count = int(accepted_here.sum())
    return Selective(
        low=low,
        high=high,
        threshold=threshold,
        accepted=clopper_pearson(count, n),
        error=clopper_pearson(int(wrong[accepted_here].sum()), count),
        most_error=most_error,
        confidence=confidence,
    )


def class_table(probabilities: ArrayLike) -> Floats:
    """Return probabilities as (N, K); one column of probabilities becomes two classes."""
    table = np.asarray(probabilities, dtype=np.float64)
    if table.ndim == 1:
        table = np.column_stack([1 - table, table])
    if table.ndim != 2 or not np.isfinite(table).all() or (table < -_EDGE).any() or (table > 1 + _EDGE).any():
        raise UnsuitableData(f"probabilities must lie in [0, 1] with shape (cases, classes), got {table.shape}.")
    return table


def _quantile(strangeness: Floats, coverage: float, what: str) -> float:
    n = len(strangeness)
    rank = int(np.ceil((n + 1) * coverage - _EDGE))
    if n == 0:
        raise NotEstimable(f"{what} has no cases to calibrate on.")
    # Too few cases for the wish: every class belongs to the answer, which keeps the promise.
    return float(np.sort(strangeness)[rank - 1]) if rank <= n else float("inf")


def _limits(distance: Floats, fewest: int) -> Floats:
    counts = np.unique(np.linspace(fewest, len(distance), _STEPS).astype(int))
    return np.asarray(np.sort(distance)[::-1][counts - 1])


def _logit(chance: Floats) -> Floats:
    kept = np.clip(chance, 1e-12, 1 - 1e-12)
    return np.asarray(np.log(kept / (1 - kept)))


def _classes(truth: ArrayLike) -> Integers:
    values = np.asarray(truth)
    if values.ndim != 1 or (len(values) and (values.min() < 0 or not np.equal(np.mod(values, 1), 0).all())):
        raise UnsuitableData("classes must be whole numbers from 0.")
    return values.astype(np.int64)
