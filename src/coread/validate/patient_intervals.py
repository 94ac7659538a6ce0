"""Intervals over patients for measures whose usual interval counts cases: taken where a patient has several cases."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from coread.domain.cards import Estimate
from coread.statistics.arrays import Indices
from coread.statistics.clustered_pairs import clustered_mcnemar
from coread.statistics.confusion import mcnemar, paired_difference
from coread.statistics.errors import NotEstimable
from coread.statistics.intervals import Resampling, bootstrap, two_sided
from coread.validate.plain import Plain, not_estimable, rounded

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Names = NDArray[np.str_]
FEWEST_PATIENTS = 3
OVER_PATIENTS = "bootstrap over patients"
NOT_CLUSTERED = "cases, not clustered"
"""Said beside a number that takes several cases of one patient for independent."""


def several_cases(patients: Names) -> bool:
    """Say whether a patient has several cases."""
    return len(np.unique(patients)) < len(patients)


def over_patients(
    usual: Callable[[], Estimate], statistic: Callable[[Indices], float], patients: Names, plan: Resampling
) -> Estimate:
    """Return the usual estimate where every patient has one case, else ``statistic`` bootstrapped over patients.

    Raises NotEstimable where so few patients give all cases that drawing among them says nothing.
    """
    if not several_cases(patients):
        return usual()
    count = len(np.unique(patients))
    if count < FEWEST_PATIENTS:
        raise NotEstimable(f"all {len(patients)} cases are of {count} patients: no interval over patients.")
    return bootstrap(statistic, patients, plan=plan)


def share_difference(first: Flags, second: Flags, patients: Names, plan: Resampling) -> Estimate:
    """Return the difference of two shares on the same cases.

    Where no case tells them apart, resamples do not either: then each patient counts as one case.
    """
    gap = first.astype(np.float64) - second
    if several_cases(patients) and np.ptp(gap) == 0:
        _, chosen = np.unique(patients, return_index=True)
        return replace(paired_difference(first[chosen], second[chosen]), n=len(first))
    return over_patients(
        lambda: paired_difference(first, second), lambda chosen: float(gap[chosen].mean()), patients, plan
    )


def paired_test(first: Flags, second: Flags, patients: Names) -> Plain:
    """Return the test whether one of two is right more often on the same cases: McNemar's, by patient where needed.

    With one case for each patient the exact test; with several Obuchowski's (1998), beside it all swaps of the two
    within whole patients (``p_exact``).
    """
    if not several_cases(patients):
        plain = mcnemar(first, second)
        return {
            "only_this_right": plain.only_first, "only_other_right": plain.only_second,
            "p_value": rounded(plain.p_exact), "p_exact": rounded(plain.p_exact), "p_mid": rounded(plain.p_mid),
            "method": "McNemar, exact",
        }  # fmt: skip
    try:
        found = clustered_mcnemar(first, second, patients)
    except NotEstimable as problem:
        return not_estimable(str(problem))
    return {
        "only_this_right": found.only_first, "only_other_right": found.only_second, "patients": found.patients,
        "unequal_patients": found.unequal_patients, "chi_square": rounded(found.chi_square),
        "p_value": rounded(found.p_value), "p_exact": rounded(found.p_exact),
        "method": "McNemar, clustered by patient (Obuchowski 1998)",
    }  # fmt: skip


def limits_of_agreement(first: Floats, second: Floats) -> Mapping[str, Callable[[Indices], float]]:
    """Return what Bland and Altman measure, as statistics of resamples: their exact bounds are not needed there."""
    gap, middle, width = first - second, (first + second) / 2, two_sided(0.95)

    def bias(chosen: Indices) -> float:
        return float(gap[chosen].mean())

    def spread(chosen: Indices) -> float:
        return float(gap[chosen].std(ddof=1))

    def slope(chosen: Indices) -> float:
        centred = middle[chosen] - middle[chosen].mean()
        square = float((centred**2).sum())
        return float((centred * gap[chosen]).sum()) / square if square > 0 else 0.0

    return {
        "bias": bias,
        "lower": lambda chosen: bias(chosen) - width * spread(chosen),
        "upper": lambda chosen: bias(chosen) + width * spread(chosen),
        "slope": slope,
    }


def intraclass(first: Floats, second: Floats) -> Mapping[str, Callable[[Indices], float]]:
    """Return the forms (2, 1) agreement and (3, 1) consistency of Shrout and Fleiss, as statistics of resamples."""

    def squares(chosen: Indices) -> tuple[float, float, float, int]:
        one, other = first[chosen], second[chosen]
        n, gap = len(one), one - other
        between = 2 * float(((one + other) / 2).var(ddof=1))
        raters = n * float(gap.mean() ** 2) / 2
        error = float(gap.var(ddof=1)) / 2
        if between + error + raters <= 0:
            raise NotEstimable("all measurements are equal: the ratio of variances is not determined.")
        return between, raters, error, n

    def agreement(chosen: Indices) -> float:
        between, raters, error, n = squares(chosen)
        return (between - error) / (between + error + 2 * (raters - error) / n)

    def consistency(chosen: Indices) -> float:
        between, _, error, _ = squares(chosen)
        if between + error <= 0:
            raise NotEstimable("all cases are equal: consistency is not determined.")
        return (between - error) / (between + error)

    return {"agreement": agreement, "consistency": consistency}
