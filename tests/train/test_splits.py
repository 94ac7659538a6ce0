"""Nothing of one patient stands in two parts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coread.train.errors import Leak
from coread.train.splits import check_no_leak, patient_folds


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 25), min_size=12, max_size=80), st.integers(2, 4), st.integers(0, 9))
def test_folds_keep_patients_and_shared_pictures_together(numbers: list[int], folds: int, seed: int) -> None:
    patients = [str(number) for number in numbers]
    pictures = [str(index if index % 7 else 0) for index in range(len(numbers))]
    labels = np.array([[number % 2 == 0, number % 3 == 0] for number in numbers])
    found = patient_folds(patients, labels, folds=folds, seed=seed, images=pictures)
    check_no_leak([np.flatnonzero(found == fold) for fold in range(folds)], patients, pictures)
    assert np.array_equal(found, patient_folds(patients, labels, folds=folds, seed=seed, images=pictures))


def test_folds_hold_about_the_same_share_of_each_label() -> None:
    random = np.random.default_rng(0)
    patients = [str(i // 2) for i in range(600)]
    labels = np.column_stack([random.random(600) < 0.1, random.random(600) < 0.5])
    folds = patient_folds(patients, labels, folds=5, seed=1)
    per_fold = np.array([labels[folds == fold].sum(axis=0) for fold in range(5)])
    assert per_fold.min(axis=0)[0] >= 0.7 * labels[:, 0].sum() / 5
    assert np.bincount(folds).min() > 90


def test_a_patient_in_two_parts_is_a_leak() -> None:
    with pytest.raises(Leak, match="patient b"):
        check_no_leak([np.array([0, 1]), np.array([2])], ["a", "b", "b"])


def test_a_picture_under_two_names_is_a_leak() -> None:
    with pytest.raises(Leak, match="picture"):
        check_no_leak([np.array([0]), np.array([1])], ["a", "b"], ["same", "same"])
