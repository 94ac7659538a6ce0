"""``coread volume`` as it is typed."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from coread.app.cli.exit_codes import ExitCode
from coread.app.cli.main import app
from coread.domain.geometry import Geometry, affine_of
from coread.imaging.nifti import read_nifti
from coread.imaging.resampling import is_sheared
from coread.phantoms.ct import ct_affine, ct_voxels
from tests.imaging.made_series import SMALL, mr_slices, saved, slices


def run(*words: object) -> tuple[ExitCode, str, str]:
    done = CliRunner().invoke(app, ["volume", *map(str, words)])
    return ExitCode(done.exit_code), done.stdout, done.stderr


def info(*words: object) -> tuple[ExitCode, dict[str, Any]]:
    code, out, _ = run("info", *words, "--json")
    document: dict[str, Any] = json.loads(out)
    return code, document


def test_info_tells_how_a_series_is_understood(tmp_path: Path) -> None:
    saved(tmp_path, slices(replace(SMALL, tilt_degrees=15.0)))
    (tmp_path / "notes.txt").write_text("no image")
    code, document = info(tmp_path)
    assert code is ExitCode.OK
    (series,) = document["series"]
    (volume,) = series["volumes"]
    assert volume["is"] == "volume"
    assert volume["shape"] == [7, 12, 10]
    assert volume["spacing_mm"] == [2.5, 1.5, 1.2]
    assert volume["tilt_degrees"] == pytest.approx(15.0, abs=0.01)
    assert volume["gaps_mm"] == [{"mm": pytest.approx(2.41), "times": 6}]
    assert (volume["unit"], volume["plane"]) == ("[hnsf'U]", "oblique axial")
    assert np.array(volume["affine_lps_mm"]) == pytest.approx(
        ct_affine(replace(SMALL, tilt_degrees=15.0))[:3], abs=1e-5
    )
    assert [Path(item["file"]).name for item in document["refused"]] == ["notes.txt"]
    code, out, _ = run("info", tmp_path)
    assert "7 x 12 x 10" in " ".join(out.split())
    assert "tilt" in out


def test_info_names_what_is_wrong_and_the_exit_code_says_so(tmp_path: Path) -> None:
    saved(tmp_path, slices(replace(SMALL, missing=(3,))))
    code, document = info(tmp_path)
    assert code is ExitCode.NOT_ANALYSED
    assert document["series"][0]["volumes"][0]["code"] == "MISSING_SLICE"
    code, document = info(tmp_path, "--gaps", "resample")
    assert code is ExitCode.OK
    assert document["series"][0]["volumes"][0]["shape"] == [7, 12, 10]
    assert run("info", tmp_path, "--gaps", "guess")[0] is ExitCode.USAGE


def test_export_writes_each_volume_and_numbers_them(tmp_path: Path) -> None:
    saved(tmp_path / "ct", slices())
    code, out, _ = run("export", tmp_path / "ct", "--to", tmp_path / "out.nii.gz", "--json")
    assert code is ExitCode.OK
    values, affine = read_nifti(tmp_path / "out.nii.gz")
    assert np.array_equal(values, ct_voxels(SMALL))
    assert affine == pytest.approx(ct_affine(SMALL), abs=1e-4)
    made = []
    for b in (0, 1000):
        for dataset in mr_slices(copy=str(b)):
            dataset.DiffusionBValue = float(b)
            made.append(dataset)
    saved(tmp_path / "mr", made)
    code, out, _ = run("export", tmp_path / "mr", "--to", tmp_path / "dwi.nii", "--json")
    assert [Path(item["file"]).name for item in json.loads(out)["volumes"]] == ["dwi-1.nii", "dwi-2.nii"]


def test_export_straightens_and_resamples(tmp_path: Path) -> None:
    saved(tmp_path / "in", slices(replace(SMALL, tilt_degrees=20.0)))
    code, _, _ = run(
        "export", tmp_path / "in", "--to", tmp_path / "a.nii.gz", "--straighten", "--spacing", "2,2,2", "--json"
    )
    assert code is ExitCode.OK
    values, affine = read_nifti(tmp_path / "a.nii.gz")
    geometry = Geometry(values.shape, affine_of(affine), "")
    assert not is_sheared(geometry)
    assert geometry.spacing_mm() == pytest.approx((2, 2, 2), abs=1e-5)


def test_export_says_what_cannot_be_written(tmp_path: Path) -> None:
    saved(tmp_path / "ct", slices())
    assert run("export", tmp_path / "ct", "--to", tmp_path / "a.jpg")[0] is ExitCode.USAGE
    assert run("export", tmp_path / "ct", "--to", tmp_path / "a.nii", "--spacing", "1,2")[0] is ExitCode.USAGE
    assert run("export", tmp_path / "ct", "--to", tmp_path / "a.nii", "--series", "1.9")[0] is ExitCode.NOT_FOUND
    code, out, _ = run("export", tmp_path / "ct", "--to", tmp_path / "a.nii", "--suv", "--json")
    assert code is ExitCode.NOT_ANALYSED
    assert "activity concentration" in json.loads(out)["volumes"][0]["detail"]
    assert not (tmp_path / "a.nii").exists()
