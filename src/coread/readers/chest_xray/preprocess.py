"""From a display image of any size to the network's square, and back for boxes. Numpy and Pillow only."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image


@dataclass(frozen=True, slots=True)
class Window:
    """The part of the original image that the network sees, in pixels: edges, ends exclusive."""

    row_min: int
    row_max: int
    column_min: int
    column_max: int


def display_of_bytes(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return display values in [0, 1] of an 8-bit image."""
    return np.divide(image, 255, dtype=np.float32)


def content_window(pixels: NDArray[np.float32], valid: NDArray[np.bool_] | None) -> Window:
    """Return the image without padding: rows and columns at the border that are all invalid are left out.

    Only stated padding is cut (PS3.3 C.7.5.1.1.2), never dark anatomy.
    """
    rows, columns = pixels.shape
    if valid is None or not valid.any():
        return Window(0, rows, 0, columns)
    in_rows, in_columns = np.flatnonzero(valid.any(axis=1)), np.flatnonzero(valid.any(axis=0))
    return Window(int(in_rows[0]), int(in_rows[-1]) + 1, int(in_columns[0]), int(in_columns[-1]) + 1)


def network_image(
    pixels: NDArray[np.float32], valid: NDArray[np.bool_] | None, side: int
) -> tuple[NDArray[np.float32], Window]:
    """Return the (side, side) float32 image that the network reads, and the window it shows.

    Padding is set to black and cut at the border; the rest is stretched to a square by area averaging. The
    training images were squeezed to squares in the same way before publication, so the aspect is not kept.
    """
    window = content_window(pixels, valid)
    cut = (slice(window.row_min, window.row_max), slice(window.column_min, window.column_max))
    part = pixels[cut] if valid is None else np.where(valid[cut], pixels[cut], np.float32(0.0))
    part = np.ascontiguousarray(part, dtype=np.float32)
    if part.shape == (side, side):
        return part, window
    resized = Image.fromarray(part).resize((side, side), Image.Resampling.BOX)
    return np.asarray(resized, dtype=np.float32), window
