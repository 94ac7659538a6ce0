"""A reader that answers with a mask: measured against the truth on its own grid, and drawn where it fits worst."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from coread.readers.registry import InstalledReader
from coread.validate.cohort_writing import write_cohort
from coread.validate.errors import BadCohort
from coread.validate.mask_measures import compare_masks
from coread.validate.measure_settings import MeasureSettings
from coread.validate.reader_choice import chosen_reader, make_importable
from coread.validate.validation import ValidationPlan, validate_reader
from tests.models.tiny_reader import READER, write_tiny_reader
from tests.validate.cohorts import CELL, SIDE, WRAP, png, square_picture

MASKED = (
    READER.replace(
        "return ReadResult((finding,))",
        "mask = np.zeros(image.pixels.shape, dtype=bool)\n"
        "        mask[row * height : (row + 1) * height, column * width : (column + 1) * width] = True\n"
        "        kind = spec.concept\n"
        "        region = Region('Square', kind, kind, mask, (reference,), TrackingId('square 1', '1.2.3'))\n"
        "        return ReadResult((finding,), regions=(region,))",
    )
).replace("Box, Finding, ImageReference, Presence", "Box, Finding, ImageReference, Presence, Region, TrackingId")
QUICK = ValidationPlan(measure=MeasureSettings(repeats=100))


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> InstalledReader:
    reader = chosen_reader(write_tiny_reader(tmp_path_factory.mktemp("masked") / "tiny_square_masked", code=MASKED))
    make_importable(reader)
    return reader


def mask_picture(row: int, column: int, *, shift: int = 0) -> NDArray[np.uint8]:
    mask = np.zeros((SIDE, SIDE), dtype=np.uint8)
    mask[row * CELL + shift : (row + 1) * CELL + shift, column * CELL : (column + 1) * CELL] = 255
    return mask


def mask_rows(folder: Path, **more: Any) -> list[dict[str, Any]]:
    folder.mkdir()
    rows = []
    for number in range(8):
        (folder / f"{number}.png").write_bytes(png(square_picture(0.9, row=number, column=9, seed=number)))
        (folder / f"m{number}.png").write_bytes(png(mask_picture(number, 9, shift=number % 4)))
        rows.append({"case_id": f"c{number}", "patient_id": f"p{number}", "files": f"{number}.png",
                     "truth:square": 1, "mask": f"m{number}.png"} | more)  # fmt: skip
    return rows


def test_masks_are_measured_in_square_millimetres_and_the_worst_are_drawn(
    masked: InstalledReader, tmp_path: Path
) -> None:
    folder = tmp_path / "cohort"
    write_cohort(folder, {"name": "Masks", "wrap": WRAP}, mask_rows(folder))
    report = validate_reader(masked.folder, folder, tmp_path / "run", plan=QUICK)
    body = report["masks"]["all"]
    # A square of 4 x 4 pixels, shifted by 0, 1, 2 and 3 rows: Dice 1, 3/4, 1/2 and 1/4.
    assert body["dice"]["value"] == pytest.approx(0.625)
    assert body["unit"] == "mm2"
    assert body["volume"]["bland_altman"]["bias"]["value"] == 0.0
    assert body["hausdorff95"]["value"] == pytest.approx(np.mean([0, 0.5, 1.0, 1.5]), abs=0.2)
    assert [row["dice"] for row in report["worst_masks"]][:2] == [0.25, 0.25]
    html = (tmp_path / "run" / "report.html").read_text()
    assert "Worst fits of all" in html
    assert html.count("data:image/jpeg") == 6
    plan = ValidationPlan(measure=MeasureSettings(repeats=100), against=tmp_path / "run", images=False, pdf=False)
    again = validate_reader(masked.folder, folder, tmp_path / "again", plan=plan)
    found = again["comparison"]["masks"]["all"]
    assert (found["n"], found["this"], found["difference"]["value"]) == (8, 0.625, 0.0)
    assert "Cases that both measured" in (tmp_path / "again" / "report.html").read_text()


def test_masks_of_one_label_and_one_value_are_told_apart(masked: InstalledReader, tmp_path: Path) -> None:
    folder = tmp_path / "cohort"
    rows = mask_rows(folder)
    for number, row in enumerate(rows):
        labels = (mask_picture(number, 9) > 0) * np.uint8(2)
        labels[:2, :2] = 1
        (folder / f"m{number}.png").write_bytes(png(labels))
        row["mask:lesion"] = row.pop("mask")
    description = {"name": "Labels", "wrap": WRAP, "masks": {"lesion": {"region": "SQUARE", "value": 2}}}
    write_cohort(folder, description, rows)
    plan = ValidationPlan(measure=MeasureSettings(repeats=100), images=False, pdf=False)
    report = validate_reader(masked.folder, folder, tmp_path / "run", plan=plan)
    assert report["masks"]["lesion"]["dice"]["value"] == 1.0
    html = (tmp_path / "run" / "report.html").read_text()
    assert "Worst fits of lesion" in html  # a table where there are no pictures
    assert "surface distance, mean (mm)" in html


def test_a_mask_on_another_grid_is_an_error_of_the_cohort(masked: InstalledReader, tmp_path: Path) -> None:
    folder = tmp_path / "cohort"
    rows = mask_rows(folder)
    (folder / "m3.png").write_bytes(png(mask_picture(3, 9)[:64]))
    write_cohort(folder, {"name": "Grids", "wrap": WRAP}, rows)
    with pytest.raises(BadCohort, match=r"case 'c3'.*on the grid of their picture"):
        validate_reader(masked.folder, folder, tmp_path / "run", plan=QUICK)


def test_an_empty_mask_has_an_overlap_and_no_distance() -> None:
    some = np.zeros((8, 8), dtype=bool)
    some[2:4, 2:4] = True
    empty = np.zeros((8, 8), dtype=bool)
    assert compare_masks(empty, empty, (1.0, 1.0)).dice == 1.0
    found = compare_masks(empty, some, (0.5, 0.5))
    assert (found.dice, found.hausdorff95, found.volume_truth, found.unit) == (0.0, None, 1.0, "mm2")
    volume = np.zeros((4, 8, 8), dtype=bool)
    volume[1:3, 2:4, 2:4] = True
    assert compare_masks(volume, volume, (10.0, 5.0, 2.0)).volume == pytest.approx(0.8)
    assert compare_masks(volume, volume, None).unit == "pixel"
