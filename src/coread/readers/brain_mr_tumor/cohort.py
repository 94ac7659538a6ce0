"""The brain tumour slices as arrays to learn from and as a cohort to be measured on."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.images import FloatPixels
from coread.imaging.stretch import Part
from coread.readers.brain_mr_tumor.outputs import BOX, SIDE, TUMOUR, TYPE, TYPES
from coread.readers.brain_mr_tumor.preprocess import picture_views
from coread.train.arrays import ArraySet
from coread.train.pictures import PictureStore
from coread.train.splits import held_out

SET = "brain_mr_tumor_boxes"
ARCHIVE = "images.zip"
PICTURE_SIDE = 224
WRAP = {"modality": "MR", "body_part": "BRAIN", "colour": "grey"}


@dataclass(frozen=True, slots=True)
class Slice:
    """One row of the set's index; ``box`` is x0, y0, x1, y1 as shares of the picture."""

    image: str
    label: str
    block: str
    box: tuple[float, float, float, float]

    @property
    def held_out(self) -> bool:
        """Whether the slice belongs to the fixed test part: whole blocks, as a block holds the same patients."""
        return held_out(SET, self.block)


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """What is learned from: ``data`` holds the heads. Boxes (N, 4) are in pixels of the pictures."""

    data: ArraySet
    slices: tuple[Slice, ...]
    boxes: NDArray[np.float64]
    types: NDArray[np.int64]
    heads: tuple[Part, ...]
    wholes: NDArray[np.uint8]
    """The whole slices (N, 1, side, side), which the network reads beside the heads."""
    parts: tuple[Part, ...]
    """What the whole slices show."""


def read_slices(folder: Path) -> tuple[Slice, ...]:
    """Read the index of the set."""
    with (folder / "index.csv").open(newline="", encoding="utf-8") as opened:
        return tuple(_slice(row) for row in csv.DictReader(opened))


def read_learned(folder: Path, limit: int = 0) -> Learned:
    """Decode the slices that are not held out (about ``limit`` of them), through the reader's own path."""
    slices = tuple(item for item in read_slices(folder) if not item.held_out)
    slices = slices[:: max(1, len(slices) // limit)] if limit else slices
    with PictureStore(folder) as store:
        views = [picture_views(store.pixels(f"{ARCHIVE}!{item.image}")) for item in slices]
    heads, wholes = tuple(head.part for head, _ in views), tuple(whole.part for _, whole in views)
    boxes = [_on_square(item.box, part) for item, part in zip(slices, heads, strict=True)]
    types = np.array([TYPES.index(item.label) for item in slices], dtype=np.int64)
    targets: dict[str, Any] = {BOX: [np.array([[0, *box]], dtype=np.float32) for box in boxes], TYPE: types}
    groups, keys = [item.block for item in slices], [item.image for item in slices]
    return Learned(
        data=ArraySet(_stored([head.pixels for head, _ in views]), targets, groups=groups, keys=keys),
        slices=slices,
        boxes=np.array([item.box for item in slices]) * np.array([(part.shape * 2)[::-1] for part in wholes]),
        types=types,
        heads=heads,
        wholes=_stored([whole.pixels for _, whole in views]),
        parts=wholes,
    )


def _stored(pixels: list[FloatPixels]) -> NDArray[np.uint8]:
    return np.rint(np.stack(pixels) * 255).astype(np.uint8)


def cohort_rows(folder: Path) -> list[dict[str, Any]]:
    """Return the held-out slices as rows of a cohort."""
    return [
        {
            "case_id": Path(item.image).stem,
            "patient_id": item.block,
            "files": f"{ARCHIVE}!{item.image}",
            f"truth:{TUMOUR}": True,
            **{f"truth:{key}": item.label == key for key in TYPES},
            "type:type": item.label,
            "boxes": [[TUMOUR, *(round(edge * PICTURE_SIDE, 2) for edge in item.box)]],
            "group:type": item.label,
        }
        for item in read_slices(folder)
        if item.held_out
    ]


def _on_square(box: tuple[float, float, float, float], part: Part) -> list[float]:
    """Return a box in shares of the picture as pixels of the network's square, at least one wide."""
    rows, columns = part.shape
    edges = np.array(box) * (columns, rows, columns, rows) - (part.column_min, part.row_min) * 2
    x0, y0, x1, y1 = np.clip(edges / (part.columns, part.rows, part.columns, part.rows), 0, 1) * SIDE
    return [min(x0, SIDE - 1), min(y0, SIDE - 1), max(x1, x0 + 1), max(y1, y0 + 1)]


def _slice(row: dict[str, str]) -> Slice:
    across, down, width, height = (float(row[name]) for name in ("xc", "yc", "w", "h"))
    edges = (across - width / 2, down - height / 2, across + width / 2, down + height / 2)
    x0, y0, x1, y1 = (min(max(edge, 0.0), 1.0) for edge in edges)
    return Slice(row["image"], row["label"], row["block"], (x0, y0, x1, y1))
