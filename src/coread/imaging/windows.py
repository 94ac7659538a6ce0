"""A volume through a network window by window, as a plan says: turn, resample, scale, read, and back to its voxels.

The steps and their conventions are those of MONAI (Orientation, Spacing, ScaleIntensityRange, sliding window with equal
weights), so that an imported network sees what it learnt on.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.images import Volume
from coread.imaging.plan import VolumePlan

Floats = NDArray[np.float32]
ScoresOf = Callable[[Floats], Floats]
"""From one window, of the plan's roi, to scores (classes, *roi)."""
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
    labels = _mean_scores(resampled, plan, scores_of).argmax(axis=0).astype(np.int32)
    return np.ascontiguousarray(turn.undo(_nearest(labels, steps, values.shape)))


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


def _nearest(labels: NDArray[np.int32], steps: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.int32]:
    for axis, step in enumerate(steps):
        at = np.clip(np.rint(np.arange(shape[axis]) / step).astype(np.int64), 0, labels.shape[axis] - 1)
        labels = labels.take(at, axis)
    return labels


def _mean_scores(values: Floats, plan: VolumePlan, scores_of: ScoresOf) -> Floats:
    """Return scores (classes, *shape), the mean over all windows that hold a voxel."""
    missing = [max(side - size, 0) for side, size in zip(plan.roi, values.shape, strict=True)]
    before = [extent // 2 for extent in missing]
    padded = np.pad(values, [(b, m - b) for b, m in zip(before, missing, strict=True)])
    starts = [_starts(size, side, plan.overlap) for size, side in zip(padded.shape, plan.roi, strict=True)]
    total: Floats | None = None
    count = np.zeros(padded.shape, dtype=np.float32)
    for corner in product(*starts):
        place = tuple(slice(start, start + side) for start, side in zip(corner, plan.roi, strict=True))
        scores = scores_of(np.ascontiguousarray(padded[place]))
        if total is None:
            total = np.zeros((scores.shape[0], *padded.shape), dtype=np.float32)
        total[(slice(None), *place)] += scores
        count[place] += 1.0
    if total is None:
        raise ValueError("a volume without voxels has no windows")
    inside = tuple(slice(b, b + size) for b, size in zip(before, values.shape, strict=True))
    return np.asarray((total / count)[(slice(None), *inside)], dtype=np.float32)


def _starts(size: int, side: int, overlap: float) -> list[int]:
    """Return where windows begin along one axis: equal steps, the last one moved back to the edge."""
    if size <= side:
        return [0]
    step = max(int(side * (1 - overlap)), 1)
    count = math.ceil((size - side) / step) + 1
    return [min(number * step, size - side) for number in range(count)]
