"""A picture of any size to the square that a network reads, and boxes, masks and heat back to the picture.

One path for reading and for learning: training sends its decoded pictures through ``stretched`` too.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from coread.domain.images import FloatPixels, PlanarImage


@dataclass(frozen=True, slots=True)
class Part:
    """The rectangle of a picture that the network sees, in pixels (ends exclusive), and the picture's shape."""

    row_min: int
    row_max: int
    column_min: int
    column_max: int
    shape: tuple[int, int]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.row_max - self.row_min

    @property
    def columns(self) -> int:
        """Number of columns."""
        return self.column_max - self.column_min

    def box(self, box: tuple[float, float, float, float], side: int) -> tuple[float, float, float, float] | None:
        """Take x0, y0, x1, y1 on the network's square to the picture, cut at the part; ``None`` if nothing is left."""
        x0, x1 = sorted(min(max(value / side, 0.0), 1.0) * self.columns + self.column_min for value in box[::2])
        y0, y1 = sorted(min(max(value / side, 0.0), 1.0) * self.rows + self.row_min for value in box[1::2])
        return (x0, y0, x1, y1) if x1 - x0 > 0 and y1 - y0 > 0 else None

    def field(self, values: NDArray[Any], outside: float = 0.0) -> NDArray[np.float32]:
        """Spread a map of the square over the picture, bilinear; what the network did not see is ``outside``."""
        image = Image.fromarray(np.ascontiguousarray(values, dtype=np.float32))
        spread = np.asarray(image.resize((self.columns, self.rows), Image.Resampling.BILINEAR), dtype=np.float32)
        if spread.shape == self.shape:
            return spread
        whole = np.full(self.shape, outside, dtype=np.float32)
        whole[self.row_min : self.row_max, self.column_min : self.column_max] = spread
        return whole


def content_part(shape: tuple[int, int], valid: NDArray[np.bool_] | None) -> Part:
    """Return the picture without padding: rows and columns at the border that are all invalid are left out.

    Only stated padding is cut (PS3.3 C.7.5.1.1.2), never dark anatomy.
    """
    if valid is None or not valid.any():
        return Part(0, shape[0], 0, shape[1], shape)
    rows, columns = np.flatnonzero(valid.any(axis=1)), np.flatnonzero(valid.any(axis=0))
    return Part(int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1, shape)


def stretched_image(image: PlanarImage, side: int, *, colour: bool = False) -> tuple[FloatPixels, Part]:
    """Return (channels, side, side) of an image, padding black and cut at the border, and the part it shows."""
    part = content_part((image.pixels.shape[0], image.pixels.shape[1]), image.valid)
    pixels = image.colour if colour and image.colour is not None else image.pixels
    if image.valid is not None:
        pixels = np.where(image.valid if pixels.ndim == 2 else image.valid[..., None], pixels, np.float32(0))
    return stretched(pixels[part.row_min : part.row_max, part.column_min : part.column_max], side), part


def stretched(pixels: FloatPixels, side: int) -> FloatPixels:
    """Return (channels, side, side) in [0, 1] of a picture (rows, columns) or (rows, columns, 3), by area averaging.

    The aspect is not kept. Values are rounded to 1/255, as the training cache stores them.
    """
    planes = pixels[np.newaxis] if pixels.ndim == 2 else np.moveaxis(pixels, 2, 0)
    made = np.empty((len(planes), side, side), dtype=np.float32)
    for number, plane in enumerate(planes):
        image = Image.fromarray(np.ascontiguousarray(plane, dtype=np.float32))
        made[number] = np.asarray(image.resize((side, side), Image.Resampling.BOX), dtype=np.float32)
    return np.rint(np.clip(made, 0, 1) * 255).astype(np.float32) / np.float32(255)
