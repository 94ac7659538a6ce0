"""Calibration from predictions alone: chosen on patients it was not fitted on, and the same at run time."""

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from coread.domain.errors import Misconfigured
from coread.models.calibrating import CalibratePlan, calibrate_output, run_time_curve
from coread.models.calibration import calibration_from_json
from coread.models.calibration_folder import calibrate_run
from coread.models.errors import BadPredictions, BrokenLineage
from coread.models.lineage import read_record, write_record
from coread.models.predictions import FILE, OutputPredictions, read_predictions, write_predictions
from coread.statistics.calibration import FITS
from coread.statistics.thresholds import Rule
from tests.acceptance.conftest import coread

RULES = (("sensitivity_0_9", Rule.sensitivity(0.9)), ("youden", Rule.youden()))
PLAN = CalibratePlan(RULES, repeats=200)


def simulated(n: int = 600, *, prevalence: float = 0.3, seed: int = 1, sharp: float = 3.0) -> OutputPredictions:
    """Two cases a patient; the logits are ``sharp`` times too sure."""
    random = np.random.default_rng(seed)
    truth = random.random(n) < prevalence
    honest = np.log(prevalence / (1 - prevalence)) + random.normal(np.where(truth, 1.0, -1.0), np.sqrt(2))
    cases = tuple(f"c{k}" for k in range(n))
    return OutputPredictions("nodule", truth, sharp * honest, cases, tuple(f"p{k // 2}" for k in range(n)), 0)


def written(folder: Path, found: OutputPredictions, part: str = "tune") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        (case, patient, part, found.output, float(truth), float(logit))
        for case, patient, truth, logit in zip(found.cases, found.patients, found.truth, found.logits, strict=True)
    ]
    write_predictions(folder / FILE, rows)
    return folder


def silent(*_: object) -> None:
    pass


def test_calibration_mends_an_overconfident_network() -> None:
    done = calibrate_output(simulated(), PLAN)
    assert done.raw_error > 0.1
    assert done.error.value < 0.05
    assert done.error.low <= done.error.value <= done.error.high
    assert set(done.losses) == set(FITS)
    assert done.method == min(done.losses, key=lambda name: done.losses[name])
    assert done.patients == 300
    assert done.curve.probability(2.0) < 1 / (1 + np.exp(-2.0))


@given(st.sampled_from(sorted(FITS)), st.floats(min_value=-60, max_value=60), st.floats(min_value=0.5, max_value=5))
def test_the_run_time_gives_what_was_fitted(method: str, logit: float, sharp: float) -> None:
    found = simulated(200, sharp=sharp)
    curve = FITS[method](found.logits, found.truth)
    assert run_time_curve(curve).probability(logit) == pytest.approx(
        float(curve.probabilities(np.array([logit]))[0]), abs=1e-9
    )


def test_operating_points_keep_their_rule_on_the_probabilities_that_the_clinic_sees() -> None:
    found = simulated()
    done = calibrate_output(found, PLAN)
    for _, point in done.operating_points:
        called = np.array([done.curve.probability(float(logit)) >= point.threshold for logit in found.logits])
        assert called[found.truth].mean() == pytest.approx(point.accuracy.sensitivity.value)
        assert (~called)[~found.truth].mean() == pytest.approx(point.accuracy.specificity.value)
    assert dict(done.operating_points)["sensitivity_0_9"].accuracy.sensitivity.value >= 0.9


def test_an_alert_budget_is_kept_and_one_that_cannot_be_is_told() -> None:
    found = simulated(2000)
    budget = Rule.alerts(5, studies=200, prevalence=0.03)
    done = calibrate_output(found, CalibratePlan((("budget", budget),), repeats=100))
    point = dict(done.operating_points)["budget"]
    assert point.false_alerts_per_day is not None
    assert point.false_alerts_per_day.value <= 5
    assert (1 - point.accuracy.specificity.value) * 200 * 0.97 <= 5
    hard = Rule.specificity(0.9999999, confidence=0.99)
    told = calibrate_output(found, CalibratePlan((("hard", hard),), repeats=100))
    assert told.operating_points == ()
    assert told.unreachable[0][0] == "hard"


def test_a_curve_for_another_prevalence_is_calibrated_there() -> None:
    plan = CalibratePlan(RULES, repeats=100, methods=("platt",), to_prevalence=0.03)
    done = calibrate_output(simulated(6000), plan)
    there = simulated(40000, prevalence=0.03, seed=9, sharp=1.0)
    # The network saw 30 %: its logits carry that base rate, the cases come at 3 %.
    logits = 3.0 * (there.logits - np.log(0.03 / 0.97) + np.log(0.3 / 0.7))
    said: NDArray[np.float64] = np.array([done.curve.probability(float(v)) for v in logits])
    assert said.mean() == pytest.approx(there.truth.mean(), rel=0.15)
    assert done.prevalence is not None
    assert done.prevalence[1] == 0.03


def test_unsure_cases_are_refused_so_that_answers_are_seldom_wrong() -> None:
    done = calibrate_output(simulated(4000), CalibratePlan((), repeats=100, most_error=0.1))
    assert done.abstention is not None
    assert done.abstention.error.high <= 0.12
    assert 0 < done.abstention.accepted.value < 1
    few = calibrate_output(simulated(100), CalibratePlan((), repeats=100, most_error=0.001))
    assert few.abstention is None
    assert few.unreachable[0][0] == "abstention"
    with pytest.raises(BadPredictions, match="one prevalence"):
        calibrate_output(simulated(), CalibratePlan(RULES, repeats=100, most_error=0.1, to_prevalence=0.1))


def test_the_folder_holds_what_a_package_needs_and_a_record_that_leads_back(tmp_path: Path) -> None:
    run = written(tmp_path / "run", simulated())
    parent = write_record(run, "train", inputs={}, outputs=[FILE])
    done = calibrate_run(run, tmp_path / "out", PLAN, parts=("tune",), progress=silent)
    calibration = calibration_from_json((tmp_path / "out/calibration.json").read_bytes())
    assert calibration.curves == (("nodule", done.outputs[0].curve),)
    points = tomllib.loads((tmp_path / "out/operating_points.toml").read_text())["outputs"]["nodule"]
    assert [point["name"] for point in points["operating_points"]] == ["sensitivity_0_9", "youden"]
    assert points["conformal"]["coverage"] == 0.9
    assert (tmp_path / "out/reliability_nodule.png").read_bytes().startswith(b"\x89PNG")
    record = read_record(tmp_path / "out")
    assert (record.step, record.parents) == ("calibrate", (parent.digest,))
    with pytest.raises(Misconfigured, match="never changed"):
        calibrate_run(run, tmp_path / "out", PLAN, parts=("tune",), progress=silent)


def test_predictions_that_are_not_those_of_the_run_are_refused(tmp_path: Path) -> None:
    run = written(tmp_path / "run", simulated())
    write_record(run, "train", inputs={}, outputs=[FILE])
    written(run, simulated(seed=2))
    with pytest.raises(BrokenLineage):
        calibrate_run(run, tmp_path / "out", PLAN, parts=("tune",), progress=silent)
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".out*"))


def test_predictions_that_cannot_be_calibrated_say_why(tmp_path: Path) -> None:
    one_class = simulated()
    one_class.truth[:] = False
    endless = simulated()
    endless.logits[3] = np.inf
    twice = OutputPredictions("nodule", simulated(2).truth, np.zeros(2), ("a", "a"), ("p", "q"), 0)
    for name, found, said in (
        ("one", one_class, "one class"),
        ("inf", endless, "case 'c3'"),
        ("two", twice, "two rows"),
    ):
        with pytest.raises(BadPredictions, match=said):
            read_predictions(written(tmp_path / name, found) / FILE, ("tune",))
    with pytest.raises(BadPredictions, match="no part test; it has tune"):
        read_predictions(written(tmp_path / "part", simulated()) / FILE, ("test",))
    with pytest.raises(BadPredictions, match="is missing"):
        read_predictions(tmp_path / "nowhere.parquet", ("tune",))
    (tmp_path / "junk.parquet").write_bytes(b"junk")
    with pytest.raises(BadPredictions, match="no Parquet file"):
        read_predictions(tmp_path / "junk.parquet", ("tune",))


def test_the_command_answers_and_says_how_options_are_written(tmp_path: Path) -> None:
    run = written(tmp_path / "run", simulated())
    words = ("--alert-budget", "5/day", "--volume", "200/day", "--prevalence", "0.03", "--rule", "sensitivity=0.9")
    done = coread("calibrate", run, "--out", tmp_path / "out", *words, "--json")
    assert done.code == 0, done.err
    points = done.json()["outputs"]["nodule"]["operating_points"]
    assert points["alert_budget"]["false_alerts_per_day"]["value"] <= 5
    assert json.loads((tmp_path / "out/report.json").read_text())["outputs"]["nodule"]["n"] == 600
    for wrong, said in (
        (("--rule", "magic=1"), "unknown rule"),
        (("--rule", "ppv=0.5"), "--prevalence"),
        (("--alert-budget", "5/week", "--volume", "9/day", "--prevalence", "0.1"), "write 5/day"),
        (("--method", "magic"), "temperature"),
    ):
        refused = coread("calibrate", run, "--out", tmp_path / "other", *wrong)
        assert refused.code == 2
        assert said in " ".join(refused.err.split())
    assert not (tmp_path / "other").exists()
