"""Echo loops and radiographs with devices: volumes, outlines and tips are where the truth says."""

import numpy as np
import pydicom
import pytest

from coread.phantoms.reference.chest_device import CARINA_CM, KINDS, DeviceTruth, course
from coread.phantoms.reference.chest_device import make as make_device
from coread.phantoms.reference.errors import BadTruth
from coread.phantoms.reference.heart_beat import Beat
from coread.phantoms.reference.scan import Setup
from coread.phantoms.reference.us_echo import EchoSeries, EchoTruth, cavity, outline
from coread.phantoms.reference.us_echo import make as make_echo

QUICK = EchoTruth(edv_ml=150.0, esv_ml=75.0, frame_time_ms=60.0)


def loops(truth: EchoTruth = QUICK) -> tuple[EchoSeries, EchoSeries]:
    first, second = make_echo(truth, Setup(seed=2)).visits[0].series
    assert isinstance(first, EchoSeries)
    assert isinstance(second, EchoSeries)
    return first, second


@pytest.mark.parametrize("frame", [0, 3, 5, 9])
def test_biplane_disc_summation_of_the_drawn_masks_gives_the_exact_volume(frame: int) -> None:
    """Diameters are counted in the pixels of both views, along the leaning axis: nothing of the formula is used."""
    diameters = []
    for one in loops():
        rows, columns = np.nonzero(one.mask("left ventricle")[frame])
        sector = one.sector
        x = (columns + 0.5 - sector.columns / 2) * sector.pixel_mm
        depth = (rows + 0.5 - sector.top) * sector.pixel_mm
        _, along = one.plane.local(x.astype(np.float32), depth.astype(np.float32))
        length = cavity(one.truth, frame).length_mm
        counts, _ = np.histogram(along, bins=20, range=(0, length))
        diameters.append(counts * sector.pixel_mm**2 / (length / 20))
    volume = np.pi / 4 * (diameters[0] * diameters[1]).sum() * length / 20 / 1000
    assert volume == pytest.approx(cavity(QUICK, frame).volume_ml, rel=0.02)


def test_the_cavity_is_darker_than_the_wall_and_speckle_moves_with_it() -> None:
    for one in loops():
        for frame in (0, QUICK.beat.end_systole):
            picture = one.frames[frame].astype(float)
            cavity_level = picture[one.mask("left ventricle")[frame]].mean()
            assert cavity_level < 0.7 * picture[one.mask("muscle")[frame]].mean()
        assert (one.frames[0] != one.frames[1]).any()
        assert (one.frames[:, :5] == 0).all(), "nothing is drawn above the probe"


def test_the_loop_says_how_long_a_frame_takes_and_how_large_a_pixel_is() -> None:
    one = loops()[0]
    dataset: pydicom.Dataset = next(one.datasets())
    assert int(dataset.NumberOfFrames) == len(one.frames) == QUICK.frames_per_beat
    assert float(dataset.FrameTime) == 60.0
    region = dataset.SequenceOfUltrasoundRegions[0]
    assert region.PhysicalDeltaX == pytest.approx(one.sector.pixel_mm / 10)
    assert (region.PhysicalUnitsXDirection, region.RegionDataType) == (3, 1)
    assert dataset.pixel_array.shape == one.frames.shape


def test_the_outline_lies_on_the_edge_of_the_mask() -> None:
    one = loops()[1]
    for frame in (0, QUICK.beat.end_systole):
        mask = one.mask("left ventricle")[frame]
        edge = mask & ~(np.roll(mask, 1, 0) & np.roll(mask, -1, 0) & np.roll(mask, 1, 1) & np.roll(mask, -1, 1))
        places = np.argwhere(edge) + 0.5
        for column, row in outline(one, frame):
            assert np.abs(places - [row, column]).max(axis=1).min() < 2.0


def test_two_beats_repeat_the_volumes() -> None:
    made = make_echo(EchoTruth(frame_time_ms=60.0, beats=2), Setup())
    facts = made.visits[0].facts
    half = len(facts["volumes_ml"]) // 2
    assert facts["volumes_ml"][:half] == facts["volumes_ml"][half:]
    assert len(facts["end_systolic_frames"]) == 2


@pytest.mark.parametrize("phases", [9, 29, 100])
def test_a_beat_is_full_once_and_empty_once(phases: int) -> None:
    beat = Beat(phases)
    levels = [beat.emptied(k) for k in range(phases)]
    assert levels[0] == 0.0
    assert int(np.argmax(levels)) == beat.end_systole
    assert max(levels) == pytest.approx(1.0)
    assert beat.emptied(phases) == 0.0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"edv_ml": 50.0, "esv_ml": 60.0}, "below"), ({"heart_rate": 160.0, "frame_time_ms": 60.0}, "12 frames"),
        ({"edv_ml": 350.0, "depth_mm": 120.0}, "does not hold"), ({"quality": 2.0}, "quality"),
    ],
)  # fmt: skip
def test_echoes_that_cannot_be_are_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(BadTruth, match=message):
        EchoTruth(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize("setup", [Setup(spacing_mm=(1, 1, 1)), Setup(tilt_degrees=5), Setup(orientation="coronal")])
def test_pictures_without_planes_take_no_geometry(setup: Setup) -> None:
    with pytest.raises(BadTruth, match="no planes"):
        make_echo(QUICK, setup)
    with pytest.raises(BadTruth, match="no planes"):
        make_device(DeviceTruth(), setup)
    with pytest.raises(BadTruth, match="noise"):
        make_device(DeviceTruth(), Setup(noise=2.0))


@pytest.mark.parametrize("name", KINDS)
def test_a_device_ends_at_its_stated_height_and_absorbs_along_its_course(name: str) -> None:
    kind = KINDS[name]
    for below in (kind.low_mm, kind.usual_mm, kind.high_mm):
        assert course(name, below, top=-19.0)[-1][1] == pytest.approx(CARINA_CM[1] + below / 10)
    plain = make_device(DeviceTruth(devices=(), rows=512), Setup(seed=5)).visits[0]
    drawn = make_device(DeviceTruth(devices=(name,), rows=512), Setup(seed=5)).visits[0]
    before, after = (next(one.series[0].datasets()).pixel_array.astype(float) for one in (plain, drawn))
    device = drawn.facts["devices"][0]
    column, row = device["tip_column_row"]
    changed = np.abs(after - before)
    quiet = float(np.percentile(changed, 90))
    assert changed[int(row) - 6 : int(row) + 7, int(column) - 6 : int(column) + 7].max() > quiet
    on_course = [changed[int(r), int(c)] for c, r in device["course_column_row"] if 0 <= r < 512 and 0 <= c < 512]
    assert float(np.mean(on_course)) > 1.5 * float(changed.mean())
    spacing = drawn.facts["pixel_mm"]
    carina = drawn.facts["carina_column_row"]
    assert (row - carina[1]) * spacing == pytest.approx(device["tip_below_carina_mm"], abs=0.2)
    assert (column - carina[0]) * spacing == pytest.approx(device["tip_left_of_carina_mm"], abs=0.2)


def test_a_tube_that_is_too_deep_lies_in_the_right_bronchus() -> None:
    tip = course("endotracheal-tube", 25.0, top=-19.0)[-1]
    assert tip[0] < CARINA_CM[0] - 2.0


@pytest.mark.parametrize(
    "devices",
    [("stent",), ("central-line:far",), ("endotracheal-tube:400",), ("pacemaker", "pacemaker:90")],
)
def test_devices_that_cannot_be_are_refused(devices: tuple[str, ...]) -> None:
    with pytest.raises(BadTruth):
        DeviceTruth(devices=devices)
