"""Boxes out of maps that were learned densely: each peak's box is the mean over the cells of its object."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.imaging.detections import intersection_over_union, without_overlaps

LEVEL = 0.88
"""Share of a peak's heat from which a cell takes part in its box."""


def boxes_from_dense_maps(
    maps: NDArray[Any], shape: tuple[int, int], *, floor: float = 0.05, most: int = 5, overlap: float = 0.3
) -> NDArray[np.float32]:
    """Read one image's maps (classes + 4, rows, columns) as boxes (M, 6): class, x0, y0, x1, y1, score; best first.

    The maps are those of ``detections.boxes_from_maps``, but the heat fills the object: the highest cell is taken, its
    box is averaged over the cells inside that are nearly as hot, and the cells inside the box are then spent.
    """
    heat, corners = _planes(maps)
    rows, columns = heat.shape[1:]
    limits = np.array([columns, rows, columns, rows], dtype=np.float64)
    step = np.array([shape[1] / columns, shape[0] / rows] * 2)
    found: list[list[float]] = []
    for kind, plane in enumerate(heat):
        left = _smoothed(plane)
        for _ in range(most):
            at = np.unravel_index(int(np.argmax(left)), left.shape)
            score = float(plane[at])
            if left[at] <= 0 or score < floor:
                break
            box = np.clip(_mean_box(plane, corners, (int(at[0]), int(at[1]))), 0, limits)
            left[_inside(box, left.shape)] = 0
            left[at] = 0
            if box[2] - box[0] > 0 and box[3] - box[1] > 0:
                found.append([float(kind), *(box * step), score])
    ordered = np.array(sorted(found, key=lambda row: -row[5]), dtype=np.float32).reshape(-1, 6)
    return ordered[without_overlaps(ordered, overlap)[:most]]


def agreement(maps: NDArray[Any], box: NDArray[Any], shape: tuple[int, int]) -> float:
    """Return how far one image's maps (one class) bear out a box x0, y0, x1, y1 in pixels, 0 to 1.

    It is the mean overlap of the boxes of the cells inside with that box, by heat, times the Dice of all heat with the
    box's inscribed ellipse, which is what the heat learns. It is high where every cell says the same, and all heat is
    there.
    """
    heat, corners = _planes(maps)
    plane = heat[0]
    rows, columns = plane.shape
    own = np.asarray(box, dtype=np.float64) / np.array([shape[1] / columns, shape[0] / rows] * 2)
    inside = _inside(own, plane.shape)
    weight = plane[inside]
    if not weight.sum() > 0:
        return 0.0
    overlap = np.average(intersection_over_union(corners[:, inside].T, own[np.newaxis])[:, 0], weights=weight)
    ellipse = np.pi / 4 * (own[2] - own[0]) * (own[3] - own[1])
    return float(np.clip(overlap * 2 * weight.sum() / (plane.sum() + ellipse), 0, 1))


def _planes(maps: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return heat (classes, rows, columns) and each cell's box as x0, y0, x1, y1 (4, rows, columns) in cells."""
    heat = 1.0 / (1.0 + np.exp(-maps[:-4].astype(np.float64)))
    rows, columns = heat.shape[1:]
    half = np.exp(np.clip(maps[-4:-2].astype(np.float64), -8, 8)) / 2
    x, y = np.arange(columns) + maps[-2], np.arange(rows)[:, None] + maps[-1]
    return heat, np.stack([x - half[0], y - half[1], x + half[0], y + half[1]])


def _mean_box(plane: NDArray[np.float64], corners: NDArray[np.float64], at: tuple[int, int]) -> NDArray[np.float64]:
    own = corners[:, at[0], at[1]]
    weight = np.where(_inside(own, plane.shape) & (plane > LEVEL * plane[at]), plane, 0.0)
    weight[at] += 1e-3
    mean: NDArray[np.float64] = (corners * weight).sum(axis=(1, 2)) / weight.sum()
    return mean


def _inside(box: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return the cells whose centres lie in the box."""
    rows, columns = np.arange(shape[0]) + 0.5, np.arange(shape[1]) + 0.5
    inside: NDArray[np.bool_] = ((rows >= box[1]) & (rows <= box[3]))[:, None] & (
        (columns >= box[0]) & (columns <= box[2])
    )[None, :]
    return inside


def _smoothed(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean over each cell and its neighbours, edges repeated."""
    wide = np.pad(plane, 1, mode="edge")
    rows, columns = plane.shape
    near = [wide[r : r + rows, c : c + columns] for r in range(3) for c in range(3)]
    mean: NDArray[np.float64] = np.mean(near, axis=0)
    return mean
