"""Reference objects as DICOM: valid, readable by the project's own loader, SYNTHETIC, the same for the same seed."""

import json
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from coread.domain.images import Quantity, Volume
from coread.domain.kspace import RAW_DATA_STORAGE
from coread.imaging.header import scan_header
from coread.imaging.volume import load_volume
from coread.phantoms.reference.errors import BadTruth
from coread.phantoms.reference.made import Made
from coread.phantoms.reference.objects import ReferenceSeries, examination
from coread.phantoms.reference.registry import PHANTOMS, made, phantom
from coread.phantoms.reference.scan import Setup, grid_over
from coread.phantoms.reference.scene import Part, Scene, render
from coread.phantoms.reference.shapes import ball
from coread.phantoms.reference.truth import described, parsed

COARSE: dict[str, tuple[float, float, float]] = {"ct-spine": (6.0, 4.0, 4.0), "ct-lesions": (8.0, 5.0, 5.0),
    "ct-head": (8.0, 4.0, 4.0), "mr-brain": (8.0, 5.0, 5.0),
    "ct-nodules": (8.0, 5.0, 5.0), "mr-cine": (14.0, 6.0, 6.0)}  # fmt: skip
"""A spacing that makes each phantom of a volume in a moment."""


STATED = {
    "mr-cine": ("phases=8",), "us-echo": ("frame_time_ms=60",), "chest-device": ("rows=256",),
}  # fmt: skip


def setup_of(name: str, seed: int = 3) -> Setup:
    return Setup(seed=seed, spacing_mm=COARSE.get(name))


@cache
def small(name: str) -> Made:
    return made(name, STATED.get(name, ()), setup_of(name))


@cache
def written(name: str, folder: Path) -> dict[str, Any]:
    return small(name).write(folder / name)


def loaded(folder: Path) -> Volume:
    files = sorted(folder.glob("*.dcm"))
    return load_volume([(path, scan_header(path)) for path in files])


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reference")


@pytest.mark.parametrize("name", PHANTOMS)
def test_every_object_says_that_it_is_synthetic(name: str, folder: Path) -> None:
    written(name, folder)
    for path in (folder / name).rglob("*.dcm"):
        dataset = pydicom.dcmread(path, stop_before_pixels=True)
        assert str(dataset.PatientName).startswith("SYNTHETIC^")
        raw = dataset.SOPClassUID == RAW_DATA_STORAGE  # has no room for comments (PS3.3 table A.37-1)
        for keyword in ("SeriesDescription",) if raw else ("SeriesDescription", "ImageComments", "PatientComments"):
            assert "SYNTHETIC" in dataset[keyword].value
    assert "SYNTHETIC" in json.loads((folder / name / "truth.json").read_text(encoding="utf-8"))["note"]


RAW_IS_NO_PICTURE = (
    "Error - Invalid Value Representation - Pixel Data - VR = OB, Explicit VR, Bits Allocated = 16 exceeds 8",
)
"""dciodvfy takes any element of the groups 7Fxx for pixels; the private element there holds a file."""


@pytest.mark.parametrize("name", PHANTOMS)
def test_dciodvfy_finds_no_error(name: str, folder: Path, need_program: Callable[[str], str]) -> None:
    program = need_program("dciodvfy")
    document = written(name, folder)
    for visit in document["examinations"]:
        for series in visit["series"]:
            files = sorted((folder / name / series["folder"]).glob("*.dcm"))
            for path in (files[0], files[-1]):
                done = subprocess.run([program, str(path)], capture_output=True, text=True, check=False)
                told = (done.stdout + done.stderr).splitlines()
                assert not [line for line in told if line.startswith("Error") and line not in RAW_IS_NO_PICTURE]


@pytest.mark.parametrize("name", COARSE)
def test_the_loader_gets_the_same_voxels_in_the_same_place(name: str, folder: Path) -> None:
    document = written(name, folder)
    for visit, entry in zip(small(name).visits, document["examinations"], strict=True):
        for series, listed in zip(visit.series, entry["series"], strict=True):
            assert isinstance(series, ReferenceSeries)
            if series.voxels.ndim != 3:
                continue
            volume = loaded(folder / name / listed["folder"])
            assert volume.quantity == (Quantity.HOUNSFIELD if series.modality == "CT" else Quantity.ARBITRARY)
            assert len(volume.headers) == listed["images"]
            corners = np.asarray([[0, 0, 0], [1, 2, 3], [volume.geometry.shape[0] - 1, 5, 7]], dtype=np.float64)
            place = series.grid.geometry.to_index(volume.geometry.to_patient(corners))
            expected = series.voxels[tuple(np.rint(place).astype(int).T)]
            assert np.abs(place - np.rint(place)).max() < 1e-4
            got = volume.voxels[tuple(corners.astype(int).T)]
            assert np.abs(got - np.clip(expected, -1024 if series.modality == "CT" else 0, 3071)).max() <= 0.5 + 1e-3


@pytest.mark.parametrize("name", PHANTOMS)
def test_the_truth_file_lists_what_was_written(name: str, folder: Path) -> None:
    document = written(name, folder)
    on_disk = json.loads((folder / name / "truth.json").read_text(encoding="utf-8"))
    assert on_disk == json.loads(json.dumps(document))
    assert on_disk["phantom"] == name
    for visit in on_disk["examinations"]:
        for series in visit["series"]:
            files = list((folder / name / series["folder"]).glob("*.dcm"))
            assert len(files) == series["images"] > 0
            header = scan_header(files[0])
            assert header.series_instance_uid == series["series_instance_uid"]
            assert header.study_instance_uid == visit["study_instance_uid"]


@pytest.mark.parametrize("name", PHANTOMS)
def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_patient(name: str) -> None:
    again = made(name, STATED.get(name, ()), setup_of(name))
    for visit, other in zip(small(name).visits, again.visits, strict=True):
        for series, twin in zip(visit.series, other.series, strict=True):
            first, second = next(iter(series.datasets())), next(iter(twin.datasets()))
            assert first == second
    other_seed = made(name, STATED.get(name, ()), setup_of(name, 4)).visits[0]
    assert other_seed.examination.identity.patient_id != small(name).visits[0].examination.identity.patient_id


@pytest.mark.parametrize("name", PHANTOMS)
def test_every_value_is_explained(name: str) -> None:
    for row in described(phantom(name).truth):
        assert row["help"], row["name"]
        assert parsed(phantom(name).truth, ()) is not None


@pytest.mark.parametrize("name", PHANTOMS)
@pytest.mark.parametrize("pairs", [("nothing=1",), ("novalue",)])
def test_unknown_values_are_refused_with_the_names_that_exist(name: str, pairs: tuple[str, ...]) -> None:
    with pytest.raises(BadTruth, match="KEY one of"):
        made(name, pairs)


@pytest.mark.parametrize("name", PHANTOMS)
def test_numbers_out_of_range_are_refused(name: str) -> None:
    for row in described(phantom(name).truth):
        default = row["default"]
        if row["low"] is None or isinstance(default, str):
            continue
        for wrong in (row["low"] - 1, row["high"] + 1, float("nan")):
            with pytest.raises(BadTruth):
                parsed(phantom(name).truth, (f"{row['name']}={wrong}",))


def test_a_folder_with_files_is_not_written_into(tmp_path: Path) -> None:
    (tmp_path / "patient.dcm").write_bytes(b"keep")
    with pytest.raises(BadTruth, match="empty"):
        small("ct-lesions").write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["patient.dcm"]


def test_unknown_phantoms_and_values_stated_twice_are_refused() -> None:
    with pytest.raises(BadTruth, match="ct-spine"):
        made("ct-foot")
    with pytest.raises(BadTruth, match="twice"):
        made("ct-lesions", ("vanished=1", "vanished=2"))
    with pytest.raises(BadTruth, match="whole number"):
        made("ct-lesions", ("vanished=1.5",))
    with pytest.raises(BadTruth, match="1 examination"):
        made("ct-spine", (), Setup(dates=("20260101", "20260201")))


@pytest.mark.parametrize("number", range(48))
def test_every_orientation_is_loaded_back_into_the_same_place_of_the_patient(number: int, tmp_path: Path) -> None:
    """From the continuous solid through files and the loader to a centre of mass in the patient."""
    place = (11.0, -7.0, 9.0)
    setup = Setup(orientation=str(number), tilt_degrees=12.0 if number % 3 == 0 else 0.0)
    who = examination("ct-ball", f"ball-{number}", "20260102")
    grid = grid_over(((-30, -30, -30), (30, 30, 30)), setup, (5.0, 3.0, 3.0), who.frame_of_reference_uid)
    drawn = render(Scene(0.0, (Part("ball", ball(place, 13.0), 1000.0),)), grid.geometry)
    series = ReferenceSeries(who, "CT", 2, "SYNTHETIC ball", "CHEST", grid, drawn.values)
    for count, dataset in enumerate(series.datasets()):
        dataset.save_as(tmp_path / f"{count:03d}.dcm", enforce_file_format=True)
    volume = loaded(tmp_path)
    weights = volume.voxels.astype(np.float64)
    index = [np.tensordot(weights.sum(axis=other), np.arange(n), 1) / weights.sum()
             for n, other in zip(weights.shape, ((1, 2), (0, 2), (0, 1)), strict=True)]  # fmt: skip
    assert volume.geometry.to_patient(np.asarray([index]))[0] == pytest.approx(place, abs=0.15)
