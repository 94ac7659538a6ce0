"""The summary page: what is drawn, and that nothing is drawn where nothing may be."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset

from coread.domain.cards import ReaderKind
from coread.domain.codes import Code
from coread.domain.findings import Box, Measurement, Point, Presence, Region, TrackingId
from coread.domain.results import ReadResult
from coread.evidence import page as p
from coread.evidence.key_image import HEAT, key_image
from coread.evidence.sources import copied_header, read_sources
from coread.evidence.summary import WIDTH, draw_summary, percent, rows_of
from coread.evidence.writing import Writing
from tests.evidence.build_sources import card, findings, provenance, radiograph, reference, save
from tests.evidence.build_volumes import NODULE, TISSUE

Chest = tuple[Dataset, Path]


def writing_of(result: ReadResult, path: Path, kind: ReaderKind = ReaderKind.DETECTION) -> Writing:
    images = read_sources([path])
    return Writing(result, provenance(), card(kind), images, copied_header(images))


def key_pixels(writing: Writing, *, marks: bool = True) -> NDArray[np.int16]:
    picture = key_image(writing, width=480, height=640, marks=marks).picture
    assert picture is not None
    return np.asarray(picture, dtype=np.int16)


def amber(pixels: NDArray[np.int16]) -> NDArray[np.bool_]:
    return np.asarray((pixels == np.array(p.AMBER)).all(axis=-1))


def test_a_box_is_drawn_where_it_is(chest: Chest) -> None:
    image = reference(chest[0])
    boxed = replace(findings(image)[0], locations=(Box(image, 24.0, 64.0, 72.0, 96.0),), heat_maps=())
    drawn = amber(key_pixels(writing_of(ReadResult((boxed,)), chest[1])))
    rows, columns = np.nonzero(drawn[325:475])
    assert (columns.min(), columns.max()) == (121, 359)
    rows, _ = np.nonzero(drawn[:, 125:355])
    assert rows.max() == 479


def test_an_absent_finding_is_not_drawn(chest: Chest) -> None:
    image = reference(chest[0])
    absent = replace(findings(image)[0], presence=Presence.ABSENT, urgent=False)
    pixels = key_pixels(writing_of(ReadResult((absent,)), chest[1]))
    assert (pixels[..., 0] == pixels[..., 2]).all()


def test_a_triage_preview_has_no_mark_and_says_what_it_is_not_for(chest: Chest) -> None:
    writing = writing_of(ReadResult(findings(reference(chest[0]))), chest[1], ReaderKind.TRIAGE)
    pixels = key_pixels(writing, marks=False)
    assert not amber(pixels[:-40]).any()
    assert (pixels[:-40, :, 0] == pixels[:-40, :, 2]).all()
    assert amber(pixels[-40:]).any()


def test_a_heat_map_colours_the_place_where_it_is_hot(chest: Chest) -> None:
    writing = writing_of(ReadResult((replace(findings(reference(chest[0]))[0], locations=()),)), chest[1])
    pixels = key_pixels(writing)
    warm = pixels[..., 0] - pixels[..., 2]
    rows, columns = np.unravel_index(int(warm.argmax()), warm.shape)
    assert rows < 320
    assert columns < 240
    assert HEAT[0] > HEAT[2]
    assert warm[400:, 300:].max() <= 1


def test_a_region_and_a_point_are_drawn(chest: Chest) -> None:
    image = reference(chest[0])
    mask = np.zeros((128, 96), dtype=bool)
    mask[64:96, 24:48] = True
    region = Region("Opacity", TISSUE, NODULE, mask, (image,), TrackingId("opacity 1", "2.25.77"))
    pointed = replace(findings(image)[0], locations=(Point(image, 80.0, 20.0),), heat_maps=())
    pixels = key_pixels(writing_of(ReadResult((pointed,), regions=(region,)), chest[1]))
    assert pixels[400, 180, 2] > pixels[400, 180, 0]
    assert amber(pixels[80:120, 380:420]).any()


def test_labels_of_crowded_marks_do_not_cover_one_another(chest: Chest) -> None:
    image = reference(chest[0])
    marks = tuple(Box(image, 20.0 + n, 40.0, 60.0 + n, 90.0) for n in range(6))
    crowded = replace(findings(image)[0], locations=marks, heat_maps=())
    drawn = amber(key_pixels(writing_of(ReadResult((crowded,)), chest[1])))
    assert drawn.sum() > 6 * 20 * 100


def test_pixels_that_are_not_square_are_drawn_in_their_shape(tmp_path: Path) -> None:
    dataset = radiograph(ImagerPixelSpacing=[0.4, 0.2])
    dataset.ImagerPixelSpacing = [0.4, 0.2]
    path = save(dataset, tmp_path / "tall.dcm")
    height, width, _ = key_pixels(writing_of(ReadResult(findings(reference(dataset))), path)).shape
    assert height / width == pytest.approx(128 * 0.4 / (96 * 0.2), rel=0.01)


def test_an_image_that_cannot_be_decoded_leaves_a_page_with_a_reason(tmp_path: Path) -> None:
    dataset = radiograph()
    dataset.PhotometricInterpretation = "NOT A THING"
    path = save(dataset, tmp_path / "odd.dcm")
    writing = writing_of(ReadResult(findings(reference(dataset))), path)
    key = key_image(writing, width=480, height=640, marks=True)
    assert key.picture is None or key.picture.size[0] > 0
    assert draw_summary(writing).image.size[0] == WIDTH


def test_more_findings_than_fit_are_counted(chest: Chest) -> None:
    base = findings(reference(chest[0]))[1]
    many = draw_summary(writing_of(ReadResult((base,) * 40, notes=("note",) * 30), chest[1])).image
    assert many.size[0] == WIDTH
    assert many.size[1] < 3200


def test_rows_put_the_suspected_first_and_give_measurements_their_unit(chest: Chest) -> None:
    image = reference(chest[0])
    present, absent, unknown = findings(image)
    volume = Measurement(Code("118565006", "SCT", "Volume"), 812.5, Code("mm3", "UCUM", "cubic millimeter"), 3.5)
    rows = rows_of(writing_of(ReadResult((unknown, absent, present), (volume,)), chest[1]))
    assert [row.word for row in rows] == ["SUSPECTED", "NOT DETECTED", "NOT ASSESSED", "812.5 ± 3.5 mm3"]
    assert "threshold 42% (balanced)" in rows[0].detail
    assert "n=412" in rows[0].detail


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "below 1%"), (0.004, "below 1%"), (0.01, "1%"), (0.5, "50%"), (0.999, "above 99%")]
)
def test_nothing_is_certain(value: float, text: str) -> None:
    assert percent(value) == text


@pytest.mark.parametrize("text", ["short", "a " * 200, "x" * 500, "", "1.2.840.113619.2.55.3.604688119.971.1234"])
def test_wrapped_lines_fit_and_lose_nothing(text: str) -> None:
    lines = p.wrapped(text, p.SMALL, 300)
    assert all(p.SMALL.width(line) <= 300 for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_the_page_needs_no_font_of_the_system() -> None:
    assert p.font(20).getname()[0] is not None
    assert Image.new("RGB", (1, 1)).mode == "RGB"
