"""Slices at uneven distances on one straight line, interpolated at even ones between the real positions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.domain.images import FloatPixels
from coread.imaging.geometry import Vector
from coread.imaging.slice_pixels import fill
from coread.imaging.slices import Slice
from coread.imaging.stack import GAP_TOLERANCE, Examination

_ON_LINE_MM = 0.05
MOST_SLICES = 4096
_SMALL = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Spacing:
    """Even positions from the first slice to the last, and which slices each lies between."""

    count: int
    step: Vector
    """From one even position to the next, LPS mm."""
    below: NDArray[np.int64]
    """(count,) index of the slice before each position."""
    share: NDArray[np.float64]
    """(count,) weight of the slice after it: 0 is the slice before."""

    def nearest(self) -> tuple[int, ...]:
        """Return the slice that each even position is nearest to."""
        return tuple(int(k) for k in self.below + (self.share > 0.5))


def even_spacing(found: Examination) -> Spacing | None:
    """Return even positions, the lower quartile of the gaps apart; ``None`` where the slices are on no straight line.

    A quarter of the gaps are as fine or finer, so that one overlap of two blocks does not set the step.
    """
    positions = found.stack.positions
    whole = positions[-1] - positions[0]
    length = float(np.linalg.norm(whole))
    if length == 0.0 or found.off_line_mm > max(_ON_LINE_MM, GAP_TOLERANCE * length / len(positions)):
        return None
    along = (positions - positions[0]) @ (whole / length)
    fine = float(np.percentile(np.diff(along), 25, method="lower"))
    count = round(length / fine) + 1
    if count > MOST_SLICES:
        return None
    at = np.linspace(0.0, length, count)
    below = np.clip(np.searchsorted(along, at + _SMALL, side="right") - 1, 0, len(along) - 2)
    share = np.clip((at - along[below]) / (along[below + 1] - along[below]), 0.0, 1.0)
    share[np.abs(share) < _SMALL] = 0.0
    return Spacing(count, whole / (count - 1), below, share)


def fill_evenly(voxels: FloatPixels, slices: Sequence[Slice], spacing: Spacing) -> None:
    """Write the interpolated slices into ``voxels`` (count, rows, columns); two source slices are held at a time."""
    pair = np.empty((2, *voxels.shape[1:]), dtype=np.float32)
    held = -1
    for k in range(spacing.count):
        below, share = int(spacing.below[k]), np.float32(spacing.share[k])
        if below != held:
            fill(pair, slices[below : below + 2], workers=1)
            held = below
        np.multiply(pair[0], np.float32(1.0) - share, out=voxels[k])
        voxels[k] += share * pair[1]
