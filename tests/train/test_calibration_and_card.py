"""Calibration agrees with a reference fit; a written card reads back as the same card."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from coread.domain.cards import Estimate, InputContract, OperatingPoint, OutputSpec, ReaderCard, ReaderKind, Resources
from coread.domain.codes import Code
from coread.readers.card_file import read_card
from coread.statistics.calibration import fit_platt
from coread.train.card_text import card_toml


def test_platt_scaling_agrees_with_logistic_regression_on_many_cases() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(size=4000) * 2
    truth = random.random(4000) < 1 / (1 + np.exp(-(0.6 * logits - 1.0)))
    fitted = fit_platt(logits, truth)
    reference = LogisticRegression(C=np.inf).fit(logits[:, None], truth)
    assert (fitted.a, fitted.b) == pytest.approx((reference.coef_[0, 0], reference.intercept_[0]), abs=0.01)


def test_platt_scaling_stays_finite_when_a_threshold_separates_the_classes() -> None:
    fitted = fit_platt(np.array([-2.0, -1.0, 1.0, 2.0]), np.array([False, False, True, True]))
    assert 0 < fitted.a < 100
    assert np.isfinite(fitted.b)


def test_a_useless_score_gets_the_base_rate_and_keeps_its_order() -> None:
    truth = np.tile([True, False, False, False], 25)
    fitted = fit_platt(np.where(truth, -1.0, 1.0), truth)
    assert fitted.a > 0
    assert fitted.probabilities(np.array([0.0]))[0] == pytest.approx(0.25, abs=0.02)


def test_a_written_card_reads_back_equal(tmp_path: Path) -> None:
    estimate = Estimate(0.9, 0.8, 0.95, 100)
    point = OperatingPoint("balanced", 0.25, "largest sum", estimate, estimate, 'a "made-up" set')
    output = OutputSpec(
        "effusion", "Effusion", Code("60046008", "SCT", "Pleural effusion"), None, False, estimate, (point,), "balanced"
    )
    card = ReaderCard(
        reader_id="made_up",
        name="Made up",
        version="0.1.0",
        kind=ReaderKind.DETECTION,
        intended_use="For this test.",
        not_for="Anything else.",
        research_use=True,
        input=InputContract(("CR",), (), (), ("PA",), 16.0, None, 64, 64, 1000, 1, 2),
        outputs=(output,),
        training_data=("nothing at all, but a line that is long enough to be wrapped over lines",),
        training_licence="none",
        validation="none",
        limits=("none",),
        resources=Resources(100, 1.5),
    )
    path = tmp_path / "card.toml"
    path.write_text(card_toml(card, "made up"), encoding="utf-8")
    assert read_card(path) == card
