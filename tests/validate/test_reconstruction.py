"""A reader of raw data measured on drawn heads, through the installed package and the engine's own path."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from coread.app.cli.exit_codes import ExitCode
from coread.app.cli.main import app
from coread.domain.errors import InvalidRecord
from coread.domain.results import Reading, ReadResult
from coread.engine.run import run_reader
from coread.imaging.mr.files import ismrmrd
from coread.imaging.mr.files.opened import open_raw
from coread.imaging.mr.fully_sampled import undersampled
from coread.imaging.mr.masks import MaskKind, MaskPlan
from coread.phantoms.reference.registry import made
from coread.phantoms.reference.scan import Setup
from coread.validate.errors import BadCohort, OtherRun
from coread.validate.reconstruction import ReconstructionPlan, validate_reconstructions
from coread.validate.reconstruction_runs import JOURNAL_FILE, NO_IMAGES, undersampling_of

RUN = CliRunner()
TRUTH = ("acceleration=1", "slices=1", "matrix=96", "oversampling=1", "dicom=false", "images=false")
FOUR = undersampling_of("equispaced:4:0.1")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("raw")
    for seed in (1, 2):
        made("mr-raw", TRUTH, Setup(seed=seed)).write(root / f"p{seed}")
    folder = root / "cohort"
    folder.mkdir()
    (folder / "cohort.toml").write_text('name = "Drawn heads"\nroot = ".."\nsimulated = true\n')
    (folder / "cohort.csv").write_text("case_id,patient_id,files\n1,P1,p1/kspace.h5\n2,P2,p2/kspace.h5\n")
    return folder


def test_a_mask_is_read_as_the_command_line_writes_it() -> None:
    assert undersampling_of("random:8").text == "random:8:0.04:0"
    assert undersampling_of(FOUR.text) == undersampling_of("equispaced:4:0.1:0")
    masks = [undersampling_of(text) for text in ("equispaced:4", "equispaced:4:0.1", "equispaced:4:0.08:3")]
    assert [mask.name for mask in masks] == ["equispaced 4x", "equispaced 4x centre 0.1", "equispaced 4x seed 3"]
    for twice in ((masks[0], undersampling_of("equispaced:4:0.08")), ()):
        with pytest.raises(InvalidRecord, match="only once"):
            ReconstructionPlan(twice)
    for wrong in ("spiral:4", "random", "random:four", "random:4:0.1:2:3", "random:0.5"):
        with pytest.raises(InvalidRecord):
            undersampling_of(wrong)


def test_a_run_is_measured_reported_and_gone_on_with(cohort: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    answer = RUN.invoke(
        app, ["validate", "mr_reconstruction", str(cohort), "--out", str(out), "--mask", FOUR.text, "--json"]
    )
    assert answer.exit_code == ExitCode.OK, answer.output
    report = json.loads(answer.stdout)
    body = report["masks"][FOUR.name]
    assert (body["read"], body["cases"], body["slices"]) == (2, 2, 2)
    quality = {method: body["methods"][method]["psnr"]["mean"] for method in ("reader", "zero-filled")}
    assert quality["reader"] > quality["zero-filled"] + 2
    assert "2 patients" in body["methods"]["reader"]["psnr"]["not_estimable"], "no interval from two patients"
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "SIMULATED raw data" in page
    assert page.count("<img") >= 4
    kept = (out / JOURNAL_FILE).read_bytes()
    (out / JOURNAL_FILE).write_bytes(kept[: kept.rindex(b"\n", 0, -1) + 20])  # killed while the last case was written
    again = validate_reconstructions("mr_reconstruction", cohort, out, plan=ReconstructionPlan((FOUR,), images=False))
    assert again["masks"][FOUR.name]["methods"] == body["methods"]
    with pytest.raises(OtherRun, match="masks"):
        validate_reconstructions("mr_reconstruction", cohort, out, plan=ReconstructionPlan(images=False))


def test_raw_data_that_are_no_reference_are_named(cohort: Path, tmp_path: Path) -> None:
    fewer = undersampled(open_raw(cohort.parent / "p1" / "kspace.h5"), MaskPlan(MaskKind.RANDOM, 2.0), 1)
    ismrmrd.write(tmp_path / "fewer.h5", fewer)
    (tmp_path / "cohort.toml").write_text('name = "Sparse"\nroot = "."\n')
    (tmp_path / "cohort.csv").write_text("case_id,patient_id,files\n1,P1,fewer.h5\n")
    with pytest.raises(BadCohort, match="no reference"):
        validate_reconstructions("mr_reconstruction", tmp_path, tmp_path / "run")


def test_a_damaged_file_is_a_case_that_was_not_analysed(cohort: Path, tmp_path: Path) -> None:
    whole = (cohort.parent / "p1" / "kspace.h5").read_bytes()
    (tmp_path / "cut.h5").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "cohort.toml").write_text('name = "Cut"\nroot = "."\n')
    (tmp_path / "cohort.csv").write_text("case_id,patient_id,files\n1,P1,cut.h5\n")
    answer = RUN.invoke(app, ["validate", "mr_reconstruction", str(tmp_path), "--out", str(tmp_path / "run")])
    assert answer.exit_code == ExitCode.NOT_ANALYSED, answer.output


def test_a_result_without_images_is_a_case_that_failed_and_the_run_goes_on(
    cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_images(*given: Any) -> Reading:
        reading = run_reader(*given)
        assert isinstance(reading.ending, ReadResult)
        return replace(reading, ending=replace(reading.ending, images=(), maps=(), pictures=()))

    monkeypatch.setattr("coread.validate.reconstruction_runs.run_reader", without_images)
    one = tmp_path / "one"
    one.mkdir()
    (one / "cohort.toml").write_text(f'name = "One head"\nroot = "{cohort.parent}"\nsimulated = true\n')
    (one / "cohort.csv").write_text("case_id,patient_id,files\n1,P1,p1/kspace.h5\n")
    report = validate_reconstructions("mr_reconstruction", one, tmp_path / "run", plan=ReconstructionPlan((FOUR,)))
    assert report["cases"]["outcomes"]["failed"] == 1
    assert report["refusals"][0]["reason"] == NO_IMAGES
    assert report["masks"][FOUR.name]["read"] == 0
