"""Reads the public radiograph sets as they lie on disk: an index.csv beside an images.zip. No pixels are kept here."""

import csv
import hashlib
import io
import json
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from coread.train.errors import DataMissing

GreyImage = NDArray[np.uint8]
"""One decoded image, (rows, columns) uint8."""


@dataclass(frozen=True, slots=True)
class LabelledBox:
    """A radiologist's rectangle around one finding, as fractions of the image's columns and rows."""

    finding: str
    column_min: float
    row_min: float
    column_max: float
    row_max: float


@dataclass(frozen=True, slots=True)
class Radiograph:
    """One row of a set's index; what the set does not tell is empty or ``None``."""

    image: str
    patient_id: str
    labels: frozenset[str]
    view: str = ""
    age_years: float | None = None
    sex: str = ""
    boxes: tuple[LabelledBox, ...] = ()
    source_set: str = ""
    second_reading: str = ""
    """The class that a second group of radiologists gave the image (RSNA 2018), where there is one."""


def read_cxr_nih(folder: Path, side: int = 448) -> tuple[Radiograph, ...]:
    """Read the index of the NIH ChestX-ray14 subset; ``side`` is the pixel size its boxes are given in."""
    return tuple(_nih_row(row, side) for row in _rows(folder))


def read_cxr_guangzhou(folder: Path) -> tuple[Radiograph, ...]:
    """Read the index of the Guangzhou children's set, without rows that are marked as duplicates."""
    return tuple(
        Radiograph(row["image"], row["group_id"], frozenset({row["subtype"] or row["label"].lower()}), view="AP")
        for row in _rows(folder)
        if row["duplicate"] != "True"
    )


def read_images(folder: Path, names: Sequence[str] | None = None) -> Iterator[tuple[str, GreyImage]]:
    """Decode the images of a set's images.zip as grey, by name or (without names) all of them in name order."""
    archive = folder / "images.zip"
    if not archive.is_file():
        raise DataMissing(f"{archive} is not there")
    with zipfile.ZipFile(archive) as opened:
        present = {name for name in opened.namelist() if not name.endswith("/")}
        for name in sorted(present) if names is None else names:
            if name not in present:
                raise DataMissing(f"{archive} has no {name}, which index.csv lists")
            with Image.open(io.BytesIO(opened.read(name))) as image:
                yield name, np.asarray(image.convert("L"), dtype=np.uint8)


def image_digest(image: GreyImage) -> str:
    """Return a digest of the decoded pixels, to find the same image under two names."""
    return hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()


def _rows(folder: Path) -> list[dict[str, str]]:
    index = folder / "index.csv"
    if not index.is_file():
        raise DataMissing(f"{index} is not there: give the folder that holds index.csv and images.zip")
    with index.open(newline="", encoding="utf-8") as opened:
        return list(csv.DictReader(opened))


def _nih_row(row: dict[str, str], side: int) -> Radiograph:
    boxes = json.loads(row["boxes_xywh_448"]) if row["boxes_xywh_448"] else []
    return Radiograph(
        image=row["image"],
        patient_id=row["patient_id"],
        labels=frozenset(row["labels"].split("|")),
        view=row["view"],
        age_years=float(row["age"]) if row["age"] else None,
        sex=row["sex"],
        boxes=tuple(_box(box, side) for box in boxes),
        source_set=row["source_set"],
        second_reading=row["rsna_class"],
    )


def _box(box: Sequence[str | float], side: int) -> LabelledBox:
    finding, (column, row, width, height) = str(box[0]), (float(value) / side for value in box[1:5])
    return LabelledBox(finding, column, row, min(1.0, column + width), min(1.0, row + height))
