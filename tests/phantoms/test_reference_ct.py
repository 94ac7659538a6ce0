"""CT reference objects: density, growth and motion are what the truth says."""

import json

import numpy as np
import pytest

from coread.phantoms.reference.ct_lesions import LesionsTruth, lesions_on
from coread.phantoms.reference.ct_lesions import make as make_lesions
from coread.phantoms.reference.ct_spine import LEVELS, SpineTruth, vertebrae
from coread.phantoms.reference.ct_spine import make as make_spine
from coread.phantoms.reference.errors import BadTruth
from coread.phantoms.reference.measures import axial_diameters
from coread.phantoms.reference.objects import ReferenceSeries
from coread.phantoms.reference.scan import Setup
from coread.phantoms.reference.shapes import Blob, Points


def eroded(mask: np.ndarray, times: int) -> np.ndarray:
    for _ in range(times):
        shrunk = mask.copy()
        for axis in range(3):
            shrunk &= np.roll(mask, 1, axis) & np.roll(mask, -1, axis)
        mask = shrunk
    return mask


def test_hounsfield_units_of_rods_and_bone_follow_the_stated_line() -> None:
    truth = SpineTruth(hu_per_mg=1.35, offset_hu=4.0, bmd_mg_cm3=(80.0, 90.0, 100.0, 110.0, 120.0, 130.0))
    made = make_spine(truth, Setup(spacing_mm=(3.0, 1.6, 1.6), noise=8.0, kernel_mm=0.0))
    series = made.visits[0].series[0]
    assert isinstance(series, ReferenceSeries)
    for structure in made.visits[0].structures:
        inside = eroded(series.mask(structure.name), 2)
        assert inside.sum() > 60
        expected = 4.0 + 1.35 * structure.more["ha_mg_cm3"]
        spread = float(series.voxels[inside].std() / np.sqrt(inside.sum() / 20))
        assert series.voxels[inside].mean() == pytest.approx(expected, abs=4 * spread + 1.5)
        assert structure.value == pytest.approx(expected)


def test_spine_volumes_agree_with_their_voxels() -> None:
    truth = SpineTruth(fractured="L2", fracture_kind="biconcave", height_loss_percent=40.0)
    made = make_spine(truth, Setup(spacing_mm=(2.5, 2.0, 2.0), noise=0.0))
    for structure in made.visits[0].structures:
        if structure.name.startswith("rod"):
            continue
        assert structure.voxel_volume_mm3 == pytest.approx(structure.exact.volume_mm3, rel=0.015)


@pytest.mark.parametrize(("kind", "lost"), [("wedge", "anterior"), ("biconcave", "middle"), ("crush", "posterior")])
def test_a_fracture_takes_the_stated_height(kind: str, lost: str) -> None:
    """Heights are measured on the solid itself, along vertical lines."""
    truth = SpineTruth(fractured="L3", fracture_kind=kind, height_loss_percent=30.0)
    body = next(v for v in vertebrae(truth) if v.level == "L3")
    whole = next(v for v in vertebrae(SpineTruth()) if v.level == "L3")
    heights, before = body.heights_mm(), whole.heights_mm()
    for name, where in (("anterior", -0.8), ("middle", 0.0), ("posterior", 0.8)):
        z = np.linspace(body.center_mm[2] - 20, body.center_mm[2] + 20, 20001, dtype=np.float32)
        y = np.full_like(z, body.center_mm[1] + where * body.half_axes_mm[1])
        line: Points = np.stack([np.zeros_like(z), y, z])
        inside = body.solid(0.0).distance(line) < 0
        assert float(inside.sum()) * 0.002 == pytest.approx(heights[f"{name}_height_mm"], abs=0.01)
    # A wedge has lost 30 % at the very front, a little less at 80 % of the depth where the height is taken.
    shares = {"wedge": 0.30 * 0.9, "biconcave": 0.30, "crush": 0.30}
    share = 1 - heights[f"{lost}_height_mm"] / before[f"{lost}_height_mm"]
    assert share == pytest.approx(shares[kind], abs=1e-3)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"bmd_mg_cm3": (100.0, 110.0)}, "1, or 6"), ({"rods_mg_cm3": (50.0,)}, "2 to 6"),
        ({"rods_mg_cm3": (50.0, 50.0)}, "different"), ({"fractured": "L1"}, "height_loss"),
        ({"height_loss_percent": 20.0}, "fractured"), ({"fractured": "L6", "height_loss_percent": 20.0}, "one of"),
        ({"cortex_mm": -1.0}, "cortex_mm"),
    ],
)  # fmt: skip
def test_a_spine_that_cannot_be_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(BadTruth, match=message):
        SpineTruth(**values)  # type: ignore[arg-type]


def test_one_density_is_for_all_levels() -> None:
    truth = SpineTruth(bmd_mg_cm3=(88.0,))
    assert {truth.bmd_of(level) for level in LEVELS} == {88.0}


def test_lesions_grow_as_their_doubling_time_says_and_move_with_the_patient() -> None:
    truth = LesionsTruth(
        volumes_ml=(6.0, 3.0, 2.0), places=("liver-7", "retroperitoneum", "muscle"), doubling_days=(50.0, -100.0, 0.0),
        vanished=3, new_ml=(4.0,), new_places=("spleen",), move_mm=(10.0, -6.0, 8.0), turn_degrees=(2.0, 3.0, -5.0),
    )  # fmt: skip
    made = make_lesions(truth, Setup(spacing_mm=(3.0, 2.5, 2.5), dates=("20260101", "20260411")))
    before, after = made.visits
    assert made.changes["days"] == 100
    volumes = {s.name: s.exact.volume_mm3 / 1000 for s in after.structures}
    assert volumes == pytest.approx({"lesion 1": 24.0, "lesion 2": 1.5, "lesion new 1": 4.0})
    states = {entry["name"]: entry["state"] for entry in made.changes["lesions"]}
    assert states["lesion 3"] == "vanished"
    assert states["lesion new 1"] == "new"
    move = np.asarray(made.changes["first_to_second_mm"])
    for name in ("lesion 1", "lesion 2"):
        expected = move[:3, :3] @ np.asarray(before.structure(name).center_mm) + move[:3, 3]
        assert after.structure(name).center_mm == pytest.approx(expected, abs=0.7)
    for visit in made.visits:
        for structure in visit.structures:
            assert structure.voxel_volume_mm3 == pytest.approx(structure.exact.volume_mm3, rel=0.02)


def test_a_sphere_has_its_diameter_and_a_lump_has_its_longest_axial_chord() -> None:
    sphere = axial_diameters(Blob((5.0, 4.0, 3.0), (10.0, 10.0, 10.0)), np.eye(4))
    assert sphere.long_mm == pytest.approx(20.0, abs=0.02)
    assert sphere.short_mm == pytest.approx(20.0, abs=0.02)
    lump = Blob((0.0, 0.0, 0.0), (14.0, 9.0, 11.0), 0.2, 8)
    sizes = axial_diameters(lump, np.eye(4))
    axis = np.arange(-20, 20, 0.25, dtype=np.float32)
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"))
    inside = lump.distance(points) < 0
    longest = 0.0
    for k in range(0, len(axis), 2):
        rows, columns = np.nonzero(inside[:, :, k])
        if rows.size:
            angle = np.arange(0, np.pi, np.pi / 90)
            along = np.outer(np.cos(angle), axis[rows]) + np.outer(np.sin(angle), axis[columns])
            longest = max(longest, float((along.max(axis=1) - along.min(axis=1)).max()))
    assert sizes.long_mm == pytest.approx(longest, abs=0.45)
    assert sizes.short_mm <= sizes.long_mm


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"volumes_ml": (-4.0,), "places": ("spleen",), "doubling_days": (0.0,)}, "volumes_ml"),
        ({"volumes_ml": (4.0, 4.0), "places": ("spleen",), "doubling_days": (0.0,)}, "as many"),
        ({"vanished": 5}, "4 lesions"), ({"move_mm": (1.0,)}, "three values"),
        ({"turn_degrees": (90.0, 0.0, 0.0)}, "turn_degrees"), ({"new_ml": (float("inf"),)}, "finite"),
    ],
)  # fmt: skip
def test_lesions_that_cannot_be_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(BadTruth, match=message):
        LesionsTruth(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("volumes", "places", "doubling", "message"),
    [
        ((5.0,), ("400/0/0",), (0.0,), "out of the body"),
        ((5.0,), ("165/0/0",), (0.0,), "out of the body"),
        ((300.0,), ("liver-7",), (0.0,), "out of the liver"),
        ((20.0,), ("liver-7",), (10.0,), "grow it more slowly"),
        ((5.0, 5.0), ("spleen", "100/30/80"), (0.0, 0.0), "overlap"),
        ((5.0, 5.0), ("spleen", "spleen"), (0.0, 0.0), "overlap"),
        ((5.0,), ("kidney",), (0.0,), "place"),
        ((5.0,), ("1/2",), (0.0,), "place"),
    ],
)
def test_lesions_outside_or_upon_one_another_are_refused(
    volumes: tuple[float, ...], places: tuple[str, ...], doubling: tuple[float, ...], message: str
) -> None:
    truth = LesionsTruth(volumes_ml=volumes, places=places, doubling_days=doubling)
    with pytest.raises(BadTruth, match=message):
        make_lesions(truth, Setup(spacing_mm=(20.0, 20.0, 20.0)))


def test_the_truth_is_plain_json() -> None:
    made = make_lesions(LesionsTruth(), Setup(spacing_mm=(12.0, 10.0, 10.0)))
    again = json.loads(json.dumps(made.document()))
    assert again["changes"]["days"] == 90
    assert len(lesions_on(LesionsTruth(), 0, 1)) == 4
