"""The ultrasound set as arrays to learn from, some with marks painted on, and as a cohort to be measured on."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.imaging.stretch import stretched
from coread.readers.breast_ultrasound.outputs import HEAD, SIDE
from coread.train.arrays import ArraySet
from coread.train.pictures import PictureStore
from coread.train.splits import held_out

SET = "breast_us_busi"
ARCHIVE = "images.zip"
MARKED = " with marks"
MARKED_EVERY = 3
COHORT = {
    "name": "BUSI, held-out groups",
    "data": "BUSI subset",
    "split": "held out by group of near-duplicates (20 %)",
    "licence": "CC BY 4.0",
    "citation": "Al-Dhabyani et al. 2020",
    "reference_standard": "radiologists' and pathology class of each image, as published",
    "wrap": {"modality": "US", "body_part": "BREAST", "colour": "grey"},
}


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the set's index."""

    image: str
    label: str
    group: str

    @property
    def held_out(self) -> bool:
        """Whether the group belongs to the fixed test part."""
        return held_out(SET, self.group)

    @property
    def truth(self) -> tuple[float, float]:
        """Malignant, and any lesion, in the order of the network's outputs."""
        return (float(self.label == "malignant"), float(self.label != "normal"))


def read_rows(folder: Path) -> tuple[Row, ...]:
    """Read the index; near-duplicates that stand under two classes share a group and stay on one side."""
    with (folder / "index.csv").open(newline="", encoding="utf-8") as opened:
        return tuple(Row(row["image"], row["label"], row["group_id"]) for row in csv.DictReader(opened))


def read_learned(data: Path) -> ArraySet:
    """Decode the images that are not held out: each as it is, then every third with marks painted on.

    Callipers and text stand on images with lesions more often than on others; painted on any, they tell less.
    """
    rows = [row for row in read_rows(data / SET) if not row.held_out]
    plain, painted = [], []
    with PictureStore(data / SET) as store:
        for number, row in enumerate(rows):
            pixels = np.asarray(store.pixels(f"{ARCHIVE}!{row.image}"), dtype=np.uint8)
            pixels = pixels if pixels.ndim == 2 else pixels[..., 0]
            plain.append(_square(pixels))
            if number % MARKED_EVERY == 0:
                painted.append(_square(with_marks(pixels, np.random.default_rng([7, number]))))
    marked = rows[::MARKED_EVERY]
    return ArraySet(
        np.stack([*plain, *painted]),
        {HEAD: np.array([row.truth for row in (*rows, *marked)], dtype=np.float32)},
        groups=[row.group for row in (*rows, *marked)],
        keys=[*(row.image for row in rows), *(row.image + MARKED for row in marked)],
    )


def with_marks(pixels: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    """Paint callipers with dotted lines between them, and something like letters, in white or light grey."""
    painted = pixels.copy()
    for _ in range(int(random.integers(1, 3))):
        ends = random.uniform(0.1, 0.9, (2, 2)) * painted.shape
        for row, column in ends.astype(int):
            painted[max(row - 4, 0) : row + 5, column] = painted[row, max(column - 4, 0) : column + 5] = 250
        for share in np.linspace(0, 1, int(random.integers(12, 40))):
            row, column = (ends[0] + share * (ends[1] - ends[0])).astype(int)
            painted[row, column] = 230
    row, column = (random.uniform(0.05, 0.85, 2) * painted.shape).astype(int)
    for letter in range(int(random.integers(0, 9))):
        strokes = random.random((7, 5)) < 0.4
        area = painted[row : row + 7, column + 6 * letter : column + 6 * letter + 5]
        area[strokes[: area.shape[0], : area.shape[1]]] = 240
    return painted


def cohort_rows(data: Path) -> list[dict[str, Any]]:
    """Return the held-out images as rows of a cohort."""
    return [
        {
            "case_id": Path(row.image).stem,
            "patient_id": f"group {row.group}",
            "files": f"{SET}/{ARCHIVE}!{row.image}",
            "truth:malignant": bool(row.truth[0]),
            "truth:lesion": bool(row.truth[1]),
        }
        for row in read_rows(data / SET)
        if row.held_out
    ]


def _square(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    made = stretched(np.divide(pixels, 255, dtype=np.float32), SIDE)
    return np.asarray(np.rint(made * 255), dtype=np.uint8)
