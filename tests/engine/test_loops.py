"""Which moving objects of a study a reader of loops is given, what they say of themselves, what is said of others."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from coread.domain.cards import ReaderCard
from coread.domain.images import Loop, Sector
from coread.domain.reasons import ReasonCode
from coread.domain.results import Refusal
from coread.engine.loading import Loaded, load_inputs
from coread.phantoms.dx import code_item, file_meta
from coread.readers.card_file import read_card
from tests.engine.inputs import radiograph, study_of
from tests.models.tiny_reader import CARD

FRAMES, ROWS, COLUMNS = 9, 24, 32
VALUES = np.random.default_rng(3).integers(0, 256, (FRAMES, ROWS, COLUMNS), dtype=np.uint8)


@pytest.fixture
def card(tmp_path: Path) -> ReaderCard:
    (tmp_path / "card.toml").write_text(CARD)
    made = read_card(tmp_path / "card.toml")
    contract = replace(
        made.input, presentation="loop", views=("A4C", "A2C"), min_images=8, max_images=20, max_pixels=100_000
    )
    return replace(made, input=contract)


def region(**changed: Any) -> Dataset:
    item = Dataset()
    item.RegionSpatialFormat, item.RegionDataType = 1, 1
    item.RegionLocationMinX0, item.RegionLocationMinY0 = 2, 1
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = 30, 20
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = 3
    item.PhysicalDeltaX, item.PhysicalDeltaY = 0.05, 0.04
    for keyword, value in changed.items():
        setattr(item, keyword, value)
    return item


def loop_file(path: Path, number: int = 1, values: Any = VALUES, **attributes: Any) -> Path:
    """Write an ultrasound multi-frame object of 8 bits; a view code ``399214001`` unless told otherwise."""
    radiograph(path, np.zeros((4, 4), dtype=np.uint16), number)
    from pydicom import dcmread

    image = dcmread(path)
    image.SOPClassUID = "1.2.840.10008.5.1.4.1.1.3.1"
    image.Modality, image.BodyPartExamined = "US", "HEART"
    del image.ViewPosition, image.WindowCenter, image.WindowWidth
    image.NumberOfFrames, image.Rows, image.Columns = values.shape[:3]
    image.BitsAllocated = image.BitsStored = 8
    image.HighBit = 7
    image.FrameTime = 40.0
    image.ViewCodeSequence = [code_item("399214001", "SCT", "Apical four chamber")]
    image.SequenceOfUltrasoundRegions = [region()]
    if values.ndim == 4:
        image.SamplesPerPixel, image.PhotometricInterpretation, image.PlanarConfiguration = 3, "RGB", 0
    image.PixelData = values.tobytes()
    for keyword, value in attributes.items():
        setattr(image, keyword, value)
    image.file_meta = file_meta(image)
    image.save_as(path, enforce_file_format=True)
    return path


def loops_of(card: ReaderCard, *paths: Path) -> tuple[Loop, ...]:
    ending = given(card, *paths)
    assert isinstance(ending, Loaded), ending
    return ending.inputs.loops


def given(card: ReaderCard, *paths: Path) -> Loaded | Refusal:
    study, sources = study_of(list(paths))
    return load_inputs(card, study, sources)


def test_a_loop_is_given_with_times_view_and_scale(card: ReaderCard, tmp_path: Path) -> None:
    (loop,) = loops_of(card, loop_file(tmp_path / "a.dcm"))
    assert np.allclose(loop.pixels, VALUES / 255, atol=1e-6)
    assert loop.times_ms == tuple(40.0 * k for k in range(FRAMES))
    assert (loop.view, loop.sector) == ("A4C", Sector(2, 1, 31, 21, (0.4, 0.5)))


def test_colour_frames_become_their_luminance(card: ReaderCard, tmp_path: Path) -> None:
    colour = np.random.default_rng(4).integers(0, 256, (FRAMES, ROWS, COLUMNS, 3), dtype=np.uint8)
    (loop,) = loops_of(card, loop_file(tmp_path / "a.dcm", values=colour))
    assert np.allclose(loop.pixels, colour @ [0.299, 0.587, 0.114] / 255, atol=1e-4)


def test_unequal_frame_times_are_kept_and_contradictory_ones_are_not_stated(card: ReaderCard, tmp_path: Path) -> None:
    steps = [0, 30, 50, 40, 40, 40, 40, 40, 40]
    (loop,) = loops_of(card, loop_file(tmp_path / "a.dcm", FrameTimeVector=steps))
    assert loop.times_ms == tuple(np.cumsum(steps).astype(float))
    (loop,) = loops_of(card, loop_file(tmp_path / "b.dcm", FrameTime=0))
    assert loop.times_ms == ()


@pytest.mark.parametrize(
    "changed",
    [{"RegionDataType": 3}, {"PhysicalUnitsXDirection": 4}, {"PhysicalDeltaX": 0.0}, {"RegionSpatialFormat": 2}],
)
def test_a_region_that_is_no_tissue_in_centimetres_gives_no_scale(
    card: ReaderCard, tmp_path: Path, changed: dict[str, Any]
) -> None:
    (loop,) = loops_of(card, loop_file(tmp_path / "a.dcm", SequenceOfUltrasoundRegions=[region(**changed)]))
    assert loop.sector is None


def test_other_views_second_loops_and_stills_are_named_with_their_reason(card: ReaderCard, tmp_path: Path) -> None:
    two = [code_item("399232001", "SCT", "Apical two chamber")]
    files = [
        loop_file(tmp_path / "1.dcm", 1),
        loop_file(tmp_path / "2.dcm", 2, ViewCodeSequence=two),
        loop_file(tmp_path / "3.dcm", 3),
        loop_file(tmp_path / "4.dcm", 4, ViewCodeSequence=[]),
        loop_file(tmp_path / "5.dcm", 5, values=VALUES[:1]),
    ]
    ending = given(card, *files)
    assert isinstance(ending, Loaded)
    assert [loop.view for loop in ending.inputs.loops] == ["A4C", "A2C"]
    assert [reason.code for _, reason in ending.skipped] == [
        ReasonCode.SEVERAL_VOLUMES, ReasonCode.WRONG_VIEW, ReasonCode.TOO_FEW_IMAGES,
    ]  # fmt: skip


def test_too_short_too_long_and_too_large_loops_are_refused(card: ReaderCard, tmp_path: Path) -> None:
    codes = []
    for number, values in enumerate((VALUES[:7], np.tile(VALUES, (3, 1, 1)))):
        ending = given(card, loop_file(tmp_path / f"{number}.dcm", values=values))
        assert isinstance(ending, Refusal)
        codes.append(ending.reason.code)
    small = replace(card, resources=replace(card.resources, memory_mb=1), input=replace(card.input, max_images=10**6))
    ending = given(small, loop_file(tmp_path / "wide.dcm", values=np.tile(VALUES, (40, 2, 1))))
    assert isinstance(ending, Refusal)
    assert [*codes, ending.reason.code] == [
        ReasonCode.TOO_FEW_IMAGES, ReasonCode.IMAGE_TOO_LARGE, ReasonCode.OUT_OF_MEMORY,
    ]  # fmt: skip


def test_a_region_beyond_the_frame_says_nothing_of_its_scale(card: ReaderCard, tmp_path: Path) -> None:
    """Objects whose frames were cut down after the scan keep the regions of the whole screen."""
    beyond = region(RegionLocationMinX0=COLUMNS, RegionLocationMaxX1=COLUMNS + 300, RegionLocationMaxY1=200)
    (loop,) = loops_of(card, loop_file(tmp_path / "a.dcm", SequenceOfUltrasoundRegions=[beyond]))
    assert loop.sector is None
    (loop,) = loops_of(card, loop_file(tmp_path / "b.dcm", SequenceOfUltrasoundRegions=[beyond, region()]))
    assert loop.sector == Sector(2, 1, 31, 21, (0.4, 0.5))
