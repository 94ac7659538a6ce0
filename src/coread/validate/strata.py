"""Strata of any measure: who belongs to which, one row for each, and whether they differ (corrected by Holm)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.statistics.errors import NotEstimable, UnsuitableData
from coread.statistics.subgroups import Heterogeneity, Welch, holm
from coread.validate.observations import Observation, strata_of
from coread.validate.plain import Plain, is_estimate, not_estimable, rounded

MOST_LEVELS = 30
"""A grouping with more levels than this is a name, not a stratum."""
Chosen = NDArray[np.bool_]
Test = Callable[[Sequence[Plain]], Heterogeneity | Welch]
"""From the rows of one grouping that have an estimate to a test whether they differ."""


@dataclass(frozen=True, slots=True)
class Difference:
    """How the strata of one grouping are held against each other in one metric."""

    metric: str
    name: str
    """The test in words."""
    test: Test


@dataclass(frozen=True, slots=True)
class Grouping:
    """One column with its levels, in the order in which they are shown; arrays run over the observations."""

    name: str
    levels: Mapping[str, Chosen]


def groupings_of(observations: Sequence[Observation]) -> tuple[Grouping, ...]:
    """Return every grouping that has two levels or more among these observations."""
    stated = [strata_of(item) for item in observations]
    found = []
    for name in dict.fromkeys(name for item in stated for name in item):
        levels = np.array([item.get(name, "") for item in stated], dtype=np.str_)
        named = sorted((str(level) for level in dict.fromkeys(levels.tolist()) if level), key=_order)
        if 2 <= len(named) <= MOST_LEVELS:
            found.append(Grouping(name, {level: levels == level for level in named}))
    return tuple(found)


def strata_table(
    observations: Sequence[Observation],
    one_level: Callable[[Chosen], Plain],
    differences: Sequence[Difference],
    *,
    fewest: int,
) -> Plain:
    """Return one row for each stratum, and one test for each grouping: the first of ``differences`` that it allows.

    ``one_level`` measures the chosen observations. The p values are adjusted by Holm over all groupings.
    """
    rows: list[Plain] = []
    tests: list[Plain] = []
    for grouping in groupings_of(observations):
        found = [
            {"grouping": grouping.name, "level": level} | one_level(chosen) for level, chosen in grouping.levels.items()
        ]
        rows += found
        tests.append({"grouping": grouping.name} | _tested(found, differences))
    return {"rows": rows, "tests": _adjusted(tests), "fewest": fewest}


def _tested(rows: Sequence[Plain], differences: Sequence[Difference]) -> Plain:
    reasons: list[str] = []
    for difference in differences:
        measured = [row for row in rows if is_estimate(row.get(difference.metric))]
        if len(measured) < 2:
            reasons.append(f"fewer than two strata have a number for {difference.metric.replace('_', ' ')}")
            continue
        try:
            found = difference.test(measured)
        except (NotEstimable, UnsuitableData) as problem:
            reasons.append(str(problem))
            continue
        values = [row[difference.metric]["value"] for row in measured]
        return _plain(found) | {
            "metric": difference.metric, "test": difference.name, "lowest": min(values), "highest": max(values),
        }  # fmt: skip
    return not_estimable(reasons[0])


def _plain(found: Heterogeneity | Welch) -> Plain:
    if isinstance(found, Welch):
        return {"f": rounded(found.f), "degrees_of_freedom": [rounded(value) for value in found.degrees_of_freedom],
                "p_value": rounded(found.p_value)}  # fmt: skip
    return {"q": rounded(found.q), "degrees_of_freedom": found.degrees_of_freedom, "p_value": rounded(found.p_value),
            "i_squared": rounded(found.i_squared)}  # fmt: skip


def _adjusted(tests: list[Plain]) -> list[Plain]:
    """Add Holm's adjusted p value over all groupings that could be tested."""
    tested = [test for test in tests if "p_value" in test]
    if tested:
        for test, adjusted in zip(tested, holm(np.array([test["p_value"] for test in tested])), strict=True):
            test["p_adjusted"] = rounded(float(adjusted))
    return tests


def _order(level: str) -> tuple[int, str]:
    first = level.split(" ", maxsplit=1)[0]
    return (int(first) if first.isdigit() else 0, level)
