"""Calibrated probabilities: always in [0, 1], in the order of the logits, and the same after a round trip."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coread.models.calibration import (
    Beta,
    Calibration,
    Isotonic,
    Platt,
    calibration_from_json,
    calibration_to_json,
    sigmoid,
)
from coread.models.errors import BadCalibration

NUMBERS = st.floats(min_value=-1e6, max_value=1e6, allow_nan=False)
PLATT = st.builds(Platt, st.floats(min_value=1e-3, max_value=1e3), NUMBERS)


@st.composite
def isotonic(draw: st.DrawFn) -> Isotonic:
    logits = draw(st.lists(NUMBERS, min_size=1, max_size=8, unique=True))
    values = draw(st.lists(st.floats(0, 1), min_size=len(logits), max_size=len(logits)))
    return Isotonic(tuple(sorted(logits)), tuple(sorted(values)))


SLOPES = st.floats(min_value=0.0, max_value=100.0)
BETA = st.builds(Beta, SLOPES, st.floats(min_value=1e-3, max_value=100.0), st.floats(-100.0, 100.0))
CURVES = st.one_of(PLATT, isotonic())


@given(CURVES, st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_a_curve_stays_in_the_unit_interval_and_keeps_order(curve: Platt | Isotonic, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert 0.0 <= curve.probability(low) <= curve.probability(high) <= 1.0


@given(BETA, st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_beta_calibration_keeps_order_but_for_rounding(curve: Beta, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert 0.0 <= curve.probability(low) <= curve.probability(high) + 1e-12
    assert curve.probability(high) <= 1.0


@given(st.floats(-30, 30), st.floats(0.1, 5), st.floats(0.1, 5), st.floats(-3, 3))
def test_beta_calibration_is_the_published_formula(logit: float, a: float, b: float, c: float) -> None:
    said = 1 / (1 + math.exp(-logit))
    if not 0.0 < said < 1.0:
        return
    published = 1 / (1 + 1 / (math.exp(c) * said**a / (1 - said) ** b))
    assert Beta(a, b, c).probability(logit) == pytest.approx(published, rel=1e-6, abs=1e-9)


@given(st.lists(st.one_of(PLATT, isotonic(), BETA), max_size=4))
def test_calibration_survives_the_file(curves: list[Platt | Isotonic | Beta]) -> None:
    calibration = Calibration(tuple((f"key_{index}", curve) for index, curve in enumerate(curves)))
    assert calibration_from_json(calibration_to_json(calibration)) == calibration


def test_temperature_is_platt_without_offset() -> None:
    text = '{"schema": 1, "method": "temperature", "outputs": {"a": {"temperature": 2.0}}}'
    assert calibration_from_json(text).probability("a", 1.0) == pytest.approx(1 / (1 + math.exp(-0.5)))


def test_sigmoid_has_no_overflow() -> None:
    assert sigmoid(-1e9) == 0.0
    assert sigmoid(1e9) == 1.0
    assert sigmoid(0.0) == 0.5
    assert (sigmoid(-math.inf), sigmoid(math.inf)) == (0.0, 1.0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"schema": 2, "method": "platt", "outputs": {}}',
        '{"schema": 1, "method": "magic", "outputs": {"a": {}}}',
        '{"schema": 1, "method": "platt", "outputs": {"a": {"a": 1}}}',
        '{"schema": 1, "method": "platt", "outputs": {"a": {"a": -1, "b": 0}}}',
        '{"schema": 1, "method": "platt", "outputs": {"a": {"a": NaN, "b": 0}}}',
        '{"schema": 1, "method": "temperature", "outputs": {"a": {"temperature": 0}}}',
        '{"schema": 1, "method": "beta", "outputs": {"a": {"a": 0, "b": 0, "c": 1}}}',
        '{"schema": 1, "method": "beta", "outputs": {"a": {"a": -1, "b": 2, "c": 1}}}',
        '{"schema": 1, "method": "by output", "outputs": {"a": {"a": 1, "b": 0}}}',
        '{"schema": 1, "method": "by output", "outputs": {"a": {"method": "by output", "a": 1, "b": 0}}}',
        '{"schema": 1, "method": "isotonic", "outputs": {"a": {"logits": [1, 0], "probabilities": [0, 1]}}}',
        '{"schema": 1, "method": "isotonic", "outputs": {"a": {"logits": [0, 1], "probabilities": [1, 0]}}}',
        '{"schema": 1, "method": "isotonic", "outputs": {"a": {"logits": [], "probabilities": []}}}',
    ],
)
def test_a_calibration_that_cannot_be_used_is_refused(text: str) -> None:
    with pytest.raises(BadCalibration):
        calibration_from_json(text)


def test_an_unknown_output_or_nan_has_no_probability() -> None:
    calibration = Calibration((("a", Platt(1.0, 0.0)),))
    with pytest.raises(BadCalibration, match="'b'"):
        calibration.probability("b", 0.0)
    with pytest.raises(BadCalibration, match="not a number"):
        calibration.probability("a", math.nan)
