"""The clustered McNemar test: a published example, the definition of its paper as loops, all swaps, and its level."""

from itertools import product

import numpy as np
import pytest

from coread.statistics.clustered_pairs import clustered_mcnemar
from coread.statistics.confusion import mcnemar
from coread.statistics.errors import NotEstimable, UnsuitableData

BOTH = (0, 2, 3, 1, 2, 4, 3, 2, 1, 1, 2, 2, 3, 2, 0, 2, 2, 2, 2, 1, 2)
ONLY_PET = (0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
ONLY_SPECT = (2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 1, 0, 0, 0)
NEITHER = (1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0)
"""Parathyroid glands called normal by PET and by SPECT, 21 patients, in Obuchowski (1998).

The R package clust.bin.pair prints chi-square 2.8571 and p = 0.09097 for them.
"""


def glands() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows = [
        (pet, spect, f"patient {number}")
        for number, counts in enumerate(zip(BOTH, ONLY_PET, ONLY_SPECT, NEITHER, strict=True))
        for (pet, spect), count in zip(((1, 1), (1, 0), (0, 1), (0, 0)), counts, strict=True)
        for _ in range(count)
    ]
    pet, spect, patients = zip(*rows, strict=True)
    return np.array(pet), np.array(spect), np.array(patients)


def test_the_published_example_comes_out() -> None:
    found = clustered_mcnemar(*glands())
    assert (found.only_first, found.only_second, found.patients, found.unequal_patients) == (1, 7, 21, 6)
    assert found.chi_square == pytest.approx(2.8571, abs=5e-5)
    assert found.p_value == pytest.approx(0.09097, abs=5e-6)
    assert found.p_value > mcnemar(*glands()[:2]).p_mid  # patients are fewer than glands


def test_it_is_the_difference_of_shares_over_the_variance_by_patient() -> None:
    """Equations of Obuchowski (1998): variances and covariance of two shares around their common mean."""
    random = np.random.default_rng(5)
    for _ in range(20):
        patients = random.integers(0, 12, 40)
        first, second = random.random(40) < 0.6, random.random(40) < 0.5
        names = np.unique(patients)
        pooled = (first.mean() + second.mean()) / 2
        sizes = np.array([(patients == name).sum() for name in names])
        gaps = [
            np.array([right[patients == name].sum() for name in names]) - sizes * pooled for right in (first, second)
        ]
        factor = len(names) / (len(names) - 1) / 40**2
        variance = factor * ((gaps[0] ** 2).sum() + (gaps[1] ** 2).sum() - 2 * (gaps[0] * gaps[1]).sum())
        wanted = (first.mean() - second.mean()) ** 2 / variance
        assert clustered_mcnemar(first, second, patients).chi_square == pytest.approx(wanted)


def test_the_exact_value_counts_all_swaps_of_readers_within_patients() -> None:
    random = np.random.default_rng(6)
    for _ in range(10):
        patients = random.integers(0, 8, 30)
        first, second = random.random(30) < 0.7, random.random(30) < 0.5
        gaps = [int(first[patients == name].sum()) - int(second[patients == name].sum()) for name in range(8)]
        sums = [
            abs(sum(sign * gap for sign, gap in zip(signs, gaps, strict=True))) for signs in product((-1, 1), repeat=8)
        ]
        wanted = np.mean([value >= abs(sum(gaps)) for value in sums])
        assert clustered_mcnemar(first, second, patients).p_exact == pytest.approx(wanted)


def test_with_one_image_a_patient_it_is_the_plain_test() -> None:
    random = np.random.default_rng(7)
    first, second = random.random(50) < 0.8, random.random(50) < 0.6
    found, plain = clustered_mcnemar(first, second, np.arange(50)), mcnemar(first, second)
    assert (found.only_first, found.only_second) == (plain.only_first, plain.only_second)
    assert found.p_exact == pytest.approx(plain.p_exact)
    assert found.chi_square == pytest.approx(
        49 / 50 * (plain.only_first - plain.only_second) ** 2 / found.unequal_patients
    )


def test_copies_of_every_image_change_nothing() -> None:
    pet, spect, patients = glands()
    one, three = clustered_mcnemar(pet, spect, patients), clustered_mcnemar(*(np.tile(part, 3) for part in glands()))
    assert three.chi_square == pytest.approx(one.chi_square)
    assert three.p_exact == pytest.approx(one.p_exact)
    assert mcnemar(np.tile(pet, 3), np.tile(spect, 3)).p_exact < 0.01 < mcnemar(pet, spect).p_exact


def test_its_level_holds_where_the_plain_test_errs() -> None:
    """Two readers of the same skill; all four images of a patient are judged alike by each."""
    random = np.random.default_rng(8)
    patients = np.repeat(np.arange(60), 4)
    said = {"patients": 0, "swaps": 0, "images": 0}
    for _ in range(400):
        first, second = (np.repeat(random.random(60) < 0.7, 4) for _ in range(2))
        found = clustered_mcnemar(first, second, patients)
        said["patients"] += found.p_value < 0.05
        said["swaps"] += found.p_exact < 0.05
        said["images"] += mcnemar(first, second).p_exact < 0.05
    assert said["patients"] / 400 < 0.08
    assert said["swaps"] / 400 < 0.07
    assert said["images"] / 400 > 0.2


def test_readers_that_never_differ_and_single_patients() -> None:
    assert clustered_mcnemar([1, 0, 1], [1, 0, 1], ["a", "a", "b"]).p_value == 1.0
    swapped_within = clustered_mcnemar([1, 0, 1], [0, 1, 1], ["a", "a", "b"])
    assert (swapped_within.only_first, swapped_within.only_second, swapped_within.p_exact) == (1, 1, 1.0)
    with pytest.raises(NotEstimable, match="at least two"):
        clustered_mcnemar([1, 0], [0, 0], ["a", "a"])
    with pytest.raises(UnsuitableData, match="differ in length"):
        clustered_mcnemar([1, 0], [0], ["a", "b"])
