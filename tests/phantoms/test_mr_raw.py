"""Raw data of a computed head: images from all lines are the stated ones, and every stated fault is found."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from coread.app.cli.main import app
from coread.domain.reasons import ReasonCode
from coread.imaging.errors import ImagingRefused
from coread.imaging.header import scan_header
from coread.imaging.mr.checks import CheckLimits, checked
from coread.imaging.mr.files.opened import open_raw
from coread.imaging.mr.fourier import to_image
from coread.phantoms.mr_raw import FILE, RawTruth, make
from coread.phantoms.reference.errors import BadTruth
from coread.phantoms.reference.objects import ReferenceSeries
from coread.phantoms.reference.scan import Setup

SMALL = RawTruth(matrix=96, slices=2, coils=6)
SETUP = Setup(spacing_mm=(6.0, 2.5, 2.5))


def test_all_lines_give_the_stated_images_at_their_place() -> None:
    made = make(replace(SMALL, acceleration=1, signal_to_noise=200), Setup(orientation="17"))
    assert made.kspace is not None
    series = made.visits[0].series[0]
    assert isinstance(series, ReferenceSeries)
    coils = to_image(made.kspace.samples[0, :, :, 0])
    image = np.sqrt((np.abs(coils) ** 2).sum(axis=1))[..., 48:144]  # half of the read-out is outside the field
    assert made.kspace.geometry.affine == series.grid.geometry.affine
    assert np.abs(image - series.voxels).mean() < 0.02 * series.voxels.max()
    again = make(made.truth, made.setup).kspace
    assert again is not None
    assert np.array_equal(again.samples, made.kspace.samples)


def test_the_command_writes_a_file_an_object_and_the_truth(tmp_path: Path) -> None:
    out = tmp_path / "out"
    truth = ["matrix=96", "slices=2", "coils=6", "dead_coil=3", "spiked_lines=2", "acceleration=3"]
    words = ["phantom", "mr-raw", *(word for one in truth for word in ("--truth", one)), "--out", str(out), "--json"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    visit = document["examinations"][0]
    (wrapped,) = (out / visit["series"][1]["folder"]).glob("*.dcm")
    known = scan_header(wrapped)
    assert known.series_description.startswith("SYNTHETIC Raw k-space FLAIR")
    assert "SYNTHETIC" in known.patient_name
    assert known.series_instance_uid == visit["series"][1]["series_instance_uid"]
    assert known.study_instance_uid == visit["study_instance_uid"]
    from_file, from_object = open_raw(out / visit["kspace"]), open_raw(wrapped)
    assert np.array_equal(from_file.samples, from_object.samples)
    assert from_file.header.synthetic
    assert from_file.noise is not None
    assert np.flatnonzero(from_file.mask[0, 0, 0]).tolist() == visit["lines"]
    assert from_file.acceleration() == pytest.approx(visit["acceleration"])
    found = checked(from_file)
    assert [coil + 1 for coil in found.dropped_coils] == visit["dead_coils"]
    assert [[k, line] for _, k, _, line in found.dropped_lines] == visit["spiked_lines"]


def test_broken_lines_and_partial_fourier_are_where_the_truth_says() -> None:
    made = make(replace(SMALL, broken_lines=3, partial_fourier=0.75, acceleration=2, images=False), SETUP)
    assert made.kspace is not None
    assert not made.kspace.mask[..., :24].any()
    found = checked(made.kspace, CheckLimits(most_bad_lines=0.2)).dropped_lines
    assert [[k, line] for _, k, _, line in found] == made.visits[0].facts["broken_lines"]


def test_a_file_that_is_cut_is_refused(tmp_path: Path) -> None:
    make(replace(SMALL, cut_percent=30, images=False, dicom=False), SETUP).write(tmp_path / "out")
    with pytest.raises(ImagingRefused) as caught:
        open_raw(tmp_path / "out" / FILE)
    assert caught.value.reason.code is ReasonCode.TRUNCATED


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(BadTruth):
        RawTruth(coils=4, dead_coil=5)
    with pytest.raises(BadTruth):
        make(SMALL, Setup(tilt_degrees=5))
    with pytest.raises(BadTruth):
        make(RawTruth(matrix=64, slices=1, spiked_lines=60, broken_lines=60), SETUP)
