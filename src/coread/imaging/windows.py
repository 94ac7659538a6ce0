"""A volume through a network window by window, as a plan says: turn, resample, scale, read, and back to its voxels.

Scores leave the windows slab by slab and become labels of the source grid at once (``sliding``, ``class_export``): no
volume of scores is held, and scores are interpolated before the largest is taken, not labels after it. The steps and
their conventions are those of MONAI (Orientation, Spacing, ScaleIntensityRange, sliding window with equal weights), so
that an imported network sees what it learnt on.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.images import Volume
from coread.imaging.class_export import labels_from
from coread.imaging.plan import VolumePlan
from coread.imaging.sliding import ScoresOf, Sliding, score_slabs

Floats = NDArray[np.float32]
_LETTERS = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
"""Letter: axis and direction in RAS."""


@dataclass(frozen=True, slots=True)
class Turn:
    """How array axes (slice, row, column) become the plan's axes: order, then which are reversed."""

    order: tuple[int, int, int]
    reversed_axes: tuple[int, ...]

    def apply(self, values: NDArray[Any]) -> NDArray[Any]:
        """Turn an array."""
        return np.flip(np.transpose(values, self.order), self.reversed_axes)

    def undo(self, values: NDArray[Any]) -> NDArray[Any]:
        """Turn it back."""
        return np.transpose(np.flip(values, self.reversed_axes), np.argsort(self.order))


def labels_by_windows(plan: VolumePlan, volume: Volume, scores_of: ScoresOf) -> NDArray[np.int32]:
    """Return a label map on the grid of the volume; a window smaller than the roi is filled with zeros."""
    turn = turn_to(plan.orientation, volume.geometry.matrix())
    values = np.ascontiguousarray(turn.apply(volume.voxels), dtype=np.float32)
    spacing = np.asarray(volume.geometry.spacing_mm())[list(turn.order)]
    wanted = np.asarray(plan.spacing_mm) if plan.spacing_mm else spacing
    steps = wanted / spacing
    resampled = _resampled(values, steps)
    if plan.window:
        low, high, new_low, new_high = plan.window
        share = np.clip((resampled - np.float32(low)) / np.float32(high - low), 0.0, 1.0)
        resampled = np.asarray(share * np.float32(new_high - new_low) + np.float32(new_low), dtype=np.float32)
    slabs = score_slabs(resampled, Sliding((plan.roi[0], plan.roi[1], plan.roi[2]), plan.overlap), scores_of)
    at = [
        np.minimum(np.arange(size) / step, extent - 1)
        for size, step, extent in zip(values.shape, steps, resampled.shape, strict=True)
    ]
    labels = labels_from(slabs, (at[0], at[1], at[2])).astype(np.int32)
    return np.ascontiguousarray(turn.undo(labels))


def turn_to(orientation: str, affine: NDArray[np.float64]) -> Turn:
    """Return how (slice, row, column) with this LPS affine become the axes that lead closest to the letters."""
    directions = np.diag([-1.0, -1.0, 1.0]) @ (affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0))
    left = np.abs(directions)
    axis_of: dict[int, int] = {}
    for _ in range(3):
        world, axis = (int(place) for place in np.unravel_index(int(left.argmax()), left.shape))
        axis_of[world] = axis
        left[world, :], left[:, axis] = -1.0, -1.0
    order, reversed_axes = [], []
    for place, letter in enumerate(orientation):
        world, sign = _LETTERS[letter]
        order.append(axis_of[world])
        if directions[world, axis_of[world]] * sign < 0:
            reversed_axes.append(place)
    return Turn((order[0], order[1], order[2]), tuple(reversed_axes))


def _resampled(values: Floats, steps: NDArray[np.float64]) -> Floats:
    """Interpolate linearly along each axis; the centres of the first voxels coincide."""
    for axis, step in enumerate(steps):
        size = values.shape[axis]
        if math.isclose(step, 1.0, rel_tol=1e-6):
            continue
        count = max(1, round((size - 1) / step + 1))
        at = np.clip(np.arange(count) * step, 0, size - 1)
        below = np.minimum(at.astype(np.int64), max(size - 2, 0))
        share = (at - below).astype(np.float32)
        shape = [1] * values.ndim
        shape[axis] = count
        share = share.reshape(shape)
        above = np.minimum(below + 1, size - 1)
        values = values.take(below, axis) * (1 - share) + values.take(above, axis) * share
    return np.ascontiguousarray(values, dtype=np.float32)
