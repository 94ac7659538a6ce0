"""From a finding's coarse map to a box in pixels of the original image and a heat map over the whole frame."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.readers.chest_xray.outputs import BOX_LEVEL
from coread.readers.chest_xray.preprocess import Window

_FINE = 96
"""Grid on which the outline of a finding is found, cells per side of the network's window."""
_HEAT = 48
"""Cells per side of a heat map."""


@dataclass(frozen=True, slots=True)
class Place:
    """A box in pixels of the original image (edges), and its columns as shares of the network's window."""

    column_min: float
    row_min: float
    column_max: float
    row_max: float
    left_edge: float
    right_edge: float
    peak: tuple[float, float]
    """(row, column) of the brightest spot as shares of the window's height and width."""

    @property
    def centre(self) -> float:
        """Middle column of the box as a share of the window's width."""
        return (self.left_edge + self.right_edge) / 2


def place_of(cells: NDArray[np.float32], window: Window, level: float = BOX_LEVEL) -> Place:
    """Return the box around the brightest spot: the connected cells above ``level`` times its value."""
    at = (np.arange(_FINE) + 0.5) / _FINE
    fine = interpolated(cells, at, at)
    peak = np.unravel_index(int(np.argmax(fine)), fine.shape)
    inside = _component(fine >= level * fine[peak], (int(peak[0]), int(peak[1])))
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    left, right = columns[0] / _FINE, (columns[-1] + 1) / _FINE
    height, width = window.row_max - window.row_min, window.column_max - window.column_min
    return Place(
        column_min=float(window.column_min + left * width),
        row_min=float(window.row_min + rows[0] / _FINE * height),
        column_max=float(window.column_min + right * width),
        row_max=float(window.row_min + (rows[-1] + 1) / _FINE * height),
        left_edge=float(left),
        right_edge=float(right),
        peak=((float(peak[0]) + 0.5) / _FINE, (float(peak[1]) + 0.5) / _FINE),
    )


def frame_heat(cells: NDArray[np.float32], window: Window, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return the map over the whole frame, (48, 48) in [0, 1]; what the network did not see is 0."""
    rows = ((np.arange(_HEAT) + 0.5) / _HEAT * shape[0] - window.row_min) / (window.row_max - window.row_min)
    columns = ((np.arange(_HEAT) + 0.5) / _HEAT * shape[1] - window.column_min) / (
        window.column_max - window.column_min
    )
    seen = ((rows >= 0) & (rows <= 1))[:, None] & ((columns >= 0) & (columns <= 1))[None, :]
    return np.where(seen, np.clip(interpolated(cells, rows, columns), 0.0, 1.0), 0.0).astype(np.float32)


def interpolated(
    cells: NDArray[np.float32], rows: NDArray[np.float64], columns: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Read a map at shares of its height and width (cell centres at (k + 0.5) / n), bilinear, edges held."""
    down, across = _weights(rows, cells.shape[0]), _weights(columns, cells.shape[1])
    return np.asarray(down @ cells.astype(np.float64) @ across.T, dtype=np.float64)


def _weights(at: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Return the matrix (len(at), n) that interpolates n cell centres linearly."""
    position = np.clip(at * n - 0.5, 0, n - 1)
    low = np.minimum(np.floor(position).astype(np.int64), max(n - 2, 0))
    share = position - low
    matrix = np.zeros((len(at), n))
    matrix[np.arange(len(at)), low] += 1 - share
    matrix[np.arange(len(at)), np.minimum(low + 1, n - 1)] += share
    return matrix


def _component(mask: NDArray[np.bool_], start: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the cells of ``mask`` that touch ``start`` over edges, by growing inside the mask."""
    grown = np.zeros_like(mask)
    grown[start] = True
    while True:
        wider = grown.copy()
        wider[1:] |= grown[:-1]
        wider[:-1] |= grown[1:]
        wider[:, 1:] |= grown[:, :-1]
        wider[:, :-1] |= grown[:, 1:]
        wider &= mask
        if (wider == grown).all():
            return grown
        grown = wider
