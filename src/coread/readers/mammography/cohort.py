"""The mini-MIAS set as arrays to learn from and as a cohort to be measured on."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.readers.mammography.outputs import ABNORMAL, DENSITY, SHAPE, SPOT, SUSPICIOUS
from coread.readers.mammography.preprocess import Breast, network_picture
from coread.train.arrays import ArraySet
from coread.train.errors import DataMissing
from coread.train.pictures import PictureStore
from coread.train.splits import held_out

SET = "mammo_mias"
ARCHIVE = "images.zip"
PICTURE_SIDE = 1024
TISSUES = "FGD"
WRAP = {"modality": "MG", "body_part": "BREAST", "colour": "grey", "spacing_mm": 0.2}
_UNKNOWN = 255
Circle = tuple[float, float, float]
"""x, y, radius in pixels of the picture."""


@dataclass(slots=True)
class Mammogram:
    """One picture with everything that its rows of the index say of it."""

    image: str
    patient: str
    tissue: str
    circles: list[Circle] = field(default_factory=list)
    unplaced: int = 0
    """Abnormalities without a place: calcifications that are spread through the breast."""

    @property
    def abnormal(self) -> bool:
        """Whether anything abnormal is in it, benign or malignant."""
        return bool(self.circles) or self.unplaced > 0

    @property
    def held_out(self) -> bool:
        """Whether the patient belongs to the fixed test part."""
        return held_out(SET, self.patient)


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """What is learned from, picture by picture."""

    data: ArraySet
    mammograms: tuple[Mammogram, ...]
    breasts: tuple[Breast, ...]


def read_mammograms(folder: Path) -> tuple[Mammogram, ...]:
    """Read the index of the set; several rows may belong to one picture."""
    found: dict[str, Mammogram] = {}
    with (folder / "index.csv").open(newline="", encoding="utf-8") as opened:
        for row in csv.DictReader(opened):
            one = found.setdefault(row["image"], Mammogram(row["image"], row["patient_id"], row["tissue"]))
            if row["abnormality"] == "NORM":
                continue
            if row["x"]:
                one.circles.append((float(row["x"]), float(row["y_top_left"]), float(row["radius"])))
            else:
                one.unplaced += 1
    return tuple(found.values())


def read_learned(folder: Path, limit: int = 0) -> Learned:
    """Decode the pictures of patients who are not held out (about ``limit``), through the reader's own path."""
    chosen = [item for item in read_mammograms(folder) if not item.held_out]
    chosen = chosen[:: max(1, len(chosen) // limit)] if limit else chosen
    images, breasts = [], []
    with PictureStore(folder) as store:
        for item in chosen:
            made = network_picture(store.pixels(f"{ARCHIVE}!{item.image}"))
            if made is None:
                raise DataMissing(f"{item.image}: no breast was found in it. Look at the picture.")
            images.append(np.rint(made[0] * 255).astype(np.uint8))
            breasts.append(made[1])
    targets: dict[str, Any] = {
        ABNORMAL: np.array([[float(item.abnormal)] for item in chosen], dtype=np.float32),
        SPOT: np.stack([spots(item, breast) for item, breast in zip(chosen, breasts, strict=True)]),
        DENSITY: np.array([TISSUES.index(item.tissue) for item in chosen], dtype=np.int64),
    }
    groups, keys = [item.patient for item in chosen], [item.image for item in chosen]
    return Learned(ArraySet(np.stack(images), targets, groups, keys), tuple(chosen), tuple(breasts))


def spots(item: Mammogram, breast: Breast) -> NDArray[np.uint8]:
    """Draw the circles of a picture on the network's grid; unknown where an abnormality has no place."""
    if item.unplaced:
        return np.full(SHAPE, _UNKNOWN, dtype=np.uint8)
    drawn = [breast.circle(*circle) for circle in item.circles]
    return np.any(drawn, axis=0).astype(np.uint8) if drawn else np.zeros(SHAPE, dtype=np.uint8)


def cohort_rows(folder: Path) -> list[dict[str, Any]]:
    """Return the held-out pictures as rows of a cohort."""
    return [
        {
            "case_id": Path(item.image).stem,
            "patient_id": item.patient,
            "files": f"{ARCHIVE}!{item.image}",
            f"truth:{SUSPICIOUS}": item.abnormal,
            "boxes": None if item.unplaced else _boxes(item.circles),
            "number:density": float(TISSUES.index(item.tissue) + 1),
            "group:density": item.tissue,
            "view": "MLO",
            "sex": "F",
        }
        for item in read_mammograms(folder)
        if item.held_out
    ]


def _boxes(circles: Sequence[Circle]) -> list[list[Any]]:
    """Return the squares around the circles, cut at the picture."""
    edges = [(x - r, y - r, x + r, y + r) for x, y, r in circles]
    return [[SUSPICIOUS, *(min(max(edge, 0.0), float(PICTURE_SIDE)) for edge in box)] for box in edges]
