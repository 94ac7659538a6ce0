"""Two readers on the same images of patients who give several: paired tests that count patients, not images."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from coread.statistics.arrays import Groups, Integers, flags, members_of, same_length
from coread.statistics.errors import NotEstimable
from coread.statistics.extras import scipy_part


@dataclass(frozen=True, slots=True)
class ClusteredMcNemar:
    """How often only one of two readers is right, by image, and the two-sided tests over patients."""

    only_first: int
    only_second: int
    patients: int
    unequal_patients: int
    """Patients on whose images one of the two is right more often than the other."""
    chi_square: float
    """Of Obuchowski (1998), with one degree of freedom."""
    p_value: float
    p_exact: float
    """All ways of swapping the two readers within whole patients: exact for few patients, too."""


def clustered_mcnemar(first_right: ArrayLike, second_right: ArrayLike, groups: Groups) -> ClusteredMcNemar:
    """Compare two readers whose images come several from one patient (Obuchowski 1998, Statistics in Medicine 17).

    With d the surplus of the first reader's right answers in each of m patients, the statistic is
    (m - 1) / m * (sum of d) squared / sum of d squared: the difference of the two shares over its variance by patient,
    whatever the images of a patient have in common. The exact value swaps the readers within whole patients; with one
    image a patient it is McNemar's exact test. Raises NotEstimable for fewer than two patients.
    """
    one, other = flags(first_right, what="first_right"), flags(second_right, what="second_right")
    same_length(one, other)
    member, patients = members_of(groups, len(one))
    if patients < 2:
        raise NotEstimable(f"a paired test over patients needs at least two, got {patients}.")
    surplus = np.bincount(member, weights=one.astype(np.float64) - other, minlength=patients).astype(np.int64)
    unequal = surplus[surplus != 0]
    only = int((one & ~other).sum()), int((~one & other).sum())
    if len(unequal) == 0:
        return ClusteredMcNemar(*only, patients, 0, 0.0, 1.0, 1.0)
    statistic = (patients - 1) / patients * float(unequal.sum()) ** 2 / float((unequal**2).sum())
    p_value = float(scipy_part("special").chdtrc(1, statistic))
    return ClusteredMcNemar(*only, patients, len(unequal), statistic, p_value, _swapped(unequal))


def _swapped(surplus: Integers) -> float:
    """Return the share of all sign patterns whose sum is as far from zero; the sum's distribution is convolved."""
    sizes = np.abs(surplus)
    chances = np.ones(1)
    for size in sizes:
        longer = np.zeros(len(chances) + 2 * int(size))
        longer[: len(chances)] += chances / 2
        longer[2 * int(size) :] += chances / 2
        chances = longer
    sums = np.arange(len(chances)) - int(sizes.sum())
    return min(1.0, float(chances[np.abs(sums) >= abs(int(surplus.sum()))].sum()))
