"""From the network's answers to one logit for the breast and the box around the most suspicious spot."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.imaging.regions import regions_of
from coread.readers.mammography.outputs import SHAPE

PEAK_SHARE = 1.0
"""How much the brightest spot counts beside the verdict on the whole breast; chosen on cross-fitted pictures, where the
latter told nothing."""
_CELL = 8
"""Side of the squares over which the spot map is averaged, so that no single pixel decides."""
_EDGE = 0.5
"""Share of the peak's probability that bounds the box."""


def breast_logit(abnormal: float, spot: NDArray[Any]) -> float:
    """Return how suspicious a breast is; ``spot`` (rows, columns) holds logits."""
    return (1 - PEAK_SHARE) * abnormal + PEAK_SHARE * float(np.clip(_coarse(spot), -12, 12).max())


def spot_box(spot: NDArray[Any]) -> tuple[float, float, float, float]:
    """Return x0, y0, x1, y1 as shares of the network's picture: the region around the highest cell."""
    coarse = _coarse(spot)
    probability = 1 / (1 + np.exp(-np.clip(coarse, -30, 30)))
    row, column = np.unravel_index(int(np.argmax(probability)), probability.shape)
    inside = probability >= _EDGE * probability[row, column]
    region = next(region for region in regions_of(inside) if region[row, column])
    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    down, across = coarse.shape
    return columns[0] / across, rows[0] / down, (columns[-1] + 1) / across, (rows[-1] + 1) / down


def _coarse(spot: NDArray[Any]) -> NDArray[np.float64]:
    rows, columns = SHAPE[0] // _CELL, SHAPE[1] // _CELL
    mean: NDArray[np.float64] = spot.astype(np.float64).reshape(rows, _CELL, columns, _CELL).mean(axis=(1, 3))
    return mean
