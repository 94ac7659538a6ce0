"""Chests with nodules and beating hearts: volumes, lobes and phases are what the truth says."""

from pathlib import Path

import numpy as np
import pydicom
import pytest

from coread.imaging.header import scan_header
from coread.imaging.volume import load_volume
from coread.phantoms.reference import thorax_anatomy as chest
from coread.phantoms.reference.ct_nodules import NodulesTruth, nodules_of
from coread.phantoms.reference.ct_nodules import make as make_nodules
from coread.phantoms.reference.errors import BadTruth
from coread.phantoms.reference.mr_cine import CineTruth, ventricle
from coread.phantoms.reference.mr_cine import make as make_cine
from coread.phantoms.reference.objects import ReferenceSeries
from coread.phantoms.reference.scan import Setup
from coread.phantoms.reference.scene import Part, Scene, measured

FAR = Setup(spacing_mm=(20.0, 20.0, 20.0))


def test_nodules_have_their_volume_kind_and_lobe() -> None:
    truth = NodulesTruth(
        volumes_mm3=(1500.0, 3000.0, 2500.0, 900.0, 4000.0),
        kinds=("solid", "part-solid", "ground-glass", "solid", "solid"),
        places=("RUL", "RML", "RLL", "LUL", "LLL"),
    )
    made = make_nodules(truth, Setup(spacing_mm=(2.5, 2.0, 2.0), noise=0.0, kernel_mm=0.0))
    series, visit = made.visits[0].series[0], made.visits[0]
    assert isinstance(series, ReferenceSeries)
    for number, (volume, kind, lobe) in enumerate(
        zip(truth.volumes_mm3, truth.kinds, truth.places, strict=True), start=1
    ):
        one = visit.structure(f"nodule {number}")
        assert one.exact.volume_mm3 == pytest.approx(volume)
        assert one.voxel_volume_mm3 == pytest.approx(volume, rel=0.03)
        assert (one.more["kind"], one.more["lobe"]) == (kind, lobe)
        assert (one.center_mm[0] < 0) == lobe.startswith("R")
        level = float(np.median(series.voxels[series.mask(one.name)]))
        assert (level > -100) == (kind == "solid")
    part_solid = visit.structure("nodule 2").more
    assert part_solid["solid_part_mm3"] == pytest.approx(900.0)


def test_lobes_are_where_radiologists_expect_them() -> None:
    assert chest.lobe_at((-75.0, 0.0, 80.0)) == "RUL"
    assert chest.lobe_at((-80.0, -50.0, -20.0)) == "RML"
    assert chest.lobe_at((-80.0, 50.0, -30.0)) == "RLL"
    assert chest.lobe_at((80.0, -20.0, 60.0)) == "LUL"
    assert chest.lobe_at((80.0, 50.0, -30.0)) == "LLL"
    assert chest.lobe_at((0.0, 60.0, 0.0)) == ""


def test_a_chest_without_nodules_is_a_negative() -> None:
    made = make_nodules(NodulesTruth((), (), ()), FAR)
    assert made.visits[0].facts["nodules"] == 0
    assert not made.visits[0].structures


def test_a_place_may_be_stated_in_mm() -> None:
    found = nodules_of(NodulesTruth((500.0,), ("solid",), ("-75/0/80",)), 1)[0]
    assert found.lump.center_mm == (-75.0, 0.0, 80.0)
    assert found.lobe == "RUL"


@pytest.mark.parametrize(
    ("volumes", "kinds", "places", "message"),
    [
        ((500.0,), ("solid",), ("0/60/0",), "out of the lobe"),
        ((500.0,), ("solid",), ("-120/0/80",), "out of the lobe"),
        ((500.0, 500.0), ("solid", "solid"), ("-75/0/80", "-75/4/80"), "overlaps"),
        ((190000.0,), ("solid",), ("RML",), "do not fit"),
        ((500.0,), ("solid",), ("lingula",), "place"),
    ],
)
def test_nodules_that_do_not_fit_are_refused(
    volumes: tuple[float, ...], kinds: tuple[str, ...], places: tuple[str, ...], message: str
) -> None:
    with pytest.raises(BadTruth, match=message):
        make_nodules(NodulesTruth(volumes, kinds, places), FAR)


def test_nodule_lists_go_together() -> None:
    for values in (
        ((500.0,), ("solid", "solid"), ("RUL",)), ((-5.0,), ("solid",), ("RUL",)), ((500.0,), ("soft",), ("RUL",)),
    ):  # fmt: skip
        with pytest.raises(BadTruth):
            NodulesTruth(*values)


@pytest.mark.parametrize("phase", [0, 4, 9, 17])
def test_the_ventricle_of_a_phase_has_the_volume_of_the_curve(phase: int) -> None:
    """Sampled, against the closed form; the muscle keeps its volume through the beat."""
    truth = CineTruth(edv_ml=180.0, esv_ml=90.0, mass_g=140.0)
    inner, outer = ventricle(truth, phase)
    scene = Scene(0.0, (Part("muscle", outer.solid(), 1.0), Part("blood", inner.solid(), 2.0)))
    found = measured(scene, ["muscle", "blood"], 1.5)
    assert found["blood"].volume_mm3 / 1000 == pytest.approx(truth.volume_ml(phase), rel=3e-3)
    assert found["muscle"].volume_mm3 / 1000 == pytest.approx(140.0 / 1.05, rel=4e-3)


@pytest.mark.parametrize("phases", [8, 20, 25, 60])
def test_the_curve_starts_full_and_is_smallest_at_end_systole(phases: int) -> None:
    truth = CineTruth(phases=phases)
    volumes = [truth.volume_ml(k) for k in range(phases)]
    assert volumes[0] == max(volumes) == truth.edv_ml
    assert int(np.argmin(volumes)) == truth.beat.end_systole
    assert min(volumes) == pytest.approx(truth.esv_ml)


def test_disc_summation_over_the_slices_is_near_the_exact_volume() -> None:
    made = make_cine(CineTruth(phases=8), Setup(spacing_mm=(8.0, 2.5, 2.5)))
    for name, exact in (("end diastole", 140.0), ("end systole", 58.0)):
        one = made.visits[0].structure(name)
        assert one.exact.volume_mm3 == pytest.approx(exact * 1000)
        assert one.voxel_volume_mm3 == pytest.approx(exact * 1000, rel=0.03)
    series = made.visits[0].series[0]
    assert isinstance(series, ReferenceSeries)
    assert series.voxels.shape[0] == 8


def test_every_slice_comes_in_every_phase_with_its_time() -> None:
    made = make_cine(CineTruth(phases=8, heart_rate=75.0), Setup(spacing_mm=(14.0, 8.0, 8.0)))
    images = list(made.visits[0].series[0].datasets())
    places = {tuple(image.ImagePositionPatient) for image in images}
    times = sorted({float(image.TriggerTime) for image in images})
    assert len(images) == 8 * len(places)
    assert times == pytest.approx([100.0 * k for k in range(8)])
    first: pydicom.Dataset = images[0]
    assert float(first.SpacingBetweenSlices) == pytest.approx(14.0)
    assert float(first.SliceThickness) == pytest.approx(11.2)


def test_one_phase_is_a_volume_in_the_oblique_planes_of_the_heart(tmp_path: Path) -> None:
    made = make_cine(CineTruth(phases=8), Setup(spacing_mm=(14.0, 6.0, 6.0), noise=0.0))
    series = made.visits[0].series[0]
    assert isinstance(series, ReferenceSeries)
    files: list[Path] = []
    for image in series.datasets():
        if int(image.TemporalPositionIdentifier) == 3:
            files.append(tmp_path / f"{len(files):03d}.dcm")
            image.save_as(files[-1], enforce_file_format=True)
    volume = load_volume([(path, scan_header(path)) for path in files])
    corners = np.asarray([[0, 0, 0], [1, 5, 9], [volume.geometry.shape[0] - 1, 20, 3]], dtype=np.float64)
    place = np.rint(series.grid.geometry.to_index(volume.geometry.to_patient(corners))).astype(int)
    assert np.abs(series.grid.geometry.to_patient(place) - volume.geometry.to_patient(corners)).max() < 1e-3
    assert volume.voxels[tuple(corners.astype(int).T)] == pytest.approx(series.voxels[2][tuple(place.T)], abs=0.51)


def test_hearts_that_cannot_be_are_refused() -> None:
    with pytest.raises(BadTruth, match="below"):
        CineTruth(edv_ml=100.0, esv_ml=100.0)
    with pytest.raises(BadTruth, match="too little muscle"):
        make_cine(CineTruth(edv_ml=400.0, esv_ml=100.0, mass_g=50.0), FAR)
