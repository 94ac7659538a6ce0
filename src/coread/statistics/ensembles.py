"""Calibration of a mean of several members from what single members said of cases that they did not learn from.

Cross-fitting asks one member about each case; what runs is the mean of all members, whose logits stray less around what
they agree on. A curve fitted on single members is therefore too flat for the mean. Where two members answered the same
unseen cases, their agreement says how much too flat.
"""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from coread.statistics.arrays import flags, same_length
from coread.statistics.calibration import Platt
from coread.statistics.errors import NotEstimable, UnsuitableData

LEAST_CASES = 20
"""Cases of each class below which an agreement is not worth its name."""


def agreement_of(one: ArrayLike, other: ArrayLike, truth: ArrayLike) -> float:
    """Return the correlation of two members' logits within the classes, on cases that neither learnt from.

    Raises NotEstimable for fewer than ``LEAST_CASES`` cases of a class, UnsuitableData for a member that says the same
    of all. A correlation below 0 is given as 0: members that stray apart are taken as independent.
    """
    known = flags(truth)
    first, second = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    same_length(known, first, second)
    if min(int(known.sum()), int((~known).sum())) < LEAST_CASES:
        raise NotEstimable(f"agreement needs {LEAST_CASES} cases of each class that two members did not learn from.")
    for part in (known, ~known):
        first = np.where(part, first - first[part].mean(), first)
        second = np.where(part, second - second[part].mean(), second)
    spread = math.sqrt(float(np.square(first).sum() * np.square(second).sum()))
    if spread == 0:
        raise UnsuitableData("a member says the same of every case of a class: it agrees with nothing.")
    return min(max(float((first * second).sum()) / spread, 0.0), 1.0)


def for_mean_of(single: Platt, members: int, *, agreement: float, prevalence: float) -> Platt:
    """Return the curve of the mean of ``members`` from the curve of single members.

    With normal logits of equal variance v in both classes the slope of the log odds is d / v, d the distance of the
    classes' means. The mean of m members whose errors correlate by r has variance v (r + (1 - r) / m) and the same
    means: the slope grows by the inverse of that, and the logit at which the evidence is even stays where it was, at
    probability ``prevalence``.
    """
    if members < 1 or not 0 <= agreement <= 1 or not 0 < prevalence < 1:
        raise UnsuitableData(
            f"members is at least 1, agreement and prevalence 0 to 1, not {members}, {agreement}, {prevalence}"
        )
    if members == 1 or agreement == 1:
        return single
    steeper = 1 / (agreement + (1 - agreement) / members)
    base = math.log(prevalence / (1 - prevalence))
    return replace(single, a=single.a * steeper, b=base + (single.b - base) * steeper)
