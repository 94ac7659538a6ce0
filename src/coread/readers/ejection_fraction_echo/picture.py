"""The sector of a loop as the network sees it, fitted into one size without changing its shape, and the way back."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.images import Loop
from coread.readers.ejection_fraction_echo.outputs import COLUMNS, ROWS

Pictures = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Fit:
    """How a part of the frames lies in the network's picture: its corner in the frame, and pixels per pixel."""

    row_min: int
    column_min: int
    rows: int
    columns: int
    row_step: float
    """Rows of the frame for one row of the picture."""
    column_step: float
    row_mm: float | None
    """Height of a row of the picture, mm; ``None`` without a calibration."""
    column_mm: float | None

    def to_picture(self) -> tuple[Pictures, Pictures]:
        """Return (ROWS, rows) and (COLUMNS, columns): a part becomes rows @ part @ columns.T."""
        down = _triangles(_centres(ROWS, self.rows, self.row_step), self.rows, self.row_step)
        across = _triangles(_centres(COLUMNS, self.columns, self.column_step), self.columns, self.column_step)
        return down, across

    def to_frame(self) -> tuple[Pictures, Pictures]:
        """Return (rows, ROWS) and (columns, COLUMNS): the way back onto the part."""
        down = (np.arange(self.rows) - (self.rows - 1) / 2) / self.row_step + (ROWS - 1) / 2
        across = (np.arange(self.columns) - (self.columns - 1) / 2) / self.column_step + (COLUMNS - 1) / 2
        return _triangles(down, ROWS, 1.0), _triangles(across, COLUMNS, 1.0)


def fit_of(loop: Loop) -> Fit:
    """Return how the calibrated region of a loop, or its whole frame where there is none, fits into the picture."""
    _, rows, columns = loop.pixels.shape
    sector = loop.sector
    box = (0, 0, rows, columns)
    down = across = 1.0
    if sector is not None:
        bottom, right = min(sector.row_max, rows), min(sector.column_max, columns)
        box = (sector.row_min, sector.column_min, bottom - sector.row_min, right - sector.column_min)
        down, across = sector.spacing_mm
    step = max(box[2] * down / ROWS, box[3] * across / COLUMNS)
    scaled = (step, step) if sector is not None else (None, None)
    return Fit(*box, step / down, step / across, *scaled)


def pictures_of(loop: Loop, fit: Fit) -> Pictures:
    """Return (frames, 1, ROWS, COLUMNS) in [0, 1]."""
    part = loop.pixels[:, fit.row_min : fit.row_min + fit.rows, fit.column_min : fit.column_min + fit.columns]
    down, across = fit.to_picture()
    made = np.stack([down @ frame @ across.T for frame in part])
    return np.asarray(np.clip(made, 0, 1)[:, np.newaxis], dtype=np.float32)


def _centres(count: int, extent: int, step: float) -> NDArray[np.float64]:
    return np.asarray((np.arange(count) - (count - 1) / 2) * step + (extent - 1) / 2)


def _triangles(places: NDArray[np.floating[Any]], count: int, reach: float) -> Pictures:
    """Return (places, count): triangles of half width ``reach``, at least 1, around each place; 0 outside."""
    half = max(1.0, reach)
    away = np.abs(places[:, np.newaxis] - np.arange(count)[np.newaxis, :])
    weights = np.clip(1 - away / half, 0, None)
    total = weights.sum(axis=1, keepdims=True)
    inside = (places >= -0.5) & (places <= count - 0.5)
    shares = np.where(inside[:, np.newaxis] & (total > 0), weights / np.maximum(total, 1e-9), 0)
    return np.asarray(shares, dtype=np.float32)
