"""Squares of even pixels around a place, cut out of slices without aliasing, and the way back onto the slices."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.readers.ejection_fraction.cine import Cine
from coread.readers.ejection_fraction.outputs import PIXEL_MM, SIDE

Weights = NDArray[np.float32]
Planes = NDArray[np.float32]
_LOW, _HIGH = 1.0, 99.5
"""Percentiles of a slice over all phases that become 0 and 1, as in the drawn slices."""


@dataclass(frozen=True, slots=True)
class Window:
    """A square of SIDE pixels of ``pixel_mm`` whose middle lies at (row, column) of the slices."""

    row: float
    column: float
    pixel_mm: float = PIXEL_MM

    def weights(self, cine: Cine) -> tuple[Weights, Weights]:
        """Return (SIDE, rows) and (SIDE, columns): a slice becomes rows @ slice @ columns.T."""
        _, rows, columns = cine.volumes[0].voxels.shape
        away = (np.arange(SIDE) - (SIDE - 1) / 2) * self.pixel_mm
        return (
            interpolation(self.row + away / cine.spacing_mm[1], rows, self.pixel_mm / cine.spacing_mm[1]),
            interpolation(self.column + away / cine.spacing_mm[2], columns, self.pixel_mm / cine.spacing_mm[2]),
        )

    def way_back(self, cine: Cine) -> tuple[Weights, Weights]:
        """Return (rows, SIDE) and (columns, SIDE): the way back from the square onto a slice, 0 outside."""
        _, rows, columns = cine.volumes[0].voxels.shape
        middle = (SIDE - 1) / 2
        down = (np.arange(rows) - self.row) * cine.spacing_mm[1] / self.pixel_mm + middle
        across = (np.arange(columns) - self.column) * cine.spacing_mm[2] / self.pixel_mm + middle
        return interpolation(down, SIDE, 1.0), interpolation(across, SIDE, 1.0)


def interpolation(places: NDArray[np.floating[Any]], count: int, reach: float) -> Weights:
    """Return (places, count): triangles of half width ``reach``, at least 1, around each place; 0 outside.

    Each row sums to 1 or, outside, to 0.
    """
    half = max(1.0, reach)
    away = np.abs(places[:, np.newaxis] - np.arange(count)[np.newaxis, :])
    weights = np.clip(1 - away / half, 0, None)
    total = weights.sum(axis=1, keepdims=True)
    inside = (places >= -0.5) & (places <= count - 0.5)
    return np.where(inside[:, np.newaxis] & (total > 0), weights / np.maximum(total, 1e-9), 0).astype(np.float32)


def squares(cine: Cine, window: Window, phases: NDArray[np.int64], slices: NDArray[np.int64]) -> Planes:
    """Return (phases, slices, SIDE, SIDE) in [0, 1], each slice stretched over all phases of the cine."""
    rows, columns = window.weights(cine)
    cut = np.stack([rows @ cine.values(int(phase))[slices] @ columns.T for phase in phases])
    low, high = np.percentile(cut, (_LOW, _HIGH), axis=(0, 2, 3))
    shape = (1, len(slices), 1, 1)
    spread = np.maximum(high - low, 1e-6).reshape(shape)
    return np.asarray(np.clip((cut - low.reshape(shape)) / spread, 0, 1), dtype=np.float32)


def moving_place(cine: Cine) -> tuple[float, float]:
    """Return (row, column) around which the slices change most over the beat: the heart, roughly."""
    from scipy import ndimage

    slices = np.arange(cine.volumes[0].voxels.shape[0])
    middle = slices[len(slices) // 4 : max(len(slices) // 4 + 1, 3 * len(slices) // 4)]
    every = range(0, cine.phases, max(1, cine.phases // 10))
    change = np.stack([cine.values(phase)[middle] for phase in every]).std(axis=0).mean(axis=0)
    sigma = (12.0 / cine.spacing_mm[1], 12.0 / cine.spacing_mm[2])
    smooth = ndimage.gaussian_filter(np.asarray(change, np.float64), sigma)
    row, column = np.unravel_index(int(smooth.argmax()), smooth.shape)
    return float(row), float(column)
