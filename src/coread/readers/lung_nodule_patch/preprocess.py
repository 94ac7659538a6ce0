"""From a patch of a CT slice to the network's input: its middle, in grey values, with quarter turns."""

import numpy as np

from coread.domain.images import FloatPixels
from coread.readers.lung_nodule_patch.outputs import SIDE, TURNS


def middle(pixels: FloatPixels) -> FloatPixels:
    """Return the middle (1, SIDE, SIDE) of a patch that is at least as large; nothing is resampled.

    Values are rounded to 1/255, as the training patches are stored.
    """
    row, column = (pixels.shape[0] - SIDE) // 2, (pixels.shape[1] - SIDE) // 2
    part = np.clip(pixels[row : row + SIDE, column : column + SIDE], 0, 1)
    return (np.rint(part * 255) / 255).astype(np.float32)[np.newaxis]


def turned(batch: FloatPixels) -> FloatPixels:
    """Return (TURNS * N, C, SIDE, SIDE): the batch, then the batch turned by one, two and three quarters."""
    return np.concatenate([np.rot90(batch, turn, axes=(2, 3)) for turn in range(TURNS)])
