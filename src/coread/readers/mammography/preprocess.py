"""From a mammogram to the network's input: the breast found, cut out, turned to have its chest wall on the left."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from coread.domain.images import FloatPixels, PlanarImage
from coread.imaging.regions import labelled
from coread.imaging.stretch import Part
from coread.readers.mammography.outputs import SHAPE

_GRID = 128
"""Cells per side on which the breast is looked for."""
_AIR = 0.08
"""Share of the picture's own range below which there is no tissue."""
SMALLEST = 0.04
"""Share of the picture that a breast covers at least."""
_BRIGHTEST = 99.5


@dataclass(frozen=True, slots=True)
class Breast:
    """Where the breast lies in the picture, and whether it was mirrored for the network."""

    part: Part
    mirrored: bool

    def box(self, shares: tuple[float, float, float, float]) -> tuple[float, float, float, float] | None:
        """Take x0, y0, x1, y1, given as shares of the network's picture, to pixels of the mammogram."""
        x0, y0, x1, y1 = shares
        return self.part.box((1 - x1, y0, 1 - x0, y1) if self.mirrored else shares, 1)

    def circle(self, x: float, y: float, radius: float) -> NDArray[np.bool_]:
        """Draw a circle of the mammogram (pixels) on the network's picture."""
        rows = (np.arange(SHAPE[0]) + 0.5) / SHAPE[0] * self.part.rows + self.part.row_min
        shares = (np.arange(SHAPE[1]) + 0.5) / SHAPE[1]
        columns = (1 - shares if self.mirrored else shares) * self.part.columns + self.part.column_min
        inside: NDArray[np.bool_] = (rows[:, None] - y) ** 2 + (columns[None] - x) ** 2 <= radius**2
        return inside


def network_image(image: PlanarImage) -> tuple[FloatPixels, Breast] | None:
    """Return (1, rows, columns) in [0, 1] and where it comes from; ``None`` when there is no breast to be seen."""
    pixels = image.pixels if image.valid is None else np.where(image.valid, image.pixels, np.float32(0))
    return network_pixels(pixels)


def network_picture(pixels: NDArray[Any]) -> tuple[FloatPixels, Breast] | None:
    """Return the same of a decoded 8-bit picture, for learning."""
    return network_pixels(np.divide(pixels, 255, dtype=np.float32))


def network_pixels(pixels: FloatPixels) -> tuple[FloatPixels, Breast] | None:
    """Find, cut, turn and squeeze the breast; its brightness is brought to a range of its own."""
    tissue = _largest_region(pixels)
    if tissue is None:
        return None
    rows, columns = np.flatnonzero(tissue.any(axis=1)), np.flatnonzero(tissue.any(axis=0))
    shape = (pixels.shape[0], pixels.shape[1])
    part = Part(
        rows[0] * shape[0] // _GRID,
        -(-(int(rows[-1]) + 1) * shape[0] // _GRID),
        columns[0] * shape[1] // _GRID,
        -(-(int(columns[-1]) + 1) * shape[1] // _GRID),
        shape,
    )
    cut = pixels[part.row_min : part.row_max, part.column_min : part.column_max]
    inside = _resized(tissue[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.float32), SHAPE)
    mirrored = _chest_wall_is_right(tissue[:, columns[0] : columns[-1] + 1])
    square = np.where(inside > 0.5, _resized(cut, SHAPE), np.float32(0))
    top = max(float(np.percentile(square[inside > 0.5], _BRIGHTEST)), 1e-3)
    square = np.rint(np.clip(square / np.float32(top), 0, 1) * 255).astype(np.float32) / np.float32(255)
    turned = square[:, ::-1] if mirrored else square
    return np.ascontiguousarray(turned)[np.newaxis], Breast(part, mirrored)


def _largest_region(pixels: FloatPixels) -> NDArray[np.bool_] | None:
    """Return the breast on the grid: the largest region that is not air, so that labels and scratches are left out."""
    small = _resized(pixels, (_GRID, _GRID))
    labels = labelled(small > _AIR * max(float(np.percentile(small, _BRIGHTEST)), 1e-3))
    counts = np.bincount(labels.ravel(), minlength=2)
    counts[0] = 0
    if counts.max() < SMALLEST * labels.size:
        return None
    region: NDArray[np.bool_] = labels == int(np.argmax(counts))
    return region


def _chest_wall_is_right(tissue: NDArray[np.bool_]) -> bool:
    """The breast is tall at the chest wall and runs out at the nipple."""
    edge = max(1, tissue.shape[1] // 8)
    return bool(tissue[:, -edge:].sum() > tissue[:, :edge].sum())


def _resized(values: NDArray[Any], shape: tuple[int, int]) -> NDArray[np.float32]:
    image = Image.fromarray(np.ascontiguousarray(values, dtype=np.float32))
    return np.asarray(image.resize((shape[1], shape[0]), Image.Resampling.BOX), dtype=np.float32)
