"""The plane that divides a head into halves, and the slices turned so that it stands upright in the middle."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.domain.images import FloatPixels

_COARSE = 40
"""Rows and columns of the copy on which the plane is looked for."""
_HEAD, _HEAD_SHARE = 0.15, 0.2
"""Part of the window above which a pixel is head, and the share of a slice that must be."""
_ANGLES = tuple(np.deg2rad(np.arange(-36.0, 37.0, 6.0)))
_SHIFTS = (-2.0, 0.0, 2.0)
_FINER = ((3.0, 1.0), (1.5, 0.5), (0.75, 0.25))
"""Steps of angle (degrees) and shift (coarse pixels) of the search that follows."""


@dataclass(frozen=True, slots=True)
class Midline:
    """Where the plane between the halves cuts every slice."""

    angle: float
    """Radians by which it is turned: positive when its upper end leans to the right of the picture."""
    shift: float
    """How far it lies to the right of the centre, as a share of the side."""


def midline(slices: FloatPixels) -> Midline:
    """Return the plane about which slices (S, side, side) in [0, 1] look most like their mirror images.

    The outline of skull and head decides, so that blood on one side and a shifted brain hardly move the plane.
    """
    small = _coarse(slices)
    shares = (small > _HEAD).mean(axis=(1, 2))
    small = small[shares > _HEAD_SHARE][::2] if (shares > _HEAD_SHARE).any() else small

    best = max((_likeness(small, angle, shift), angle, shift) for angle in _ANGLES for shift in _SHIFTS)
    for turn, move in _FINER:
        _, angle, shift = best
        around = [(angle + np.deg2rad(i * turn), shift + j * move) for i in (-1, 0, 1) for j in (-1, 0, 1)]
        best = max((_likeness(small, *one), *one) for one in around)
    return Midline(float(best[1]), float(best[2]) / _COARSE)


def upright(slices: FloatPixels, plane: Midline) -> FloatPixels:
    """Return slices (S, side, side) turned so that the plane stands upright in the middle; outside is 0."""
    from scipy import ndimage

    side = slices.shape[1]
    where = _sources(side, plane)
    made = [ndimage.map_coordinates(one, where, order=1, mode="constant") for one in slices]
    return np.asarray(np.stack(made), dtype=np.float32)


def _sources(side: int, plane: Midline) -> NDArray[np.float64]:
    """Return (2, side, side): row and column in the slice of each pixel of the upright one."""
    down, right = np.indices((side, side)) - (side - 1) / 2
    cosine, sine = np.cos(plane.angle), np.sin(plane.angle)
    across = right + plane.shift * side
    return np.stack([across * sine + down * cosine, across * cosine - down * sine]) + (side - 1) / 2


def _coarse(slices: FloatPixels) -> NDArray[np.float32]:
    from scipy import ndimage

    count, side = slices.shape[:2]
    cell = side // _COARSE
    kept = cell * _COARSE
    start = (side - kept) // 2
    cut = slices[:, start : start + kept, start : start + kept]
    small = cut.reshape(count, _COARSE, cell, _COARSE, cell).mean(axis=(2, 4))
    return np.asarray(ndimage.gaussian_filter(small, (0, 1, 1)), dtype=np.float32)


def _likeness(small: NDArray[np.float32], angle: float, shift: float) -> float:
    """Return minus the mean difference of slices to their mirror images about a plane (coarse pixels)."""
    from scipy import ndimage

    centre = (_COARSE - 1) / 2
    down, right = np.indices((_COARSE, _COARSE)) - centre
    beside = right * np.cos(angle) + down * np.sin(angle) - shift
    where = np.stack([down - 2 * beside * np.sin(angle), right - 2 * beside * np.cos(angle)]) + centre
    mirrored = [ndimage.map_coordinates(one, where, order=1, mode="constant") for one in small]
    return -float(np.abs(np.stack(mirrored) - small).mean())
