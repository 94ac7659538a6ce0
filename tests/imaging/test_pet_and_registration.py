"""SUV where the header decides it; motions found again that were put in."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from coread.domain.geometry import Geometry, affine_of
from coread.domain.images import Quantity, Volume
from coread.imaging.errors import PixelMeaning, TooFewImages
from coread.imaging.pet import suv_factor, to_suv
from coread.imaging.registration import Motion, deformation, registered
from coread.imaging.resampling import resampled_array
from coread.imaging.volume import load_volume
from tests.imaging.made_series import saved, slices


def pet(dataset: Dataset, _: int = 0) -> None:
    dataset.Modality, dataset.Units, dataset.DecayCorrection = "PT", "BQML", "START"
    dataset.CorrectedImage = ["ATTN", "SCAT", "DECY"]
    dataset.PatientWeight = "75"
    dataset.SeriesDate, dataset.SeriesTime = "20260504", "110000"
    dataset.AcquisitionDate, dataset.AcquisitionTime = "20260504", "110500"
    drug = Dataset()
    drug.RadiopharmaceuticalStartTime = "100000.0"
    drug.RadionuclideTotalDose, drug.RadionuclideHalfLife = "370000000", "6586.2"
    dataset.RadiopharmaceuticalInformationSequence = Sequence([drug])
    del dataset.RescaleType


def test_suv_by_body_weight_is_weight_over_the_dose_that_was_left(tmp_path: Path) -> None:
    located = saved(tmp_path, slices(edit=pet))
    volume = load_volume(located)
    found = suv_factor(located[0][0])
    assert found.factor == pytest.approx(75000 / (370e6 * 2 ** (-3600 / 6586.2)), rel=1e-9)
    suv = to_suv(volume, found)
    assert (suv.quantity, suv.unit) == (Quantity.SUV_BODY_WEIGHT, "g/ml{SUVbw}")
    assert suv.voxels == pytest.approx(volume.voxels * found.factor, rel=1e-6)
    assert "60.0 min of decay" in suv.changes[0]


def test_a_dose_corrected_to_administration_does_not_decay_and_suv_stays_suv(tmp_path: Path) -> None:
    def admin(dataset: Dataset, k: int) -> None:
        pet(dataset, k)
        dataset.DecayCorrection = "ADMIN"

    def suv(dataset: Dataset, k: int) -> None:
        pet(dataset, k)
        dataset.Units = "GML"

    assert suv_factor(saved(tmp_path / "a", slices(edit=admin))[0][0]).factor == pytest.approx(75000 / 370e6)
    located = saved(tmp_path / "s", slices(edit=suv))
    assert suv_factor(located[0][0]).factor == 1.0
    assert load_volume(located).quantity is Quantity.SUV_BODY_WEIGHT


@pytest.mark.parametrize(
    ("started", "zone", "minutes"),
    [
        ("20260504100000", "", 60.0),
        ("20260504100000.0", "+0200", 60.0),
        ("20260504100000+0200", "+0200", 60.0),
        ("20260504080000+0000", "+0200", 60.0),
        ("20260504160000.00+0530", "+0000", 30.0),
        ("20260504043000-0500", "-0530", 420.0),
        ("20260504080000+0000", "", None),
    ],
)
def test_a_dose_is_timed_on_the_clock_of_the_series(
    tmp_path: Path, started: str, zone: str, minutes: float | None
) -> None:
    def edit(dataset: Dataset, k: int) -> None:
        pet(dataset, k)
        dataset.RadiopharmaceuticalInformationSequence[0].RadiopharmaceuticalStartDateTime = started
        if zone:
            dataset.TimezoneOffsetFromUTC = zone

    path = saved(tmp_path, slices(edit=edit))[0][0]
    if minutes is None:
        with pytest.raises(PixelMeaning, match="time zone"):
            suv_factor(path)
    else:
        assert f"{minutes:.1f} min" in suv_factor(path).basis


@pytest.mark.parametrize(
    ("keyword", "value", "said"),
    [
        ("PatientWeight", None, "Weight"),
        ("CorrectedImage", ["SCAT"], "attenuation and decay"),
        ("DecayCorrection", "NONE", "Decay Correction is NONE"),
        ("SeriesTime", "120000", "made after the scan"),
        ("Units", "CNTS", "without the maker's SUV factor"),
        ("Units", "PROPCPS", "no activity concentration"),
        ("SeriesTime", "090000", "from administration to scan"),
        ("RadiopharmaceuticalInformationSequence", None, "0 radiopharmaceuticals"),
    ],
)
def test_what_is_not_decidable_is_refused_by_name(tmp_path: Path, keyword: str, value: object, said: str) -> None:
    def edit(dataset: Dataset, k: int) -> None:
        pet(dataset, k)
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)

    with pytest.raises(PixelMeaning, match=said):
        suv_factor(saved(tmp_path, slices(edit=edit)[:1])[0][0])


def head(seed: int = 1, shape: tuple[int, int, int] = (20, 32, 32)) -> Volume:
    """Soft blobs inside an ellipsoid, 5 x 4.5 x 4.5 mm."""
    matrix = np.array([[0, 0, 4.5, -70], [0, 4.5, 0, -65], [5.0, 0, 0, -45], [0, 0, 0, 1]])
    geometry = Geometry(shape, affine_of(matrix), "1.2")
    places = geometry.to_patient(np.argwhere(np.ones(shape))).reshape(*shape, 3)
    values = 100.0 / (1 + np.exp((np.linalg.norm(places / [60, 55, 42], axis=-1) - 1) / 0.06))
    draws = np.random.default_rng(seed)
    for _ in range(12):
        centre, width = draws.uniform(-35, 35, 3), draws.uniform(8, 14)
        values += draws.uniform(-60, 60) * np.exp(-np.sum((places - centre) ** 2, axis=-1) / (2 * width**2))
    return Volume(values.astype(np.float32), Quantity.ARBITRARY, geometry, ())


def motion(degrees: float, move: tuple[float, float, float]) -> NDArray[np.float64]:
    angle = math.radians(degrees)
    matrix = np.eye(4)
    matrix[:2, :2] = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    matrix[:3, 3] = move
    return matrix


def inverse(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.linalg.inv(matrix), dtype=np.float64)


def test_a_motion_that_was_put_in_is_found_again_and_twice_the_same() -> None:
    fixed = head()
    there = motion(6.0, (4.0, -3.0, 5.0))
    moved = resampled_array(fixed.voxels, fixed.geometry, fixed.geometry, transform=inverse(there))
    moving = Volume(moved.astype(np.float32), Quantity.ARBITRARY, fixed.geometry, ())
    found = registered(fixed, moving)
    corners = np.array([[x, y, z, 1] for x in (-50, 50) for y in (-45, 45) for z in (-35, 35)], dtype=float)
    error = np.linalg.norm(((found.matrix - there) @ corners.T)[:3], axis=0)
    assert error.max() < 1.5
    assert found.mutual_information > found.mutual_information_before
    assert np.array_equal(registered(fixed, moving).matrix, found.matrix)
    back = resampled_array(moving.voxels, moving.geometry, fixed.geometry, transform=found.matrix)
    inner = (slice(4, -4), slice(6, -6), slice(6, -6))
    assert np.corrcoef(back[inner].ravel(), fixed.voxels[inner].ravel())[0, 1] > 0.99


def test_what_counts_is_heeded_in_a_tilted_volume_too() -> None:
    upright = head()
    matrix = upright.geometry.matrix()
    matrix[1, 0] += 0.4
    tilted = replace(upright, geometry=replace(upright.geometry, affine=affine_of(matrix)))
    inside = np.zeros(tilted.geometry.shape, dtype=np.bool_)
    inside[4:12, 8:24, 8:20] = True
    part = registered(tilted, tilted, inside=inside)
    assert part.mutual_information_before != pytest.approx(registered(tilted, tilted).mutual_information_before)


def test_an_affine_start_is_kept_where_it_is_right() -> None:
    fixed = head()
    found = registered(fixed, fixed, motion=Motion.AFFINE, start=np.eye(4))
    assert found.matrix == pytest.approx(np.eye(4), abs=0.1)


def test_a_displacement_field_leads_from_fixed_to_moving() -> None:
    fixed = head()
    places = fixed.geometry.to_patient(np.argwhere(np.ones(fixed.voxels.shape)))
    grown = motion(0.0, (0.0, 0.0, 0.0)) @ np.diag([1.04, 1.04, 1.04, 1.0])
    larger = resampled_array(fixed.voxels, fixed.geometry, fixed.geometry, transform=inverse(grown))
    moving = Volume(larger.astype(np.float32), Quantity.ARBITRARY, fixed.geometry, ())
    field = deformation(fixed, moving).reshape(-1, 3)
    edge = np.abs(np.linalg.norm(places / [60, 55, 42], axis=1) - 1) < 0.1
    truth = 0.04 * places[edge]
    along = (field[edge] * truth).sum(axis=1).sum() / (truth * truth).sum()
    assert 0.7 < along < 1.2


def test_tiny_volumes_are_refused() -> None:
    small = head(shape=(4, 32, 32))
    with pytest.raises(TooFewImages):
        registered(small, small)
