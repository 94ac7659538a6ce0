"""From a display image to what the network sees of it: the head, and the whole; each a square in a range of its own."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from coread.domain.images import FloatPixels, PlanarImage
from coread.imaging.stretch import Part, content_part, stretched
from coread.readers.brain_mr_tumor.outputs import SIDE

_BRIGHTEST = 99.5
"""Percentile that becomes white: fat and vessels beyond it say nothing of the brain."""
_GAMMA = 0.7
"""Lifts the grey of brain, where the borders of tumours without enhancement are."""
_AIR = 0.12
"""Share of the brightest below which a pixel is air."""
_FEW = 0.05
"""Share of a row or column that is not air from which it belongs to the head: less is noise."""
_MARGIN = 0.05
"""Share of the head's sides that is kept around it."""
_LEAST = 0.25
"""Share of either side below which what is brighter than air is no head."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """Pixels (1, side, side) in [0, 1] and the part of the image that they show."""

    pixels: FloatPixels
    part: Part


def network_views(image: PlanarImage) -> tuple[View, View]:
    """Return the head and the whole of an image."""
    whole = content_part((image.pixels.shape[0], image.pixels.shape[1]), image.valid)
    pixels = image.pixels if image.valid is None else np.where(image.valid, image.pixels, np.float32(0))
    return _views(pixels, whole)


def picture_views(pixels: NDArray[Any]) -> tuple[View, View]:
    """Return the same of a decoded 8-bit picture, for learning."""
    whole = content_part((pixels.shape[0], pixels.shape[1]), None)
    return _views(np.divide(pixels, 255, dtype=np.float32), whole)


def head_part(pixels: FloatPixels, part: Part) -> Part:
    """Return the rows and columns of ``part`` that show more than air, or ``part`` where that is too little for a head.

    A head fills two thirds of each side of most slices: leaving the air out shows it half as large again.
    """
    seen = _seen(pixels, part)
    tissue = seen > _AIR * _white(seen)
    rows = np.flatnonzero(tissue.mean(axis=1) > _FEW)
    columns = np.flatnonzero(tissue.mean(axis=0) > _FEW)
    if not len(rows) or not len(columns):
        return part
    if len(rows) < _LEAST * part.rows or len(columns) < _LEAST * part.columns:
        return part
    down, across = round(_MARGIN * (rows[-1] - rows[0])), round(_MARGIN * (columns[-1] - columns[0]))
    return replace(
        part,
        row_min=part.row_min + max(int(rows[0]) - down, 0),
        row_max=part.row_min + min(int(rows[-1]) + 1 + down, part.rows),
        column_min=part.column_min + max(int(columns[0]) - across, 0),
        column_max=part.column_min + min(int(columns[-1]) + 1 + across, part.columns),
    )


def _views(pixels: FloatPixels, whole: Part) -> tuple[View, View]:
    head = head_part(pixels, whole)
    # Bilinear in Pillow averages when it shrinks; a small head is enlarged without steps.
    image = Image.fromarray(np.ascontiguousarray(_seen(pixels, head), dtype=np.float32))
    square = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR), dtype=np.float32)
    return View(own_range(square[np.newaxis]), head), View(own_range(stretched(_seen(pixels, whole), SIDE)), whole)


def _seen(pixels: FloatPixels, part: Part) -> FloatPixels:
    return pixels[part.row_min : part.row_max, part.column_min : part.column_max]


def own_range(square: FloatPixels) -> FloatPixels:
    """Stretch brightness to the image's own range, rounded to 1/255 as the training cache stores it."""
    lifted = np.clip(square / np.float32(_white(square)), 0, 1) ** np.float32(_GAMMA)
    stored: FloatPixels = np.rint(lifted * 255).astype(np.float32) / np.float32(255)
    return stored


def _white(pixels: FloatPixels) -> float:
    return max(float(np.percentile(pixels, _BRIGHTEST)), 1e-3)
