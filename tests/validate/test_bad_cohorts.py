"""Cohorts as they come: nothing read, nothing positive, files damaged or missing; the report says what happened."""

from pathlib import Path
from typing import Any

import pytest

from coread.readers.registry import InstalledReader
from coread.validate.cohort_writing import write_cohort
from coread.validate.errors import BadCohort, CohortChanged
from coread.validate.measure_settings import MeasureSettings
from coread.validate.validation import ValidationPlan, validate_reader
from tests.acceptance.conftest import coread
from tests.validate.cohorts import WRAP, png, square_picture
from tests.validate.test_validation import page_of

QUICK = ValidationPlan(measure=MeasureSettings(repeats=50))


def row(name: str, truth: int = 1) -> dict[str, Any]:
    box = [["square", 80, 40, 84, 44]] if truth else []
    return {
        "case_id": name,
        "patient_id": name,
        "files": f"{name}.png",
        "truth:square": truth,
        "boxes": box,
        "site": "a",
    }


def test_a_cohort_in_which_every_case_is_refused_has_a_report(tiny: InstalledReader, tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        (tmp_path / f"{name}.png").write_bytes(png(square_picture(0.9)[:40, :40]))
    write_cohort(tmp_path, {"name": "Refused", "wrap": WRAP}, [row(name) for name in ("one", "two", "three")])
    report = validate_reader(tiny.folder, tmp_path, tmp_path / "run", plan=QUICK)
    assert report["cases"]["outcomes"]["not_analysed"] == 3
    assert report["cases"]["read_share"]["value"] == 0.0
    assert [(item["reason"], item["n"]) for item in report["refusals"]] == [("IMAGE_TOO_SMALL", 3)]
    output = report["outputs"]["square"]
    for body in (output["discrimination"]["auc"], output["calibration"], output["conformal"], output["decision"]):
        assert "no case with a known truth was read" in body["not_estimable"]
    assert output["operating_points"]["balanced"]["sensitivity_with_refusals"]["value"] == 0.0
    assert report["boxes"]["square"]["found_centre"]["value"] == 0.0  # lesions of refused pictures are missed
    text = page_of(tmp_path / "run" / "report.html").text
    assert "3 not analysed" in text
    assert (tmp_path / "run" / "report.pdf").stat().st_size > 1000


def test_damaged_images_are_counted_beside_those_that_were_read(tiny: InstalledReader, tmp_path: Path) -> None:
    whole = png(square_picture(0.9))
    for name, data in {"good": whole, "cut": whole[:50], "empty": b"", "text": b"not a picture"}.items():
        (tmp_path / f"{name}.png").write_bytes(data)
    write_cohort(tmp_path, {"name": "Damaged", "wrap": WRAP}, [row(name) for name in ("good", "cut", "empty", "text")])
    report = validate_reader(tiny.folder, tmp_path, tmp_path / "run", plan=QUICK)
    assert report["cases"]["outcomes"] == {"positive": 1, "negative": 0, "not_analysed": 3, "failed": 0}
    (refusal,) = report["refusals"]
    assert (refusal["reason"], refusal["n"]) == ("UNREADABLE", 3)
    assert "can be read" in refusal["meaning"]
    assert "AUC not estimable: no negatives" in page_of(tmp_path / "run" / "report.html").text


def test_a_missing_file_ends_the_run_before_it_begins_and_is_named(tiny: InstalledReader, tmp_path: Path) -> None:
    (tmp_path / "here.png").write_bytes(png(square_picture(0.9)))
    write_cohort(tmp_path, {"name": "Missing", "wrap": WRAP}, [row("here"), row("gone")])
    answer = coread("validate", tiny.folder, tmp_path, "--out", tmp_path / "run")
    assert answer.code == 5
    assert "gone.png" in answer.err
    assert "Traceback" not in answer.err
    assert not (tmp_path / "run" / "report.json").exists()
    assert not (tmp_path / "frozen.json").exists()


def test_a_file_that_goes_away_after_freezing_is_no_refusal_of_the_reader(
    tiny: InstalledReader, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.png").write_bytes(png(square_picture(0.9)))
    write_cohort(tmp_path, {"name": "Gone", "wrap": WRAP}, [row("one"), row("two")])
    validate_reader(tiny.folder, tmp_path, tmp_path / "run", plan=QUICK)
    (tmp_path / "two.png").unlink()
    with pytest.raises((BadCohort, CohortChanged), match=r"two\.png"):
        validate_reader(tiny.folder, tmp_path, tmp_path / "again", plan=QUICK)
    assert not (tmp_path / "again" / "report.json").exists()


def test_a_cohort_of_negatives_has_specificity_strata_and_false_alerts(tiny: InstalledReader, tmp_path: Path) -> None:
    names = [f"n{i:02d}" for i in range(24)]
    for place, name in enumerate(names):
        (tmp_path / f"{name}.png").write_bytes(png(square_picture(0.9 if place % 6 == 0 else 0.6, seed=place)))
    rows = [row(name, 0) | {"site": "north" if place < 12 else "south"} for place, name in enumerate(names)]
    write_cohort(tmp_path, {"name": "Negatives", "wrap": WRAP, "prevalence": {"square": 0.1}}, rows)
    plan = ValidationPlan(measure=MeasureSettings(repeats=50, fewest=10))
    report = validate_reader(tiny.folder, tmp_path, tmp_path / "run", plan=plan)
    output = report["outputs"]["square"]
    assert output["operating_points"]["balanced"]["specificity"]["value"] == pytest.approx(20 / 24, abs=1e-6)
    (test,) = output["subgroups"]["tests"]
    assert test["metric"] == "specificity"
    assert output["operating_points"]["balanced"]["at_prevalence"] is None  # PPV needs a sensitivity
    assert "no positives" in page_of(tmp_path / "run" / "report.html").text
