"""The cropped hippocampus volumes as arrays to learn from, and the fixed part that nothing learns from."""

import csv
import gzip
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.readers.brain_volume.outputs import HIPPOCAMPUS_SHAPE, PARTS
from coread.readers.brain_volume.parts import crop_intensities
from coread.train.arrays import ArraySet
from coread.train.splits import held_out

SET = "brain_mr_hippocampus"


@dataclass(frozen=True, slots=True, eq=False)
class Crop:
    """One volume of the set: axes (superior, posterior, left), 1 mm."""

    name: str
    image: NDArray[np.float32]
    parts: NDArray[np.uint8]
    """0 elsewhere, 1 anterior, 2 posterior."""

    @property
    def held_out(self) -> bool:
        """Whether it belongs to the fixed test part."""
        return held_out(SET, self.name)


def read_crops(folder: Path, limit: int = 0) -> tuple[Crop, ...]:
    """Read all volumes (or the first ``limit``) in the order of the set's index."""
    with (folder / "index.csv").open(newline="", encoding="utf-8") as opened:
        rows = list(csv.DictReader(opened))[: limit or None]
    with zipfile.ZipFile(folder / "images.zip") as archive:
        return tuple(
            Crop(
                row["volume"],
                _turned(archive.read(row["image"])).astype(np.float32),
                _turned(archive.read(row["label"])).astype(np.uint8),
            )
            for row in rows
        )


def _turned(compressed: bytes) -> NDArray[Any]:
    """Return the voxels of a NIfTI file (x to the right, y to the front, z up) as (superior, posterior, left)."""
    from nibabel import Nifti1Image

    values = np.asarray(Nifti1Image.from_bytes(gzip.decompress(compressed)).dataobj)
    return np.ascontiguousarray(values.transpose(2, 1, 0)[:, ::-1, ::-1])


def fitted_box(values: NDArray[Any], shape: Sequence[int], *, edge: bool) -> NDArray[Any]:
    """Return an array cut or padded about its middle; ``edge`` repeats the outer voxels, else zeros are added."""
    for axis, side in enumerate(shape):
        spare = values.shape[axis] - side
        if spare > 0:
            values = values.take(range(spare // 2, spare // 2 + side), axis=axis)
        elif spare < 0:
            width = [(0, 0)] * values.ndim
            width[axis] = (-spare // 2, -spare - -spare // 2)
            values = np.pad(values, width, mode="edge") if edge else np.pad(values, width)
    return values


def arrays_of(crops: Sequence[Crop]) -> ArraySet:
    """Return the crops in the shape of the network."""
    images = [crop_intensities(fitted_box(crop.image, HIPPOCAMPUS_SHAPE, edge=True)) for crop in crops]
    parts = [fitted_box(crop.parts, HIPPOCAMPUS_SHAPE, edge=False) for crop in crops]
    names = [crop.name for crop in crops]
    return ArraySet(np.stack(images)[:, np.newaxis], {PARTS: np.stack(parts)}, groups=names, keys=names)
