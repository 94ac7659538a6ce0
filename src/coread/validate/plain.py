"""Numbers as plain JSON: an estimate with its interval, or the reason why there is none. Never NaN."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from coread.domain.cards import Estimate
from coread.statistics.errors import NotEstimable

_DIGITS = 6
_CURVE_DIGITS = 4
MAX_POINTS = 120
"""Points of a curve in the report; more cannot be seen."""

Plain = dict[str, Any]


def rounded(value: float) -> float:
    """Return a number with six decimals, which is more than any study can tell apart."""
    return round(float(value), _DIGITS)


def plain_estimate(found: Estimate) -> Plain:
    """Return an estimate as JSON values; rounding never pushes the value out of its interval."""
    value = rounded(found.value)
    return {
        "value": value,
        "low": min(rounded(found.low), value),
        "high": max(rounded(found.high), value),
        "n": found.n,
    }


def estimate_from(body: Plain) -> Estimate:
    """Read what ``plain_estimate`` wrote."""
    return Estimate(float(body["value"]), float(body["low"]), float(body["high"]), int(body["n"]))


def stated(measure: Callable[[], Estimate]) -> Plain:
    """Return the estimate that ``measure`` gives, or ``{"not_estimable": why}``."""
    try:
        return plain_estimate(measure())
    except NotEstimable as problem:
        return not_estimable(str(problem))


def not_estimable(why: str) -> Plain:
    """Return the place of an estimate that these cases do not give."""
    return {"not_estimable": why}


def is_estimate(body: Any) -> bool:
    """Say whether a value of the report is an estimate and not the reason why there is none."""
    return isinstance(body, dict) and "value" in body


def read_and_refused(report: Plain) -> tuple[int, int]:
    """Return how many of the cases to be read gave a result, and how many were refused.

    A result in which nothing is clear counts as not analysed among the outcomes and as read here. Reports of before
    do not count such results.
    """
    cases, outcomes = report["cases"], report["cases"]["outcomes"]
    unclear = cases.get("read_without_call", 0)
    return outcomes["positive"] + outcomes["negative"] + unclear, outcomes["not_analysed"] - unclear


def thinned(*columns: Sequence[float] | Any, points: int = MAX_POINTS) -> list[list[float]]:
    """Return rows of a curve, at most ``points`` of them, first and last kept."""
    table = np.column_stack([np.asarray(column, dtype=np.float64) for column in columns])
    if len(table) > points:
        table = table[np.unique(np.linspace(0, len(table) - 1, points).round().astype(int))]
    return [[round(float(value), _CURVE_DIGITS) for value in row] for row in table]
