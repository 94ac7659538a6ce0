"""The lung nodule crops as arrays to learn from and as a cohort to be measured on."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from coread.imaging.stretch import stretched
from coread.readers.lung_nodule_segmentation.outputs import AREA, LABEL, NODULE, SIDE
from coread.train.arrays import ArraySet
from coread.train.splits import held_out

SET = "ct_lung_nodule_slices"
ARRAYS = "slices.npz"
HELD_OUT = "held_out.npz"
RATERS = 4
AGREED = 2
"""Raters who must have a pixel inside for it to count: the consensus that is learned and measured."""
WRAP = {"modality": "CT", "sop_class_uid": "1.2.840.10008.5.1.4.1.1.7", "body_part": "CHEST", "colour": "grey"}


@dataclass(frozen=True, slots=True, eq=False)
class Crop:
    """One row of the set's index with its picture and the consensus of its raters."""

    row: int
    patient: str
    name: str
    raters: int
    image: NDArray[np.uint8]
    consensus: NDArray[np.bool_]

    @property
    def held_out(self) -> bool:
        """Whether the patient belongs to the fixed test part."""
        return held_out(SET, self.patient)


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """What is learned from, with each crop's consensus at its own size."""

    data: ArraySet
    crops: tuple[Crop, ...]


def read_crops(folder: Path) -> tuple[Crop, ...]:
    """Read the crops on which at least two raters agree on at least one pixel."""
    with (folder / "index.csv").open(newline="", encoding="utf-8") as opened:
        rows = list(csv.DictReader(opened))
    with np.load(folder / ARRAYS, allow_pickle=False) as arrays:
        images, bits = arrays["image"], arrays["mask_bits"]
    votes = np.sum([(bits >> rater) & 1 for rater in range(RATERS)], axis=0)
    crops = [
        Crop(
            number, row["patient_id"], f"{row['patient_id']}_{row['nodule']}_{row['slice']}", int(row["n_raters"]),
            images[number], votes[number] >= AGREED,
        )
        for number, row in enumerate(rows)
    ]  # fmt: skip
    return tuple(crop for crop in crops if crop.consensus.any())


def read_learned(folder: Path, limit: int = 0) -> Learned:
    """Return the crops of patients who are not held out (about ``limit`` of them), through the reader's own path."""
    crops = tuple(crop for crop in read_crops(folder) if not crop.held_out)
    crops = crops[:: max(1, len(crops) // limit)] if limit else crops
    pixels = [stretched(np.divide(crop.image, 255, dtype=np.float32), SIDE) for crop in crops]
    areas = [enlarged(crop.consensus) for crop in crops]
    data = ArraySet(
        np.rint(np.stack(pixels) * 255).astype(np.uint8),
        {AREA: np.stack(areas).astype(np.uint8)},
        groups=[crop.patient for crop in crops],
        keys=[f"{crop.row}" for crop in crops],
    )
    return Learned(data, crops)


def enlarged(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return a mask on the network's square: one half of the bilinear picture of it."""
    image = Image.fromarray(mask.astype(np.float32)).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return np.asarray(image) >= 0.5


def write_pictures(folder: Path, out: Path, limit: int = 0) -> list[dict[str, Any]]:
    """Write the held-out crops with their consensus into ``out`` and return them as rows of a cohort rooted there."""
    crops = [crop for crop in read_crops(folder) if crop.held_out][: limit or None]
    out.mkdir(parents=True, exist_ok=True)
    images, masks = np.stack([crop.image for crop in crops]), np.stack([crop.consensus for crop in crops])
    np.savez(out / HELD_OUT, image=images, consensus=masks.astype(np.uint8))
    return [
        {
            "case_id": f"{crop.row}_{crop.name}",
            "patient_id": crop.patient,
            "files": f"{HELD_OUT}#image[{number}]",
            f"truth:{NODULE}": True,
            f"mask:{LABEL}": f"{HELD_OUT}#consensus[{number}]",
            "group:raters": str(crop.raters),
        }
        for number, crop in enumerate(crops)
    ]
