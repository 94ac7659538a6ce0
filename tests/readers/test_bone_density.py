"""Bone density from CT: the right vertebra, the right density, and a reason wherever neither can be known."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench.bone_density import sentence
from numpy.typing import NDArray

from coread.domain.cards import InputContract, OperatingPoint, OutputSpec, ReaderCard, ReaderKind, Resources
from coread.domain.findings import Presence
from coread.domain.images import Quantity, Volume
from coread.domain.reading import Arrays, Prepared, ReaderInputs
from coread.domain.reasons import ReasonCode
from coread.domain.results import ReadResult, Refusal
from coread.engine.samples import study_of
from coread.imaging.header import scan_header
from coread.imaging.volume import load_volume
from coread.phantoms.reference.made import Visit
from coread.phantoms.reference.registry import made
from coread.phantoms.reference.scan import Setup
from coread.readers.bone_density import words
from coread.readers.bone_density.density import calibration_of, mineral, range_name
from coread.readers.bone_density.fracture import height_losses
from coread.readers.bone_density.reader import BoneDensityReader
from coread.readers.card_file import read_card

PARAMETERS: dict[str, Any] = {
    "phantoms_mg_cm3": [[0.0, 50.0, 100.0, 200.0]],
    "asynchronous": [],
    "cut_offs_mg_cm3": {"osteoporosis_below": 80.0, "osteopenia_up_to": 120.0},
    "cut_offs_l1_hu": {"specific": 110.0, "sensitive": 160.0},
    "contrast": {"blood_hu": 100.0, "most_added_mg_cm3": 18.3},
    "independent_mm3": 64.0,
    "metal_hu": 1000.0,
    "most_deviation_hu": 90.0,
    "least_half_height_mm": 1.5,
    "least_voxels": 60,
}
SITE_CALIBRATION = {"kvp": 120, "hu_per_mg_cm3": 1.2, "offset_hu": 0.0, "relative_sd": 0.05, "source": "the site"}


@dataclass(frozen=True)
class Session:
    """A package that holds parameters only."""

    parameters: Mapping[str, Any]
    digest: str = "0" * 64
    runtime: str = "none"

    def run(self, graph: str, inputs: Arrays) -> dict[str, NDArray[Any]]:
        raise AssertionError(f"no graph {graph} with {sorted(inputs)}")

    def calibrate(self, key: str, logit: float) -> float:
        raise AssertionError(f"no curve of {key} at {logit}")


def output(key: str) -> OutputSpec:
    point = OperatingPoint("rule", 0.5, "no probability", None, None, "not measured")
    return OutputSpec(key, key, words.DENSITY, words.SPINE, False, None, (point,), "rule")


CARD = ReaderCard(
    "bone_density", "Bone density", "0", ReaderKind.QUANTIFICATION, "research", "all else", True,
    InputContract(("CT",), (), ("LSPINE",), (), None, None, 64, 64, 1_100_000, 20, 3000, presentation="volume"),
    (output(words.LOW), output(words.FRACTURE)), ("none",), "none", "here", ("many",), Resources(1500, 60.0),
)  # fmt: skip
SUBJECT = BoneDensityReader(CARD)


@dataclass(frozen=True)
class Scan:
    volume: Volume
    visit: Visit


def scan(folder: Path, *truth: str, **setup: Any) -> Scan:
    visit = made("ct-spine", truth, Setup(**setup)).visits[0]
    sources = []
    for number, dataset in enumerate(visit.series[0].datasets()):
        path = folder / f"{number:04d}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        sources.append((path, scan_header(path)))
    return Scan(load_volume(sources), visit)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Scan:
    return scan(tmp_path_factory.mktemp("plain"), seed=3, spacing_mm=(3.0, 1.5, 1.5))


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Scan:
    truth = ("bmd_mg_cm3=60", "fractured=L2", "fracture_kind=wedge", "height_loss_percent=45")
    folder = tmp_path_factory.mktemp("broken")
    return scan(folder, *truth, seed=4, spacing_mm=(2.0, 1.5, 1.5), tilt_degrees=10.0)


def read(volume: Volume, **changed: Any) -> ReadResult | Refusal:
    session = Session(PARAMETERS | changed)
    prepared = SUBJECT.prepare(ReaderInputs(study_of(volume.headers), volumes=(volume,)))
    if isinstance(prepared, Refusal):
        return prepared
    assert isinstance(prepared, Prepared)
    return SUBJECT.interpret(session, prepared, SUBJECT.infer(session, prepared))


def result(volume: Volume, **changed: Any) -> ReadResult:
    ending = read(volume, **changed)
    assert isinstance(ending, ReadResult), ending
    return ending


def refusal(volume: Volume) -> Refusal:
    ending = read(volume)
    assert isinstance(ending, Refusal)
    return ending


def densities(ending: ReadResult) -> dict[str, tuple[float, float]]:
    return {
        one.site.meaning.removesuffix(" vertebra"): (one.value, one.uncertainty or 0.0)
        for one in ending.measurements
        if one.concept == words.DENSITY and one.site is not None
    }


def called(ending: ReadResult) -> dict[str, Presence]:
    return {one.key: one.presence for one in ending.findings}


def edited(scanned: Volume, box: tuple[tuple[float, float], ...], hu: float) -> Volume:
    """Return the volume with a box ((x, x), (y, y), (z, z)) in LPS mm filled."""
    index = np.stack(np.meshgrid(*map(np.arange, scanned.voxels.shape), indexing="ij"), axis=-1)
    place = scanned.geometry.to_patient(index.reshape(-1, 3)).reshape(*index.shape)
    inside = np.ones(scanned.voxels.shape, dtype=np.bool_)
    for axis, (low, high) in enumerate(box):
        inside &= (place[..., axis] >= low) & (place[..., axis] <= high)
    return replace(scanned, voxels=np.where(inside, np.float32(hu), scanned.voxels))


def slices(volume: Volume, first: int, last: int) -> Volume:
    matrix = volume.geometry.matrix()
    matrix[:3, 3] += matrix[:3, 0] * first
    affine = tuple(tuple(float(v) for v in row) for row in matrix[:3])
    geometry = replace(volume.geometry, shape=(last - first, *volume.geometry.shape[1:]), affine=affine)  # type: ignore[arg-type]
    return replace(
        volume, voxels=volume.voxels[first:last], geometry=geometry, headers=volume.headers[first:last], frames=()
    )


def test_every_level_has_its_own_density_within_3_mg(plain: Scan) -> None:
    found = densities(result(plain.volume))
    assert sorted(found) == ["L1", "L2", "L3", "L4", "L5", "T12"]
    for level, (value, half) in found.items():
        truth = plain.visit.structure(f"{level} trabecular").more["ha_mg_cm3"]
        assert abs(value - truth) <= 3.0, (level, value, truth)
        assert 0 < half < 8


def test_regions_lie_in_the_trabecular_bone_of_their_vertebra(plain: Scan) -> None:
    series: Any = plain.visit.series[0]
    ending = result(plain.volume)
    assert len(ending.regions) == 6
    for region in ending.regions:
        level = region.label.split(" ")[0]
        assert region.geometry is not None
        places = region.geometry.to_patient(np.argwhere(region.mask))
        index = np.rint(series.grid.geometry.to_index(places)).astype(int)
        assert series.mask(f"{level} trabecular")[tuple(index.T)].all(), level
        assert region.mask.shape[0] == len(region.images)


def test_what_is_said_of_a_normal_spine(plain: Scan) -> None:
    ending = result(plain.volume)
    assert called(ending) == {words.LOW: Presence.ABSENT, words.FRACTURE: Presence.ABSENT}
    assert any("4 rods" in note for note in ending.notes)
    assert any("normal range" in note for note in ending.notes)


def test_low_density_and_a_wedge_in_a_tilted_scan(broken: Scan) -> None:
    ending = result(broken.volume)
    assert called(ending) == {words.LOW: Presence.PRESENT, words.FRACTURE: Presence.PRESENT}
    assert any(note.startswith("L2:") and "height loss" in note for note in ending.notes)
    found = densities(ending)
    assert all(abs(value - 60) <= 3.0 for value, _ in found.values()), found


def test_contrast_agent_is_said_and_not_corrected(tmp_path: Path) -> None:
    truth = ("aorta_hu=160", "contrast_bone_hu=11")
    enhanced = scan(tmp_path, *truth, seed=6, spacing_mm=(3.0, 1.5, 1.5), kernel_mm=2.5)
    ending = result(enhanced.volume)
    assert any("contrast agent in the aorta" in note for note in ending.notes)
    # 11 HU at 1.2 HU per mg/cm3.
    assert densities(ending)["L1"][0] - 140 == pytest.approx(11 / 1.2, abs=3)


def test_without_rods_there_are_hounsfield_units_only_unless_the_site_calibrated(plain: Scan) -> None:
    bare = edited(plain.volume, ((-999, 999), (112, 999), (-999, 999)), -1000)
    ending = result(bare)
    assert densities(ending) == {}
    assert called(ending)[words.LOW] is Presence.NOT_ASSESSED
    assert any("no mg/cm3" in note and "120 kV" in note for note in ending.notes)
    assert sum(one.concept == words.ATTENUATION for one in ending.measurements) == 12
    calibrated = densities(result(bare, asynchronous=[SITE_CALIBRATION]))
    assert abs(calibrated["L1"][0] - 140) <= 3
    assert calibrated["L1"][1] > 0.05 * 1.9 * 140


def test_a_vertebra_with_metal_is_left_out_and_said(plain: Scan) -> None:
    ending = result(edited(plain.volume, ((-3, 3), (34, 42), (46, 55)), 2800))
    assert "L1" not in densities(ending)
    assert "L2" in densities(ending)
    assert any(note.startswith("L1 not measured: metal") for note in ending.notes)
    assert called(ending)[words.LOW] is Presence.NOT_ASSESSED


@pytest.mark.parametrize(("ends", "said"), [((0, 66), "ribs"), ((26, 87), "sacrum"), ((30, 60), "")])
def test_a_field_without_an_anchor_is_refused(plain: Scan, ends: tuple[int, int], said: str) -> None:
    """From L5 to L2, from L5 up without sacrum, L3 and L2 only."""
    reason = refusal(slices(plain.volume, *ends)).reason
    assert reason.code is ReasonCode.INDETERMINATE
    assert said in reason.text()


def test_ribs_at_another_level_contradict_the_count(plain: Scan) -> None:
    """A vertebra more between ribs and sacrum: the ribs of T12 are taken away, those of T11 stay."""
    volume = plain.volume
    for left, right in ((-200, -28), (28, 200)):
        volume = edited(volume, ((left, right), (0, 111), (30, 101)), 50)
    reason = refusal(volume).reason
    assert reason.code is ReasonCode.INDETERMINATE
    assert "6 vertebrae" in reason.text() or "ribs" in reason.text()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"quantity": Quantity.ARBITRARY}, ReasonCode.PIXEL_MEANING),
        ({"modality": "MR"}, ReasonCode.WRONG_MODALITY),
        ({"nan": True}, ReasonCode.PIXELS_NOT_FINITE),
    ],
)
def test_what_is_no_ct_of_a_spine_is_refused(plain: Scan, change: dict[str, Any], code: ReasonCode) -> None:
    volume = plain.volume
    if "modality" in change:
        volume = replace(volume, headers=tuple(replace(one, modality="MR") for one in volume.headers))
    elif "nan" in change:
        voxels = volume.voxels.copy()
        voxels[3, 3, 3] = np.nan
        volume = replace(volume, voxels=voxels)
    else:
        volume = replace(volume, **change)
    assert refusal(volume).reason.code is code


def test_a_block_of_water_holds_no_spine(plain: Scan) -> None:
    noise = np.random.default_rng(1).normal(0, 10, plain.volume.voxels.shape).astype(np.float32)
    assert refusal(replace(plain.volume, voxels=noise)).reason.code is ReasonCode.INDETERMINATE


def test_mineral_and_its_interval() -> None:
    calibration = calibration_of((1.2, 6.0, 1.0, 4.0), None, PARAMETERS)
    assert calibration is not None
    value, half = mineral(126.0, 2.4, calibration)
    assert value == pytest.approx(100.0)
    assert half == pytest.approx(np.hypot(2.0, 1.959964 / 1.2), abs=1e-4)
    assert calibration_of((0.0, 0.0, 0.0, 0.0), 120.0, PARAMETERS) is None
    other = calibration_of((0.0, 0.0, 0.0, 0.0), 80.0, PARAMETERS | {"asynchronous": [SITE_CALIBRATION]})
    assert other is None, "a calibration at 120 kV must not serve 80 kV"


@pytest.mark.parametrize(
    ("value", "name"), [(79.9, "osteoporosis range"), (80.0, "osteopenia range"), (120.1, "normal range")]
)
def test_ranges(value: float, name: str) -> None:
    assert range_name(value, PARAMETERS["cut_offs_mg_cm3"]) == name


def test_height_loss_of_one_body_among_normal_ones() -> None:
    heights = np.full((6, 3), 27.0)
    found = np.ones(6, dtype=np.bool_)
    assert all(one.grade() == "none" for one in height_losses(heights, found))
    heights[2] = 27 * 0.55
    worst = max(height_losses(heights, found), key=lambda one: one.share)
    assert (worst.row, worst.grade()) == (2, "severe")
    assert worst.share == pytest.approx(0.45)
    heights[2] = (27 * 0.78, 27 * 0.9, 27.0)
    worst = max(height_losses(heights, found), key=lambda one: one.share)
    assert (worst.row, worst.place, worst.grade()) == (2, "front", "mild")


def test_card_and_page_say_what_was_measured() -> None:
    folder = Path(words.__file__).parent
    document = json.loads((folder / "measurements.json").read_text(encoding="utf-8"))
    assert read_card(folder / "card.toml").validation == sentence(document)
    page = (folder / "README.md").read_text(encoding="utf-8")
    assert sentence(document) in " ".join(page.split())
