"""From a display image to the network's input: squeezed to a square, its brightness brought to a range of its own."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.images import FloatPixels, PlanarImage
from coread.imaging.stretch import Part, stretched, stretched_image
from coread.readers.brain_mr_tumor.outputs import SIDE

_BRIGHTEST = 99.5
"""Percentile that becomes white: fat and vessels beyond it say nothing of the brain."""
_GAMMA = 0.7
"""Lifts the grey of brain, where the borders of tumours without enhancement are."""


def network_image(image: PlanarImage) -> tuple[FloatPixels, Part]:
    """Return (1, side, side) in [0, 1] and the part of the image that it shows."""
    square, part = stretched_image(image, SIDE)
    return own_range(square), part


def network_picture(pixels: NDArray[Any]) -> FloatPixels:
    """Return the same of a decoded 8-bit picture, for learning."""
    return own_range(stretched(np.divide(pixels, 255, dtype=np.float32), SIDE))


def own_range(square: FloatPixels) -> FloatPixels:
    """Stretch brightness to the image's own range, rounded to 1/255 as the training cache stores it."""
    top = max(float(np.percentile(square, _BRIGHTEST)), 1e-3)
    lifted = np.clip(square / np.float32(top), 0, 1) ** np.float32(_GAMMA)
    stored: FloatPixels = np.rint(lifted * 255).astype(np.float32) / np.float32(255)
    return stored
