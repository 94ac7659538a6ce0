"""Boxes out of a detection network's maps: local maxima of the heat, size and offset beside them, overlaps removed."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


def boxes_from_maps(
    maps: Floats, shape: tuple[int, int], *, floor: float = 0.05, most: int = 50, overlap: float = 0.5
) -> NDArray[np.float32]:
    """Read one image's maps (classes + 4, rows, columns) as boxes (M, 6): class, x0, y0, x1, y1, score; best first.

    ``maps`` are heat logits per class, then log width, log height (in cells) and the centre's offset in its cell along
    x and y. ``shape`` is (rows, columns) of the image. Boxes below ``floor``, and boxes that overlap a better one of
    the same class by more than ``overlap`` (intersection over union), are left out.
    """
    heat = 1.0 / (1.0 + np.exp(-maps[:-4].astype(np.float64)))
    wide = np.pad(heat, ((0, 0), (1, 1), (1, 1)), constant_values=-1.0)
    rows, columns = heat.shape[1:]
    near = [wide[:, r : r + rows, c : c + columns] for r in range(3) for c in range(3)]
    kind, row, column = np.nonzero((heat >= np.max(near, axis=0)) & (heat >= floor))
    score = heat[kind, row, column]
    order = np.argsort(-score, kind="stable")[: 4 * most]
    kind, row, column, score = kind[order], row[order], column[order], score[order]
    step_y, step_x = shape[0] / rows, shape[1] / columns
    half = np.exp(np.clip(maps[-4:-2, row, column].astype(np.float64), -8, 8)) / 2
    x, y = column + maps[-2, row, column], row + maps[-1, row, column]
    found = np.column_stack(
        [
            kind,
            np.clip((x - half[0]) * step_x, 0, shape[1]),
            np.clip((y - half[1]) * step_y, 0, shape[0]),
            np.clip((x + half[0]) * step_x, 0, shape[1]),
            np.clip((y + half[1]) * step_y, 0, shape[0]),
            score,
        ]
    ).astype(np.float32)
    return found[without_overlaps(found, overlap)[:most]]


def intersection_over_union(one: Floats, other: Floats) -> Floats:
    """Return (N, M) overlaps of boxes (N, 4) and (M, 4) given as x0, y0, x1, y1."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    areas = [np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None), axis=1) for boxes in (one, other)]
    overlap: Floats = shared / np.maximum(areas[0][:, None] + areas[1][None, :] - shared, 1e-9)
    return overlap


def without_overlaps(found: Floats, overlap: float) -> NDArray[np.int64]:
    """Return positions of the boxes to keep out of (M, 6), which are sorted best first."""
    kept: list[int] = []
    shared = intersection_over_union(found[:, 1:5], found[:, 1:5])
    for i in range(len(found)):
        if all(shared[i, k] <= overlap or found[i, 0] != found[k, 0] for k in kept):
            kept.append(i)
    return np.array(kept, dtype=np.int64)
