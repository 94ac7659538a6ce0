"""The curve of a mean of members, made from single members, is the one that the mean itself would have got."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coread.statistics.calibration import Platt, fit_platt
from coread.statistics.ensembles import agreement_of, for_mean_of
from coread.statistics.errors import NotEstimable, UnsuitableData
from coread.statistics.reliability import expected_calibration_error

MEMBERS = 4


def members_said(agreement: float, *, seed: int, cases: int = 6000) -> tuple[np.ndarray, np.ndarray]:
    """Return logits (MEMBERS, cases) that share a part of their error, and the truth (cases,)."""
    random = np.random.default_rng(seed)
    truth = random.random(cases) < 0.3
    shared = random.normal(size=cases) * math.sqrt(agreement)
    own = random.normal(size=(MEMBERS, cases)) * math.sqrt(1 - agreement)
    return 2.2 * truth - 0.7 + shared + own, truth


@settings(max_examples=10, deadline=None)
@given(st.floats(0.2, 0.95), st.integers(0, 1000))
def test_the_mean_is_calibrated_without_having_been_seen(agreement: float, seed: int) -> None:
    said, truth = members_said(agreement, seed=seed)
    single = fit_platt(said[0], truth)
    found = agreement_of(said[0], said[1], truth)
    assert found == pytest.approx(agreement, abs=0.04)
    made = for_mean_of(single, MEMBERS, agreement=found, prevalence=float(truth.mean()))
    mean = said.mean(axis=0)
    assert made.a == pytest.approx(fit_platt(mean, truth).a, rel=0.12)
    assert expected_calibration_error(truth, made.probabilities(mean)) < 0.025


def test_the_curve_of_single_members_is_too_flat_for_their_mean() -> None:
    said, truth = members_said(0.4, seed=1)
    mean = said.mean(axis=0)
    single = fit_platt(said[0], truth)
    made = for_mean_of(single, MEMBERS, agreement=0.4, prevalence=float(truth.mean()))
    flat = expected_calibration_error(truth, single.probabilities(mean))
    assert flat > 0.04 > expected_calibration_error(truth, made.probabilities(mean))


@given(st.floats(0.05, 3), st.floats(-3, 3), st.floats(0.01, 0.99), st.floats(0, 1), st.integers(1, 9))
def test_even_evidence_stays_at_the_prevalence(a: float, b: float, prevalence: float, agreement: float, m: int) -> None:
    base = math.log(prevalence / (1 - prevalence))
    made = for_mean_of(Platt(a, b), m, agreement=agreement, prevalence=prevalence)
    even = (base - b) / a
    assert made.a * even + made.b == pytest.approx(base, abs=1e-6 * (1 + abs(made.a * even)))
    assert made.a >= a - 1e-12


@given(st.floats(0.1, 2), st.floats(-2, 2))
def test_one_member_or_full_agreement_changes_nothing(a: float, b: float) -> None:
    for members, agreement in ((1, 0.3), (5, 1.0)):
        made = for_mean_of(Platt(a, b), members, agreement=agreement, prevalence=0.2)
        assert made == Platt(a, b)


def test_what_cannot_be_estimated_is_refused() -> None:
    said, truth = members_said(0.5, seed=3, cases=40)
    truth[:] = False
    truth[:5] = True
    with pytest.raises(NotEstimable, match="20 cases of each class"):
        agreement_of(said[0], said[1], truth)
    truth[:20] = True
    with pytest.raises(UnsuitableData, match="the same of every case"):
        agreement_of(np.zeros(40), said[1], truth)
    with pytest.raises(UnsuitableData, match="members is at least 1"):
        for_mean_of(Platt(1, 0), 0, agreement=0.5, prevalence=0.5)
