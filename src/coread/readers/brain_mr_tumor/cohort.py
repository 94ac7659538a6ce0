"""The brain tumour slices as arrays to learn from and as a cohort to be measured on."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.readers.brain_mr_tumor.outputs import BOX, SIDE, TUMOUR, TYPE, TYPES
from coread.readers.brain_mr_tumor.preprocess import network_picture
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
    """What is learned from; boxes (N, 4) in pixels of the network's square."""

    data: ArraySet
    slices: tuple[Slice, ...]
    boxes: NDArray[np.float64]
    types: NDArray[np.int64]


def read_slices(folder: Path) -> tuple[Slice, ...]:
    """Read the index of the set."""
    with (folder / "index.csv").open(newline="", encoding="utf-8") as opened:
        return tuple(_slice(row) for row in csv.DictReader(opened))


def read_learned(folder: Path, limit: int = 0) -> Learned:
    """Decode the slices that are not held out (about ``limit`` of them), through the reader's own path."""
    slices = tuple(item for item in read_slices(folder) if not item.held_out)
    slices = slices[:: max(1, len(slices) // limit)] if limit else slices
    with PictureStore(folder) as store:
        pictures = [network_picture(store.pixels(f"{ARCHIVE}!{item.image}")) for item in slices]
    images = np.rint(np.stack(pictures) * 255).astype(np.uint8)
    boxes = np.array([item.box for item in slices]) * SIDE
    types = np.array([TYPES.index(item.label) for item in slices], dtype=np.int64)
    targets: dict[str, Any] = {BOX: [np.array([[0, *box]], dtype=np.float32) for box in boxes], TYPE: types}
    data = ArraySet(images, targets, groups=[item.block for item in slices], keys=[item.image for item in slices])
    return Learned(data, slices, boxes, types)


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


def _slice(row: dict[str, str]) -> Slice:
    across, down, width, height = (float(row[name]) for name in ("xc", "yc", "w", "h"))
    edges = (across - width / 2, down - height / 2, across + width / 2, down + height / 2)
    x0, y0, x1, y1 = (min(max(edge, 0.0), 1.0) for edge in edges)
    return Slice(row["image"], row["label"], row["block"], (x0, y0, x1, y1))
