"""What the head CT reader measures: volume of blood, side, shift of the ventricles; and the real head without blood."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from coread.app.cli.main import app
from coread.readers.head_ct_hemorrhage.blood import Grid, blood_in
from coread.readers.head_ct_hemorrhage.on_phantoms import KINDS, NONE, REPORTED, TUNED_ON, by_kind, sentence
from coread.readers.head_ct_hemorrhage.outputs import SIDE
from coread.readers.head_ct_hemorrhage.preprocess import brain_of, windowed
from coread.readers.head_ct_hemorrhage.shift import midline_shift
from coread.readers.head_ct_hemorrhage.simulated import TissueMaps, simulated_head

GRID = Grid(pixel_mm=1.2, slice_mm=5.0)
MIDDLE = (SIDE - 1) / 2


def upright_head(shift_px: float = 0.0, slices: int = 20) -> NDArray[np.float32]:
    """Skull and brain as ellipses with two dark ventricles beside the midline in the middle slices, in the window."""
    rows, columns = np.indices((SIDE, SIDE)) - MIDDLE
    away = np.hypot(rows / 74, columns / 60)
    plane = np.select([away < 0.86, away < 0.95, away < 1.0], [34.0, 900.0, 20.0], -1000.0)
    hu = np.stack([plane] * slices)
    ventricles = (np.abs(rows + 8) < 20) & (np.abs(np.abs(columns - shift_px) - 5) < 3)
    hu[8:13, ventricles] = 6.0
    noise = np.random.default_rng(1).normal(scale=3, size=hu.shape)
    return windowed(hu + noise)


@pytest.mark.parametrize("shift_px", [0.0, -5.0, 7.0])
def test_the_shift_of_ventricles_is_found(shift_px: float) -> None:
    slices = upright_head(shift_px)
    found = midline_shift(slices, [brain_of(one) for one in slices], GRID.pixel_mm)
    assert found == pytest.approx(shift_px * GRID.pixel_mm, abs=1.0)


def test_without_ventricles_no_shift_is_given() -> None:
    slices = upright_head()
    plain = np.stack([slices[0]] * 12)
    assert midline_shift(plain, [brain_of(one) for one in plain], GRID.pixel_mm) is None
    assert midline_shift(slices, [None] * len(slices), GRID.pixel_mm) is None


def test_the_volume_of_blood_is_that_of_the_dense_place() -> None:
    slices = upright_head()
    rows, columns = np.indices((SIDE, SIDE))
    disc = np.hypot(rows - 90, columns - 110) < 9
    places = np.full(slices.shape, 0.02, dtype=np.float32)
    for number in (9, 10, 11):
        slices[number][disc] = windowed(np.array([66.0]))[0]
        places[number][np.hypot(rows - 90, columns - 110) < 7] = 0.9
    found = blood_in(slices, places, GRID)
    assert found is not None
    assert found.volume_ml == pytest.approx(3 * disc.sum() * GRID.voxel_ml, rel=0.15)
    assert found.place() == "left"
    mirrored = blood_in(slices[..., ::-1], places[..., ::-1], GRID)
    assert mirrored is not None
    assert mirrored.place() == "right"


def test_likely_places_that_are_no_denser_than_their_surroundings_have_no_volume() -> None:
    slices = upright_head()
    places = np.zeros(slices.shape, dtype=np.float32)
    assert blood_in(slices, places, GRID) is None
    places[9:12, 85:95, 105:115] = 0.9
    assert blood_in(slices, places, GRID) is None


def test_what_is_reported_was_not_tuned_on() -> None:
    assert {case.setup.seed for case in REPORTED}.isdisjoint(case.setup.seed for case in TUNED_ON)
    assert {case.kind for case in REPORTED} == {*KINDS, NONE}


def test_what_was_not_measured_is_counted() -> None:
    row = {"kind": "epidural", "volume_ml": 10.0, "shift_mm": 2.0, "found_ml": 11.0, "found_shift_mm": None}
    quiet = {"kind": NONE, "volume_ml": 0.0, "shift_mm": 1.0, "found_ml": None, "found_shift_mm": 1.5}
    said = sentence([row, row | {"found_ml": None}, quiet], 4)
    assert "1 of 4 could not be drawn" in said
    assert "given in 1 of 2" in said
    assert "in 0 of 1 without" in said
    assert by_kind([row])["epidural"] == {"heads": 1, "measured": 1, "mean_error_ml": 1.0}


@pytest.mark.slow
def test_a_simulated_head_has_a_skull_around_brain() -> None:
    x, y, z = np.indices((181, 217, 181), dtype=np.float32)
    away = np.sqrt(((x - 90) / 68) ** 2 + ((y - 108) / 85) ** 2 + ((z - 90) / 70) ** 2)
    grey = np.clip((1 - away) * 20, 0, 1).astype(np.float32)
    maps = TissueMaps(grey, np.zeros_like(grey), np.clip((away - 1) * 75, 0, None), np.array([90.0, 108.0, 90.0]))
    slices = simulated_head(maps, np.random.default_rng(0))
    assert slices.shape[1:] == (SIDE, SIDE)
    assert sum(brain_of(one) is not None for one in slices) > len(slices) / 2
    assert not np.array_equal(slices, simulated_head(maps, np.random.default_rng(1)))


@pytest.mark.slow
def test_the_real_head_without_blood_is_negative(shared_data: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(shared_data / "dicom" / "dcm_ge_head_tilt_gaps.zip") as archive:
        archive.extractall(tmp_path / "head")
    wanted = ["--folder", str(tmp_path / "coread"), "read", str(tmp_path / "head"), "--reader", "head_ct_hemorrhage"]
    ran = CliRunner().invoke(app, [*wanted, "--out", str(tmp_path / "out"), "--json"])
    assert ran.exit_code == 0, ran.output
    (reading,) = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))["readings"]
    assert (reading["reader_id"], reading["outcome"]) == ("head_ct_hemorrhage", "negative")
