"""Method of discs (modified Simpson, ASE/EACVI 2015): from the outline of a cavity to diameters and volume."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DISCS = 20
_FINER = 3
"""Outlines are taken at so many times the pixels of the picture: edges run between pixels."""
_LEAST_PIXELS = 40
_STRIPS = 100


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """A cavity in one frame: 20 diameters from apex to base and the length, in pixels of the picture."""

    diameters: NDArray[np.float64]
    length: float

    def volume(self) -> float:
        """Return the volume of the single plane, pixels cubed."""
        return float(np.pi / 4 * (self.diameters**2).sum() * self.length / DISCS)


def calibrated(outline: Outline, slope: float, offset: float) -> Outline:
    """Return an outline whose diameters are ``slope`` times the measured ones plus ``offset`` pixels, at least 0.

    The network draws wide cavities a little too narrow and narrow ones too wide; both numbers come from phantoms.
    """
    return Outline(
        np.where(outline.diameters > 0, np.maximum(slope * outline.diameters + offset, 0), 0), outline.length
    )


NOTHING = Outline(np.zeros(DISCS), 0.0)


def outline_of(share: NDArray[np.float32], atrium: NDArray[np.float32]) -> Outline:
    """Return the outline where the share of cavity (rows, columns) is above one half: its largest piece.

    The long axis is the longer principal axis; the base is the end that is nearer to the atrium, or the lower one
    where no atrium is seen. NOTHING where there is no cavity.
    """
    from scipy import ndimage

    labels, count = ndimage.label(share > 0.5)
    if count == 0:
        return NOTHING
    sizes = np.bincount(labels.ravel())[1:]
    if sizes.max() < _LEAST_PIXELS:
        return NOTHING
    piece = ndimage.binary_fill_holes(labels == int(sizes.argmax()) + 1)
    near = ndimage.binary_dilation(piece, iterations=2)
    inside = np.where(near, np.where(piece, np.maximum(share, 0.51), np.minimum(share, 0.5)), 0)
    fine = ndimage.zoom(inside, _FINER, order=1, grid_mode=True, mode="nearest") > 0.5
    points = np.argwhere(fine) / _FINER
    middle = points.mean(axis=0)
    axis = np.linalg.eigh(np.cov((points - middle).T))[1][:, 1]
    if (_base_side(atrium, middle) @ axis) < 0:
        axis = -axis
    along = (points - middle) @ axis
    low, high = float(along.min()), _straight_base(along)
    along = along[along <= high]
    length = high - low + 1 / _FINER
    disc = np.minimum(((along - low + 0.5 / _FINER) / length * DISCS).astype(np.int64), DISCS - 1)
    areas = np.bincount(disc, minlength=DISCS) / _FINER**2
    return Outline(areas / (length / DISCS), length)


def biplane_volume(one: Outline, other: Outline) -> float:
    """Return the biplane volume of two perpendicular planes, pixels cubed; the longer length counts (ASE 2015)."""
    length = max(one.length, other.length)
    return float(np.pi / 4 * (one.diameters * other.diameters).sum() * length / DISCS)


def volumes_of(outlines: Sequence[Outline]) -> NDArray[np.float64]:
    """Return the single-plane volume of each frame, pixels cubed."""
    return np.array([one.volume() for one in outlines])


def _straight_base(along: NDArray[np.float64]) -> float:
    """Return where a straight mitral plane would lie: as much beyond it as is missing before it.

    The base of an outline is ragged and seldom square to the axis; its corners must not lengthen the ventricle.
    """
    low, high = float(along.min()), float(along.max())
    counts, edges = np.histogram(along, bins=_STRIPS, range=(low, high))
    near = slice(round(0.75 * _STRIPS), round(0.85 * _STRIPS))
    usual = float(np.median(counts[near]))
    tail = counts[near.stop :]
    return float(edges[near.stop] + (edges[1] - edges[0]) * min(tail.sum() / max(usual, 1.0), len(tail)))


def _base_side(atrium: NDArray[np.float32], middle: NDArray[np.float64]) -> NDArray[np.float64]:
    places = np.argwhere(atrium > 0.5)
    if len(places) < _LEAST_PIXELS // 2:
        return np.array([1.0, 0.0])
    return np.asarray(places.mean(axis=0) - middle)
