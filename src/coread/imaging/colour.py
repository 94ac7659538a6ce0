"""Colour to colour: YBR to RGB, palette to RGB, RGB to luminance (PS3.3 C.7.6.3.1.2, C.7.6.3.1.5)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Weights of the Y of YBR_FULL (PS3.3 C.7.6.3.1.2, after ITU-R BT.601)."""
_TO_RGB = np.array([[1.0, 1.0, 1.0], [0.0, -0.344136286, 1.772], [1.402, -0.714136286, 0.0]], dtype=np.float32)


def rgb_from_ybr(values: NDArray[Any]) -> NDArray[Any]:
    """Turn YBR_FULL (..., 3) of 8 or 16 bits into RGB of the same type."""
    centre = np.float32(2 ** (8 * values.dtype.itemsize - 1))
    shifted = values.astype(np.float32)
    shifted[..., 1:] -= centre
    rgb = np.clip(np.rint(shifted @ _TO_RGB), 0, 2 * centre - 1)
    return np.asarray(rgb.astype(values.dtype))


def rgb_from_ybr_422(pairs: NDArray[Any]) -> NDArray[Any]:
    """Turn YBR_FULL_422 (frames, rows, columns / 2, Y Y B R) into RGB (frames, rows, columns, 3)."""
    frames, rows, half, _ = pairs.shape
    full = np.empty((frames, rows, half, 2, 3), dtype=pairs.dtype)
    full[..., 0] = pairs[..., :2]
    full[..., 1:] = pairs[..., np.newaxis, 2:]
    return rgb_from_ybr(full.reshape(frames, rows, 2 * half, 3))


def luminance(rgb: NDArray[Any]) -> NDArray[np.float32]:
    """Return the brightness of RGB (..., 3) in the same range."""
    return np.asarray(rgb.astype(np.float32) @ _LUMINANCE, dtype=np.float32)
