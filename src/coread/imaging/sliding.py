"""A sliding window whose memory is bounded by the window's depth: scores leave it slab by slab, never as a volume.

Windows lie where MONAI's inferer lays them (``monai.inferers.sliding_window_inference``: equal steps, the last one
moved back to the edge) and are weighted as there (equal, or a Gaussian whose sigma is an eighth of the window), so that
the scores agree.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
ScoresOf = Callable[[Floats], Floats]
"""From one window, of the size that was asked for, to scores (classes, *window)."""
Shape3 = tuple[int, int, int]
EQUAL, GAUSSIAN = "equal", "gaussian"
_SIGMA = 0.125
_LEAST_WEIGHT = 1e-3


@dataclass(frozen=True, slots=True)
class Sliding:
    """How a window slides.

    ``size``: voxels along each axis. ``overlap``: share of a window that the next one sees too, in [0, 1).
    ``weights``: ``equal`` or ``gaussian``. ``empty_below``: a window without any value above it is not read but given
    ``empty_scores``, one number per class (air around a patient); ``None`` reads every window.
    """

    size: Shape3
    overlap: float = 0.25
    weights: str = EQUAL
    empty_below: float | None = None
    empty_scores: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if min(self.size) < 1 or not 0.0 <= self.overlap < 1.0 or self.weights not in (EQUAL, GAUSSIAN):
            raise ValueError(f"a window of {self.size} with overlap {self.overlap:g} and {self.weights} weights")
        if self.empty_below is not None and not self.empty_scores:
            raise ValueError("windows that are not read need the scores that they are given")


def starts_along(size: int, side: int, overlap: float) -> list[int]:
    """Return where windows begin along one axis: equal steps, the last one moved back to the edge."""
    if size <= side:
        return [0]
    step = max(int(side * (1 - overlap)), 1)
    count = math.ceil((size - side) / step) + 1
    return [min(number * step, size - side) for number in range(count)]


def weights_of(sliding: Sliding) -> Floats:
    """Return what each voxel of a window counts for, shape ``size``, as MONAI's ``compute_importance_map``."""
    weights = np.ones(sliding.size, dtype=np.float32)
    if sliding.weights == GAUSSIAN:
        for axis, side in enumerate(sliding.size):
            away = np.arange(side, dtype=np.float64) - (side - 1) / 2.0
            shape = [1, 1, 1]
            shape[axis] = side
            weights *= np.exp(away**2 / (-2.0 * (_SIGMA * side) ** 2)).astype(np.float32).reshape(shape)
    least = max(float(weights.min()), _LEAST_WEIGHT)
    return np.maximum(weights, np.float32(least))


def score_slabs(values: Floats, sliding: Sliding, scores_of: ScoresOf) -> Iterator[Floats]:
    """Yield the weighted mean scores (classes, depth, rows, columns) of one slab after the other along the first axis.

    The slabs together are the volume. No more than one window's depth of scores is held. A volume that is smaller than
    the window is padded with zeros on both sides for the network. Raises ValueError for a volume without voxels and for
    scores of another shape than the window's, or that are not finite.
    """
    if min(values.shape) < 1:
        raise ValueError("a volume without voxels has no windows")
    missing = [max(side - extent, 0) for side, extent in zip(sliding.size, values.shape, strict=True)]
    before = [extent // 2 for extent in missing]
    padded = np.pad(values, [(b, m - b) for b, m in zip(before, missing, strict=True)]) if any(missing) else values
    inside = tuple(slice(b, b + extent) for b, extent in zip(before, values.shape, strict=True))
    done = 0
    for slab in _padded_slabs(padded, sliding, scores_of):
        low, high = max(inside[0].start - done, 0), min(inside[0].stop - done, slab.shape[1])
        done += slab.shape[1]
        if low < high:
            yield slab[:, low:high, inside[1], inside[2]]


def _padded_slabs(values: Floats, sliding: Sliding, scores_of: ScoresOf) -> Iterator[Floats]:
    depth = sliding.size[0]
    steps = [starts_along(*pair, sliding.overlap) for pair in zip(values.shape, sliding.size, strict=True)]
    weights = weights_of(sliding)
    total: Floats | None = None
    count = np.zeros((depth, *values.shape[1:]), dtype=np.float32)
    for number, start in enumerate(steps[0]):
        for row, column in product(steps[1], steps[2]):
            place = (slice(row, row + sliding.size[1]), slice(column, column + sliding.size[2]))
            window = values[(slice(start, start + depth), *place)]
            scores = _scores(window, sliding, scores_of)
            if total is None:
                total = np.zeros((len(scores), *count.shape), dtype=np.float32)
            # Equal weights are ones: multiplying by them would read and write every score once more.
            total[(slice(None), slice(None), *place)] += scores if sliding.weights == EQUAL else scores * weights
            count[(slice(None), *place)] += weights
        assert total is not None  # every slab has a window
        after = steps[0][number + 1] if number + 1 < len(steps[0]) else values.shape[0]
        finished = min(after - start, depth)
        yield np.divide(total[:, :finished], count[:finished], dtype=np.float32)
        # What the next windows add to moves to the front; the rest begins at nothing.
        total[:, : depth - finished] = total[:, finished:]
        total[:, depth - finished :] = 0.0
        count[: depth - finished] = count[finished:]
        count[depth - finished :] = 0.0


def _scores(window: Floats, sliding: Sliding, scores_of: ScoresOf) -> Floats:
    if sliding.empty_below is not None and not (window > sliding.empty_below).any():
        return np.asarray(sliding.empty_scores, dtype=np.float32).reshape(-1, 1, 1, 1)
    scores = scores_of(np.ascontiguousarray(window))
    if scores.ndim != 4 or scores.shape[1:] != window.shape:
        raise ValueError(f"the network gives scores of shape {scores.shape} for a window of {window.shape}")
    if not np.isfinite(scores).all():
        raise ValueError("the network gives scores that are not finite: they would become labels like any others")
    return scores
