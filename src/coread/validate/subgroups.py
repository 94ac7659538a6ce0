"""Subgroups: the same estimates in every stratum, and whether they differ by more than chance (corrected by Holm)."""

from collections.abc import Sequence

import numpy as np

from coread.domain.cards import Estimate, OutputSpec
from coread.statistics.errors import NotEstimable, UnsuitableData
from coread.validate.measure_outputs import MeasureSettings, measured_auc, rates_at
from coread.validate.observations import Answers, strata_of
from coread.validate.plain import Plain, estimate_from, is_estimate, not_estimable, rounded, stated

_MOST_LEVELS = 30


def subgroup_table(spec: OutputSpec, answers: Answers, settings: MeasureSettings) -> Plain:
    """Return AUC, sensitivity and specificity in every stratum, and a test for each grouping of two or more levels."""
    names = list(dict.fromkeys(name for item in answers.observations for name in strata_of(item)))
    rows: list[Plain] = []
    tests: list[Plain] = []
    for name in names:
        levels = np.array([strata_of(item).get(name, "") for item in answers.observations], dtype=np.str_)
        stated_levels = [str(level) for level in dict.fromkeys(levels.tolist()) if level]
        if len(stated_levels) < 2 or len(stated_levels) > _MOST_LEVELS:
            continue
        found = [_one_level(spec, answers.chosen(levels == level), name, level, settings) for level in stated_levels]
        rows += sorted(found, key=_order)
        tests.append({"grouping": name} | _difference(found))
    return {"rows": rows, "tests": _adjusted(tests), "fewest": settings.fewest}


def _order(row: Plain) -> tuple[int, str]:
    first = row["level"].split(" ")[0]
    return (int(first) if first.isdigit() else 0, row["level"])


def _one_level(spec: OutputSpec, answers: Answers, name: str, level: str, settings: MeasureSettings) -> Plain:
    read = answers.chosen(answers.read)
    row: Plain = {
        "grouping": name,
        "level": level,
        "n": len(answers.truth),
        "positives": int(answers.truth.sum()),
        "not_read": int((~answers.read).sum()),
    }
    if len(read.truth) < settings.fewest:
        why = not_estimable(f"fewer than {settings.fewest} cases were read")
        return row | {"auc": why, "sensitivity": why, "specificity": why}
    point = spec.operating_point()
    called = read.probability >= point.threshold if answers.has_probability else read.called
    sensitivity, specificity = rates_at(read, called)
    return row | {"auc": stated(lambda: measured_auc(read)), "sensitivity": sensitivity, "specificity": specificity}


def _difference(rows: Sequence[Plain]) -> Plain:
    """Test whether the AUCs of the strata differ (Cochran's Q on the logit scale of DeLong's intervals)."""
    from coread.statistics.subgroups import heterogeneity_of

    estimates = [estimate_from(row["auc"]) for row in rows if is_estimate(row["auc"])]
    inner = [item for item in estimates if 0 < item.value < 1 and item.high > item.low]
    if len(inner) < 2:
        return not_estimable("fewer than two strata have an AUC with an interval")
    try:
        found = heterogeneity_of(inner)
    except (NotEstimable, UnsuitableData) as problem:
        return not_estimable(str(problem))
    return {
        "q": rounded(found.q),
        "degrees_of_freedom": found.degrees_of_freedom,
        "p_value": rounded(found.p_value),
        "i_squared": rounded(found.i_squared),
        "lowest": _extreme(inner, lowest=True),
        "highest": _extreme(inner, lowest=False),
    }


def _extreme(estimates: Sequence[Estimate], *, lowest: bool) -> float:
    values = [item.value for item in estimates]
    return rounded(min(values) if lowest else max(values))


def _adjusted(tests: list[Plain]) -> list[Plain]:
    """Add Holm's adjusted p value over all groupings that could be tested."""
    from coread.statistics.subgroups import holm

    tested = [test for test in tests if "p_value" in test]
    if tested:
        for test, adjusted in zip(tested, holm(np.array([test["p_value"] for test in tested])), strict=True):
            test["p_adjusted"] = rounded(float(adjusted))
    return tests
