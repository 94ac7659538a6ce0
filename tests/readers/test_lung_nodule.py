"""Lung nodules in whole CT: what is found, measured, graded, followed and refused, on bodies drawn here."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from coread.domain.cards import OperatingPoint
from coread.domain.findings import Presence
from coread.domain.geometry import Geometry
from coread.domain.images import Quantity, Volume
from coread.domain.reading import Arrays, Prior, ReaderInputs
from coread.domain.reasons import ReasonCode
from coread.domain.results import ReadResult, Refusal
from coread.engine.checks import check_ending
from coread.engine.conformance.volumes import run_other_way
from coread.engine.samples import study_of
from coread.models.calibration import sigmoid
from coread.readers.lung_nodule.followup import Errors, FollowUp
from coread.readers.lung_nodule.frame import framed, thinned
from coread.readers.lung_nodule.grading import History, fleischner, highest, lung_rads
from coread.readers.lung_nodule.lungs import Lungs, find_lungs
from coread.readers.lung_nodule.nodules import Scan, nodules_of, opened
from coread.readers.lung_nodule.outline import Density, outlined
from coread.readers.lung_nodule.outputs import GROWTH, HEAD, INPUT, NODULE
from coread.readers.lung_nodule.packaging import volume_of
from coread.readers.lung_nodule.reader import LungNoduleReader
from coread.readers.lung_nodule.results import Read, result_of
from coread.readers.lung_nodule.shape import shape_of
from coread.readers.lung_nodule.words import CARD, NODULE_OUTPUT, POINT, POINT_RULE, THRESHOLD

BOTH = ((0.0, 1.0), (0.0, 1.0))
STEP = (2.5, 2.0, 2.0)
SHAPE = (68, 80, 126)
READER = LungNoduleReader(
    replace(
        CARD,
        outputs=(
            replace(NODULE_OUTPUT, operating_points=(OperatingPoint(POINT, THRESHOLD, POINT_RULE, None, None, ""),)),
            CARD.outputs[1],
        ),
    )
)
KINDS = ("solid", "part-solid", "ground-glass")


@dataclass(frozen=True)
class BrightMiddle:
    """Says nodule where the middle of a patch is brighter than its surroundings, as the network does of balls."""

    digest: str = "0" * 64
    runtime: str = "drawn"

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"repeatability": dict.fromkeys(KINDS, 0.25), "volume_error": dict.fromkeys(KINDS, 0.2)}

    def run(self, _graph: str, inputs: Arrays) -> dict[str, NDArray[Any]]:
        batch = inputs[INPUT][:, 0]
        rows, columns = np.mgrid[:50, :50] - 24.5
        away = np.hypot(rows, columns)
        around = np.quantile(batch[:, (away > 13) & (away < 17)], 0.9, axis=1)
        logits = 40 * (batch[:, away < 4].mean(axis=1) - around) - 6
        return {HEAD: logits[:, np.newaxis]}

    def calibrate(self, _key: str, logit: float) -> float:
        return sigmoid(logit)


def grid(step: tuple[float, float, float] = STEP, shape: tuple[int, int, int] = SHAPE) -> Geometry:
    z, y, x = (-(n - 1) / 2 * s for n, s in zip(shape, step, strict=True))
    return Geometry(shape, ((0.0, 0.0, step[2], x), (0.0, step[1], 0.0, y), (step[0], 0.0, 0.0, z)), "1.2.3")


def body(
    balls: tuple[tuple[float, float, float, float, float], ...] = (),
    *,
    lungs: tuple[float, ...] = (-55.0, 55.0),
    lung_hu: float = -860.0,
    shift: float = 0.0,
    geometry: Geometry | None = None,
) -> NDArray[np.float32]:
    """Return a body with two ellipsoids of lung and balls (x, y, z in LPS mm, radius, HU); each voxel 8 samples."""
    geometry = geometry or grid()
    out = np.zeros(geometry.shape, dtype=np.float32)
    index = np.moveaxis(np.indices(geometry.shape), 0, -1).reshape(-1, 3).astype(np.float32)
    for offset in np.ndindex(2, 2, 2):
        x, y, z = geometry.to_patient(index + (np.asarray(offset) - 0.5) / 2).T
        x = x - shift
        hu = np.where((x / 115) ** 2 + (y / 72) ** 2 < 1, 40.0, -1000.0)
        for center in lungs:
            hu[((x - center) / 42) ** 2 + (y / 55) ** 2 + (z / 75) ** 2 < 1] = lung_hu
        for bx, by, bz, radius, value in balls:
            hu[(x - bx) ** 2 + (y - by) ** 2 + (z - bz) ** 2 < radius**2] = value
        out += hu.reshape(geometry.shape).astype(np.float32) / 8
    noise = np.random.default_rng(3).normal(0, 12, geometry.shape)
    return (out + noise).astype(np.float32)


def scan(values: NDArray[np.float32], name: str = "one", date: str = "20260402") -> Volume:
    return volume_of(values, grid(shape=values.shape), name, study_date=date)


def read(volume: Volume, prior: Volume | None = None) -> ReadResult | Refusal:
    priors = () if prior is None else (Prior(study_of(prior.headers), volumes=(prior,)),)
    prepared = READER.prepare(ReaderInputs(study_of(volume.headers), volumes=(volume,), priors=priors))
    if isinstance(prepared, Refusal):
        return prepared
    session = BrightMiddle()
    return READER.interpret(session, prepared, READER.infer(session, prepared))


def result(volume: Volume, prior: Volume | None = None) -> ReadResult:
    said = read(volume, prior)
    assert isinstance(said, ReadResult)
    check_ending(READER.card, said, volume.headers)
    return said


SOLID = (-70.0, 10.0, 20.0, 6.0, 40.0)
GLASS = (65.0, -20.0, -30.0, 8.0, -560.0)


@pytest.fixture(scope="module")
def two() -> Volume:
    return scan(body((SOLID, GLASS)))


@pytest.fixture(scope="module")
def said(two: Volume) -> ReadResult:
    return result(two)


def volumes_of(result: ReadResult) -> list[float]:
    return sorted(item.value for item in result.measurements if item.concept.value == "118565006" and item.tracking)


def test_both_nodules_are_found_measured_and_placed(said: ReadResult) -> None:
    present = [item for item in said.findings if item.presence is Presence.PRESENT]
    assert {item.key for item in present} == {NODULE}
    assert sorted(item.laterality.meaning for item in present if item.laterality) == ["Left", "Right"]
    truth = sorted(4 / 3 * np.pi * ball[3] ** 3 for ball in (SOLID, GLASS))
    assert volumes_of(said) == pytest.approx(truth, rel=0.15)
    assert {region.label for region in said.regions} == {"solid nodule", "ground-glass nodule"}
    assert any("right lung, middle zone" in note for note in said.notes)
    growth = next(item for item in said.findings if item.key == GROWTH)
    assert growth.presence is Presence.NOT_ASSESSED


def test_outlines_lie_where_the_nodules_are(said: ReadResult) -> None:
    centers = [
        region.geometry.to_patient(np.argwhere(region.mask).mean(axis=0, keepdims=True))[0]
        for region in said.regions
        if region.geometry is not None
    ]
    for ball in (SOLID, GLASS):
        assert min(float(np.linalg.norm(center - ball[:3])) for center in centers) < 1.0


@pytest.mark.slow
def test_the_way_in_which_the_axes_run_changes_nothing(two: Volume, said: ReadResult) -> None:
    other = result(run_other_way(two))
    assert volumes_of(other) == pytest.approx(volumes_of(said), rel=1e-3)
    assert [item.tracking for item in other.findings] == [item.tracking for item in said.findings]


@pytest.mark.parametrize(
    ("vanished", "outside", "presence"),
    [
        (0, 0, Presence.NOT_ASSESSED),
        (0, 1, Presence.NOT_ASSESSED),
        (1, 0, Presence.ABSENT),
        (1, 1, Presence.INDETERMINATE),
    ],
)
def test_growth_is_absent_only_where_every_earlier_nodule_was_looked_at(
    two: Volume, vanished: int, outside: int, presence: Presence
) -> None:
    found = opened(two)
    assert isinstance(found, Scan)
    one = nodules_of(found, [1.0] * len(found.candidates), 0.5)[0]
    followed = FollowUp(90.0, (), (), (one,) * vanished, (one,) * outside, 0.9)
    read_now = Read(found, (), 0.1, Errors({}, {}), followed, ())
    result_now = result_of(READER.card, read_now)
    assert next(item for item in result_now.findings if item.key == GROWTH).presence is presence


def test_lungs_that_are_cut_off_and_show_nothing_have_no_category(two: Volume) -> None:
    found = opened(two)
    assert isinstance(found, Scan)
    for whole, words in ((True, "what was found: 1."), (False, "no category")):
        lungs = replace(found.lungs, whole=whole)
        said = result_of(READER.card, Read(replace(found, lungs=lungs), (), 0.1, Errors({}, {}), None, ()))
        assert words in said.notes[-1]


@pytest.mark.slow
def test_a_moved_patient_keeps_the_identity_and_growth_is_real(two: Volume, said: ReadResult) -> None:
    grown = (*SOLID[:3], 6.0 * 1.5 ** (1 / 3), 40.0)
    fresh = (60.0, 30.0, 40.0, 5.0, 40.0)
    later = scan(body((grown, GLASS, fresh), shift=5.0), "two", "20260701")
    now = result(later, two)
    before = {item.tracking.uid for item in said.findings if item.tracking}
    after = {item.tracking.uid for item in now.findings if item.tracking}
    assert before < after
    assert len(after - before) == 1
    (change,) = [m.value for m in now.measurements if m.concept.value == "VOLUME_CHANGE" and m.value > 25]
    assert change == pytest.approx(50, abs=12)
    (doubling,) = [m.value for m in now.measurements if m.concept.value == "DOUBLING_TIME"]
    assert doubling == pytest.approx(90 * np.log(2) / np.log(1.5), rel=0.3)
    assert any(note.startswith("New: solid nodule, left lung") for note in now.notes)
    assert next(item for item in now.findings if item.key == GROWTH).presence is Presence.PRESENT


@pytest.mark.slow
def test_a_vanished_nodule_is_named_and_nothing_grew(two: Volume) -> None:
    now = result(scan(body((SOLID,)), "gone", "20260701"), two)
    assert any(note.startswith("No longer seen: ground-glass nodule, left lung") for note in now.notes)
    assert next(item for item in now.findings if item.key == GROWTH).presence is Presence.ABSENT


@pytest.mark.slow
def test_an_earlier_scan_of_someone_else_is_not_compared(two: Volume) -> None:
    half = np.array(two.voxels)
    half[:34] = 40.0
    now = result(two, scan(half, "half", "20260101"))
    assert any("Not compared with the earlier study" in note for note in now.notes)


def test_lungs_without_a_nodule_are_negative() -> None:
    (nodule, _) = result(scan(body())).findings
    assert nodule.presence is Presence.ABSENT


def test_cut_off_lungs_without_a_nodule_are_indeterminate() -> None:
    said = result(scan(body()[20:]))
    assert said.findings[0].presence is Presence.INDETERMINATE
    assert any("cut off at the bottom" in note for note in said.notes)


@pytest.mark.slow
def test_one_lung_is_read_with_a_remark() -> None:
    said = result(scan(body((SOLID,), lungs=(-55.0,))))
    assert any("only the right lung" in note for note in said.notes)
    assert said.findings[0].presence is Presence.PRESENT


@pytest.mark.parametrize(
    ("values", "code"),
    [
        (body(lungs=()), ReasonCode.NO_ELIGIBLE),
        (body(lung_hu=-998.0), ReasonCode.NO_ELIGIBLE),
        (np.zeros(SHAPE, dtype=np.float32), ReasonCode.PIXELS_CONSTANT),
        (np.full(SHAPE, np.nan, dtype=np.float32), ReasonCode.PIXELS_NOT_FINITE),
        (body()[:10], ReasonCode.TOO_FEW_IMAGES),
        (body()[:24], ReasonCode.NO_ELIGIBLE),
    ],
    ids=["no lungs", "gas only", "constant", "not finite", "few slices", "a corner of lung"],
)
def test_what_it_does_not_read(values: NDArray[np.float32], code: ReasonCode) -> None:
    said = read(scan(values))
    assert isinstance(said, Refusal)
    assert said.reason.code is code


def test_thick_slices_other_meanings_and_no_volume_are_refused(two: Volume) -> None:
    thick = volume_of(two.voxels, grid(step=(6.0, 1.6, 1.6)), "thick", study_date="")
    for volume, code in (
        (thick, ReasonCode.WRONG_SPACING),
        (replace(two, quantity=Quantity.ARBITRARY), ReasonCode.PIXEL_MEANING),
    ):
        said = read(volume)
        assert isinstance(said, Refusal)
        assert said.reason.code is code
    refused = READER.prepare(ReaderInputs(study_of(two.headers)))
    assert isinstance(refused, Refusal)


def test_a_part_solid_nodule_is_told_from_a_solid_one() -> None:
    step = (1.5, 0.8, 0.8)
    geometry = grid(step, (50, 64, 64))
    hu = np.full(geometry.shape, -860.0, dtype=np.float32)
    index = np.moveaxis(np.indices(geometry.shape), 0, -1).reshape(-1, 3).astype(np.float32)
    away = np.linalg.norm(geometry.to_patient(index), axis=1).reshape(geometry.shape)
    lungs = Lungs(np.ones(geometry.shape, bool), hu, geometry, 1.0, 0.0, BOTH, (), True, BOTH)
    for inner, expected in ((4.0, Density.PART_SOLID), (7.0, Density.SOLID)):
        drawn = hu.copy()
        drawn[away < 7.0] = -560.0
        drawn[away < inner] = 40.0
        outline = outlined(framed(volume_of(drawn, geometry, "x", study_date="")), lungs, (0.3, -0.2, 0.4), 5.0)
        assert outline is not None
        assert outline.density is expected
        assert outline.volume_mm3 == pytest.approx(4 / 3 * np.pi * 7**3, rel=0.12)
        assert outline.solid_mm3 == pytest.approx(4 / 3 * np.pi * inner**3, rel=0.15)
    assert outlined(framed(volume_of(hu, geometry, "y", study_date="")), lungs, (0.0, 0.0, 0.0), 5.0) is None


def test_the_lungs_of_the_drawn_body_have_their_volume(two: Volume) -> None:
    lungs = find_lungs(framed(two))
    assert isinstance(lungs, Lungs)
    assert lungs.volume_ml == pytest.approx(2 * 4 / 3 * np.pi * 42 * 55 * 75 / 1000, rel=0.03)
    assert lungs.whole
    assert abs(lungs.middle_x) < 3


@pytest.mark.parametrize("shape", [(9, 10, 11), (4, 7, 13), (1, 2, 3)])
def test_a_mirrored_scan_is_thinned_to_the_mirrored_means(shape: tuple[int, int, int]) -> None:
    values = np.random.default_rng(1).normal(0, 100, shape).astype(np.float32)
    geometry = grid((1.2, 0.8, 0.7), shape)
    means, where = thinned(framed(Volume(values, Quantity.HOUNSFIELD, geometry, ())), 2.5)
    mirrored = np.ascontiguousarray(values[:, :, ::-1])
    other, there = thinned(framed(Volume(mirrored, Quantity.HOUNSFIELD, geometry, ())), 2.5)
    assert there == where
    assert other[:, :, ::-1] == pytest.approx(means, abs=1e-3)
    ends = where.to_patient(np.array([[0.0, 0.0, 0.0], np.subtract(where.shape, 1)]))
    assert ends.sum(axis=0) == pytest.approx(0, abs=1e-9)


def test_lumps_are_compact_and_vessels_sheets_and_forks_are_not() -> None:
    geometry = grid((1.25, 0.7, 0.7), (32, 60, 60))
    places = geometry.to_patient(np.moveaxis(np.indices(geometry.shape), 0, -1).reshape(-1, 3))
    z, y, x = (places[:, axis].reshape(geometry.shape) for axis in (2, 1, 0))

    def tube(*way: float) -> NDArray[np.bool_]:
        along = (x * way[0] + y * way[1] + z * way[2]) / np.linalg.norm(way)
        return np.asarray((x**2 + y**2 + z**2 - along**2 < 2.0**2) & (along > 0) & (along < 18))

    ball, egg = x**2 + y**2 + z**2 < 25, (x / 8) ** 2 + (y / 5) ** 2 + (z / 5) ** 2 < 1
    assert shape_of(ball, geometry).fill == pytest.approx(1, abs=0.03)
    assert shape_of(ball, geometry).short > 0.95
    assert shape_of(egg, geometry).middle == pytest.approx(5 / 8, abs=0.03)
    assert shape_of(ball, geometry).compact()
    assert shape_of(egg, geometry).compact()
    assert not shape_of(tube(1, 0.5, 0.2), geometry).compact()
    assert not shape_of((np.abs(y) < 1) & (np.hypot(x, z) < 8), geometry).compact()
    assert not shape_of(tube(1, 0, 0.3) | tube(-1, 1, 0) | tube(-0.6, -1, 0.4), geometry).compact()


@pytest.mark.parametrize("lungs", [(), (-55.0, 55.0)], ids=["a limb", "a chest"])
def test_neither_blankets_nor_the_foam_of_the_table_are_lung(lungs: tuple[float, ...]) -> None:
    plain, values = body(lungs=lungs), body(lungs=lungs)
    random = np.random.default_rng(5)
    room = values < -950
    values[room] = random.choice([-995.0, -940.0], int(room.sum()), p=[0.4, 0.6])
    values[:, 76:79, 20:106] = -920.0
    values[:, 79, 20:106] = -150.0
    found, expected = find_lungs(framed(scan(values))), find_lungs(framed(scan(plain)))
    if isinstance(expected, Lungs):
        assert isinstance(found, Lungs)
        assert found.whole
        assert found.volume_ml == pytest.approx(expected.volume_ml)
    else:
        assert found == expected == "no lungs were found"


def test_the_lobe_is_that_which_usually_lies_there() -> None:
    hu = np.zeros((2, 2, 2), dtype=np.float32)
    heights, depths = ((0.0, 200.0), (0.0, 200.0)), ((-80.0, 80.0), (-80.0, 80.0))
    lungs = Lungs(np.ones((2, 2, 2), bool), hu, grid(), 1.0, 0.0, heights, (), True, depths)
    said = [lungs.lobe_of(np.array(place)) for place in ((-50, -60, 180), (-50, -60, 60), (-50, 60, 60), (50, -60, 60),
                                                        (50, 70, 100), (50, 0, 190))]  # fmt: skip
    assert said == ["right upper lobe", "right middle lobe", "right lower lobe", "left upper lobe", "left lower lobe",
                    "left upper lobe"]  # fmt: skip


@pytest.mark.parametrize(
    ("density", "mean", "solid", "history", "category"),
    [
        ("solid", 5.9, 5.9, "first scan", "2"),
        ("solid", 6.0, 6.0, "first scan", "3"),
        ("solid", 8.0, 8.0, "there before", "4A"),
        ("solid", 15.0, 15.0, "first scan", "4B"),
        ("solid", 3.9, 3.9, "new", "2"),
        ("solid", 4.0, 4.0, "new", "3"),
        ("solid", 6.0, 6.0, "new", "4A"),
        ("solid", 8.0, 8.0, "new", "4B"),
        ("solid", 7.9, 7.9, "growing", "4A"),
        ("solid", 8.0, 8.0, "growing", "4B"),
        ("part-solid", 5.9, 3.0, "first scan", "2"),
        ("part-solid", 6.0, 5.9, "first scan", "3"),
        ("part-solid", 9.0, 6.0, "first scan", "4A"),
        ("part-solid", 9.0, 8.0, "first scan", "4B"),
        ("part-solid", 5.0, 2.0, "new", "3"),
        ("part-solid", 9.0, 3.9, "growing", "4A"),
        ("part-solid", 9.0, 4.0, "growing", "4B"),
        ("ground-glass", 29.9, 0.0, "new", "2"),
        ("ground-glass", 30.0, 0.0, "first scan", "3"),
    ],
)
def test_lung_rads_limits(density: str, mean: float, solid: float, history: str, category: str) -> None:
    assert lung_rads(Density(density), mean, solid, History(history)) == category


def test_fleischner_limits_and_the_category_of_a_scan() -> None:
    assert fleischner(Density.SOLID, 99.9) == "solid, below 100 mm3"
    assert fleischner(Density.SOLID, 250.0) == "solid, 100 to 250 mm3"
    assert fleischner(Density.SOLID, 250.1) == "solid, above 250 mm3"
    assert fleischner(Density.GROUND_GLASS, 100.0) == "ground-glass, at least 100 mm3"
    assert highest([]) == "1"
    assert highest(["2", "4B", "4A"]) == "4B"
