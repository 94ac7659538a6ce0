"""From an ultrasound picture to the network's square: coloured marks become the tissue around them."""

import numpy as np
from numpy.typing import NDArray

from coread.domain.images import FloatPixels, PlanarImage
from coread.domain.reasons import Reason, ReasonCode
from coread.imaging.stretch import content_part, stretched

COLOURED = 0.12
"""Difference between the channels, as a share of full scale, from which a pixel is a coloured mark."""
MOST_COLOURED = 0.05
"""Share of coloured pixels from which the picture is colour Doppler, elastography or a drawing, and not read."""
_REACH = 4


def network_image(image: PlanarImage, side: int) -> FloatPixels | Reason:
    """Return (1, side, side), or why the picture is not a grey ultrasound image."""
    pixels = image.pixels
    if image.colour is not None:
        marked = image.colour.max(axis=2) - image.colour.min(axis=2) > COLOURED
        share = float(marked.mean())
        if share > MOST_COLOURED:
            return Reason(
                ReasonCode.LOW_QUALITY, f"{share:.0%} of the picture is coloured: Doppler, elastography or drawing"
            )
        pixels = without_marks(pixels, marked)
    if image.valid is not None:
        pixels = np.where(image.valid, pixels, np.float32(0))
    part = content_part((pixels.shape[0], pixels.shape[1]), image.valid)
    return stretched(pixels[part.row_min : part.row_max, part.column_min : part.column_max], side)


def without_marks(pixels: FloatPixels, marked: NDArray[np.bool_]) -> FloatPixels:
    """Replace marked pixels by the mean of the unmarked ones around them, in rings that grow until all are filled."""
    if not marked.any():
        return pixels
    filled, left = np.where(marked, np.float32(0), pixels), marked.copy()
    for reach in (_REACH, 4 * _REACH, max(pixels.shape)):
        known = (~marked).astype(np.float64)
        total, count = _sums(filled * known, reach), _sums(known, reach)
        now = left & (count > 0)
        filled = np.where(now, (total / np.maximum(count, 1)).astype(np.float32), filled)
        left &= ~now
    return np.asarray(filled, dtype=np.float32)


def _sums(values: NDArray[np.float64], reach: int) -> NDArray[np.float64]:
    """Return the sum over the square of ``reach`` pixels each way around every pixel."""
    rows, columns = values.shape
    table = np.zeros((rows + 1, columns + 1))
    table[1:, 1:] = values.cumsum(axis=0).cumsum(axis=1)
    low_row, high_row = np.clip(np.arange(rows) - reach, 0, rows), np.clip(np.arange(rows) + reach + 1, 0, rows)
    low, high = np.clip(np.arange(columns) - reach, 0, columns), np.clip(np.arange(columns) + reach + 1, 0, columns)
    upper, lower = table[high_row], table[low_row]
    return np.asarray(upper[:, high] - upper[:, low] - lower[:, high] + lower[:, low])
