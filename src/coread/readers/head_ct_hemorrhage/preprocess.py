"""From the slices of a head to what the network reads: brain window, and one square around the head for all slices."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.images import FloatPixels
from coread.imaging.stretch import stretched
from coread.readers.head_ct_hemorrhage.upright import Midline, midline, upright

WINDOW_LOW, WINDOW_WIDTH = -20.0, 120.0
"""HU at black, and from black to white: level 40, width 120, as the pictures that the network learnt from were made
(Hssayeni et al. 2020, Data 5(1):14)."""
_TISSUE = 0.15
"""Part of the window above which a pixel is head rather than air: about 0 HU."""
_DETACH = 2
"""Times that the border is taken off and put back, so that a head holder does not count as head."""
_MARGIN = 1.06
_LARGEST = 90.0
"""Percentile of the slices' extents that becomes the side: single odd slices, such as a shoulder, do not decide."""
_BONE = 0.97
"""Part of the window that only bone, metal, contrast medium and the densest clots reach: about 96 HU."""
_ENCLOSED = 0.12
"""Share of the square that a ring of bone encloses in a slice through the brain."""
_BRAIN = (0.3, 0.65)
"""Median of what is enclosed: 16 to 58 HU."""
_LEAST = 0.02
"""Share of a slice that must be head for the slice to count."""


@dataclass(frozen=True, slots=True)
class Square:
    """A square of pixels of every slice; it may reach beyond the slices, where it is black."""

    row: int
    column: int
    side: int


def windowed(hu: NDArray[Any]) -> FloatPixels:
    """Return the brain window of CT values in HU: 0 to 1."""
    scaled = (np.asarray(hu, dtype=np.float32) - np.float32(WINDOW_LOW)) / np.float32(WINDOW_WIDTH)
    return np.clip(scaled, 0, 1, out=scaled)


def head_square(slices: FloatPixels) -> Square | None:
    """Return one square around the head for all windowed slices (S, rows, columns); ``None`` where none is seen."""
    boxes = [box for one in slices if (box := _head_box(one)) is not None]
    if not boxes:
        return None
    table = np.array(boxes, dtype=np.float64)
    extents = np.maximum(table[:, 1] - table[:, 0], table[:, 3] - table[:, 2])
    side = max(8, int(np.ceil(np.percentile(extents, _LARGEST) * _MARGIN)))
    large = table[extents >= np.median(extents)]
    centre = [float(np.median(large[:, start] + large[:, start + 1]) / 2) for start in (0, 2)]
    return Square(round(centre[0] - side / 2), round(centre[1] - side / 2), side)


@dataclass(frozen=True, slots=True, eq=False)
class HeadSlices:
    """Slices (S, side, side) in the brain window, cut to one square around the head and turned upright."""

    slices: FloatPixels
    square: Square
    plane: Midline


def head_slices(windows: FloatPixels, side: int) -> HeadSlices | None:
    """Return what the network's input is made of, from windowed slices (S, rows, columns); ``None`` without a head."""
    square = head_square(windows)
    if square is None:
        return None
    made = np.empty((len(windows), side, side), dtype=np.float32)
    for number, one in enumerate(windows):
        made[number] = stretched(cut(one, square), side)
    plane = midline(made)
    return HeadSlices(upright(made, plane), square, plane)


def network_input(slices: FloatPixels) -> FloatPixels:
    """Return (S, 4, side, side): the slice below, the slice, the one above, and the slice's mirror image."""
    below, above = np.concatenate([slices[:1], slices[:-1]]), np.concatenate([slices[1:], slices[-1:]])
    return np.stack([below, slices, above, slices[..., ::-1]], axis=1)


def cut(one: FloatPixels, square: Square) -> FloatPixels:
    """Return the square of a slice (rows, columns); what is outside the slice is 0."""
    rows, columns = one.shape
    found = np.zeros((square.side, square.side), dtype=np.float32)
    top, left = max(square.row, 0), max(square.column, 0)
    bottom, right = min(square.row + square.side, rows), min(square.column + square.side, columns)
    if bottom > top and right > left:
        found[top - square.row : bottom - square.row, left - square.column : right - square.column] = one[
            top:bottom, left:right
        ]
    return found


def _head_box(one: FloatPixels) -> tuple[int, int, int, int] | None:
    """Return first and last row and column (ends exclusive) of the largest piece of tissue, or ``None``."""
    from scipy import ndimage

    reach = _DETACH * max(1, round(min(one.shape) / 256))
    tissue = ndimage.binary_opening(one > _TISSUE, iterations=reach)
    labels, count = ndimage.label(tissue)
    if not count:
        return None
    sizes = np.bincount(labels.ravel())[1:]
    if sizes.max() < _LEAST * one.size:
        return None
    rows, columns = ndimage.find_objects(labels)[int(sizes.argmax())]
    return int(rows.start), int(rows.stop), int(columns.start), int(columns.stop)


def head_contour(one: FloatPixels) -> NDArray[np.bool_]:
    """Return what lies within the outer contour of the largest piece of tissue in a slice (rows, columns)."""
    from scipy import ndimage

    labels, count = ndimage.label(ndimage.binary_opening(one > _TISSUE, iterations=_DETACH))
    if not count:
        return np.zeros(one.shape, dtype=np.bool_)
    largest = labels == int(np.bincount(labels.ravel())[1:].argmax()) + 1
    return np.asarray(ndimage.binary_fill_holes(largest), dtype=np.bool_)


def slices_with_brain(slices: FloatPixels) -> NDArray[np.bool_]:
    """Say of each slice (S, side, side) whether a ring of bone encloses tissue as dense as brain."""
    return np.array([brain_of(one) is not None for one in slices], dtype=np.bool_)


def brain_of(one: FloatPixels) -> NDArray[np.bool_] | None:
    """Return what a ring of bone encloses in a network slice (side, side), or ``None`` where that is not brain."""
    from scipy import ndimage

    bone = one >= _BONE
    filled = ndimage.binary_fill_holes(ndimage.binary_closing(np.pad(bone, 4), iterations=3))[4:-4, 4:-4]
    inside = ndimage.binary_erosion(filled & ~bone)
    if inside.sum() < _ENCLOSED * one.size or not _BRAIN[0] <= float(np.median(one[inside])) <= _BRAIN[1]:
        return None
    return np.asarray(inside, dtype=np.bool_)
