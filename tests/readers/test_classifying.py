"""From cross-fitted answers to thresholds on a card, and from card and report to the clinicians' page."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coread.domain.cards import Estimate, OperatingPoint, OutputSpec
from coread.readers.classifying.packaging import Answers, calibrated
from coread.readers.classifying.words import page_of
from coread.readers.diabetic_retinopathy.words import CARD, OUTPUT, PAGE


def answers(seed: int, images: int = 200) -> Answers:
    random = np.random.default_rng(seed)
    truth = random.random(images) < 0.4
    truth[:2] = (True, False)
    return Answers(random.normal(size=images) + 2.5 * truth, truth, [str(number) for number in range(images)])


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_the_rules_hold_on_the_answers_that_they_were_chosen_on(seed: int) -> None:
    said = answers(seed)
    found = calibrated(OUTPUT, said)
    probabilities = found.curve.probabilities(said.logits)
    assert (probabilities[said.truth] >= found.thresholds["rule_out"]).mean() >= 0.94
    assert (probabilities[~said.truth] < found.thresholds["rule_in"]).mean() >= 0.94 - 1e-9
    assert found.points["rule_out"][0].value >= 0.94
    assert found.calibration_error < 0.2


def test_members_that_agree_only_partly_give_a_steeper_curve_and_the_same_thresholds() -> None:
    said = answers(5)
    alone, mean = calibrated(OUTPUT, said), calibrated(OUTPUT, replace(said, members=4, agreement=0.6))
    assert mean.curve.a == pytest.approx(alone.curve.a / 0.7)
    assert (mean.single, mean.thresholds) == (alone.curve, alone.thresholds)
    assert mean.as_json()["platt_of_one_member"] == alone.as_json()["platt"]


def test_what_training_json_says_are_the_numbers() -> None:
    said = answers(3)
    body = calibrated(OUTPUT, said).as_json()
    assert body["images"] == len(said.truth)
    assert body["positives"] == int(said.truth.sum())
    assert 0.9 < body["auc"] <= 1


@pytest.mark.parametrize("refused", [0, 7])
def test_the_page_says_every_limit_and_every_refusal(refused: int) -> None:
    estimate = Estimate(0.9, 0.8, 0.95, 80)
    points = tuple(OperatingPoint(name, 0.5, "by hand", estimate, None, "here") for name in OUTPUT.rules)
    spec = OutputSpec(OUTPUT.key, OUTPUT.name, OUTPUT.concept, OUTPUT.site, False, estimate, points, "rule_in")
    share = {"value": 0.9, "low": 0.8, "high": 0.97, "n": 80}
    report = {
        "cases": {
            "to_be_read": 80, "to_be_refused": refused, "read_share": share, "refused_share_of_unfit": share,
        },
        "refusals": [{"meaning": "Image quality is too low", "n": refused}] if refused else [],
        "outputs": {OUTPUT.key: {"calibration": {"ece": {"value": 0.031}}}},
    }  # fmt: skip
    page = page_of(replace(CARD, outputs=(spec,)), report, PAGE)
    assert all(limit in page for limit in CARD.limits)
    assert CARD.not_for in page
    assert "0.031" in page
    assert ("Image quality is too low (7)" in page) == bool(refused)
    assert ("It refused none." in page) == (not refused)
