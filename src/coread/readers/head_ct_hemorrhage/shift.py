"""How far the ventricles lie off the middle of the skull."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from coread.domain.images import FloatPixels
from coread.readers.head_ct_hemorrhage.preprocess import WINDOW_LOW, WINDOW_WIDTH

HALF_WIDTH_MM = 3.0
"""Half of the interval that held the truth in 18 of 19 generated heads (on_phantoms.py)."""
_HALF_MM, _REACH_MM = 22.0, 15.0
"""Of the strip that is compared with its mirror image, and how far its axis is looked for."""
_STEP = 0.5
_LEVELS = (0.3, 0.8)
"""Where the lateral ventricles are, as shares of the slices through the brain from below."""
_DEEP, _ROWS = 0.35, (0.22, 0.62)
"""Distance from the skull of ventricles as a share of the largest, and their rows as shares of the brain's length."""
_FLUID_HU, _FADE_HU, _VENTRICLE_HU = 24.0, 14.0, 18.0
_LEAST_PIXELS = 20
_SLICES = 3
_APART_MM = 3.0
"""The middle of the skull and the plane of symmetry may differ by so much."""
_MARGIN_MM = 1.0
Mask = NDArray[np.bool_]


def midline_shift(slices: FloatPixels, brains: Sequence[Mask | None], pixel_mm: float) -> float | None:
    """Return mm by which ventricles lie off the middle of the skull, positive to the right of the picture.

    ``slices`` (S, side, side) upright in the brain window; ``brains`` what ``brain_of`` says of each. ``None`` where
    no ventricles are seen, or the middle of the skull is in doubt.
    """
    from scipy import ndimage

    hu = ndimage.gaussian_filter(slices, (0, 1, 1)) * WINDOW_WIDTH + WINDOW_LOW
    chosen = _ventricle_slices(hu, brains)
    if not chosen:
        return None
    rows = {number: _rows(brains[number]) for number in chosen}
    centre = (slices.shape[2] - 1) / 2
    middle = _middle(brains, rows)
    if abs(middle - centre) * pixel_mm > _APART_MM:
        return None
    steps = np.arange(-_REACH_MM / pixel_mm, _REACH_MM / pixel_mm + _STEP / 2, _STEP)
    away = np.arange(1, int(_HALF_MM / pixel_mm) + 1)
    alike = np.zeros(len(steps))
    for number, here in rows.items():
        fluid = np.clip((_FLUID_HU - hu[number]) / _FADE_HU, 0, 1)
        down, aside = np.meshgrid(here, away, indexing="ij")
        for at, step in enumerate(steps):
            left = ndimage.map_coordinates(fluid, [down, middle + step - aside], order=1)
            right = ndimage.map_coordinates(fluid, [down, middle + step + aside], order=1)
            alike[at] += np.minimum(left, right).sum()
    found = float(steps[int(alike.argmax())]) * pixel_mm
    return None if alike.max() <= 0 or abs(found) > _REACH_MM - _MARGIN_MM else found


def _ventricle_slices(hu: NDArray[np.float32], brains: Sequence[Mask | None]) -> list[int]:
    """Return the neighbouring slices that show most deep fluid."""
    from scipy import ndimage

    seen = [number for number, brain in enumerate(brains) if brain is not None]
    if len(seen) < _SLICES:
        return []
    low, high = (seen[0] + share * len(seen) for share in _LEVELS)
    areas = np.zeros(len(brains))
    for number in seen:
        brain = brains[number]
        if brain is not None and low <= number <= high:
            depth = ndimage.distance_transform_edt(brain)
            areas[number] = ((hu[number] < _VENTRICLE_HU) & brain & (depth > _DEEP * depth.max())).sum()
    best = int(np.convolve(areas, np.ones(_SLICES), "same").argmax())
    around = range(max(0, best - _SLICES // 2), min(len(areas), best + _SLICES // 2 + 1))
    return [number for number in around if areas[number] > _LEAST_PIXELS]


def _rows(brain: Mask | None) -> NDArray[np.int64]:
    if brain is None:
        return np.zeros(0, dtype=np.int64)
    seen = np.flatnonzero(brain.any(axis=1))
    first, length = seen[0], seen[-1] - seen[0]
    return np.arange(int(first + _ROWS[0] * length), int(first + _ROWS[1] * length))


def _middle(brains: Sequence[Mask | None], rows: dict[int, NDArray[np.int64]]) -> float:
    """Return the column halfway between the inner walls of the skull."""
    halves = []
    for number, here in rows.items():
        brain = brains[number]
        for row in here:
            columns = np.flatnonzero(brain[row]) if brain is not None else np.zeros(0)
            if len(columns):
                halves.append((columns[0] + columns[-1]) / 2)
    return float(np.median(halves))
