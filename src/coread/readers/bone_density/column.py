"""Where the spinal column runs: a template of a vertebra with its canal, followed from slice to slice.

Nothing here needs dense bone inside a body: walls, canal and arch make the template, so osteoporotic spines are found.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.readers.bone_density.frame import Doubles, Field, Floats

_COARSE_MM = 3.0
_SLAB_MM = 30.0
_BODY_MM = (17.0, 23.0)
"""Half depth and half width of a lumbar body (Zhou 2000, Eur Spine J 9:242: about 34 x 46 mm)."""
_CANAL_MM = 28.0
_MOVE_COST = (0.03, 0.15)
"""To the back and to the side, for a voxel of the coarse grid: spines bend forwards more than sideways."""
_REACH = 2
"""Voxels of the coarse grid by which the column may move from slice to slice."""
_SMOOTH_MM = 12.0
_TISSUE_HU = -200.0
_MIDLINE_MM, _ASIDE_COST = 15.0, 0.3
_BEYOND_MM = 40.0
ALONG_MM, ACROSS_MM = 1.0, 1.5
FRONT_MM, BACK_MM, SIDE_MM = 45.0, 60.0, 75.0


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """The field straightened along the column.

    ``hu`` is (along, front to back, right to left); along rises to the head by ``ALONG_MM``, the planes are
    perpendicular to the column, the other axes step by ``ACROSS_MM`` around it. ``centers`` (along, 3) are mm in the
    field, ``axes`` (along, 3, 3) hold the unit vectors along, to the back, to the left, each (z, y, x).
    """

    hu: Floats
    centers: Doubles
    axes: Doubles
    likeness: float

    def back_mm(self) -> Doubles:
        """Return the distance of each row behind the column, mm."""
        return np.asarray(np.arange(self.hu.shape[1]) * ACROSS_MM - FRONT_MM, dtype=np.float64)

    def left_mm(self) -> Doubles:
        """Return the distance of each plane to the left of the column, mm."""
        return np.asarray(np.arange(self.hu.shape[2]) * ACROSS_MM - SIDE_MM, dtype=np.float64)

    def place(self, along_mm: float, back_mm: float) -> Doubles:
        """Return the place (3,) in the field of a point behind the column, mm."""
        at = np.clip(along_mm / ALONG_MM, 0, len(self.centers) - 1)
        low = int(at)
        high, share = min(low + 1, len(self.centers) - 1), at - low
        center = (1 - share) * self.centers[low] + share * self.centers[high]
        back = (1 - share) * self.axes[low, 1] + share * self.axes[high, 1]
        return np.asarray(center + back_mm * back, dtype=np.float64)


def find_column(field: Field) -> Column:
    """Follow the column through the whole field; ``likeness`` says how much it looks like one (0: not at all)."""
    coarse, step = _coarse(field)
    scores = _scores(coarse, step)
    path = _best_path(scores)
    first, last = _longest_inside(coarse, path)
    likeness = float(np.median([scores[z, *path[z].tolist()] for z in range(first, last)]))
    centers, axes = _smooth_axis(path[first:last], first, step, field)
    return Column(_straightened(field, centers, axes), centers, axes, likeness)


def _coarse(field: Field) -> tuple[Floats, float]:
    factor = max(1, round(_COARSE_MM / field.step_mm))
    shape = [n // factor for n in field.hu.shape]
    cut = field.hu[: shape[0] * factor, : shape[1] * factor, : shape[2] * factor]
    blocks = cut.reshape(shape[0], factor, shape[1], factor, shape[2], factor)
    return np.asarray(blocks.mean(axis=(1, 3, 5)), dtype=np.float32), factor * field.step_mm


def _scores(coarse: Floats, step: float) -> Floats:
    from scipy.ndimage import uniform_filter1d
    from scipy.signal import fftconvolve

    bone = np.clip((coarse - 90) / 120, 0, 1)
    slab = uniform_filter1d(bone, max(1, round(_SLAB_MM / step)), axis=0, mode="nearest")
    template = _template(step)[::-1, ::-1]
    likeness = fftconvolve(slab, template[None], mode="same", axes=(1, 2))
    # Hips and implants look like vertebrae to the template: the column stays near the middle of the patient.
    x = np.arange(coarse.shape[2]) * step
    tissue = (coarse > _TISSUE_HU).sum(axis=(0, 1))
    middle = float((x * tissue).sum() / max(1, tissue.sum()))
    aside = np.maximum(0.0, np.abs(x - middle) - _MIDLINE_MM) / _MIDLINE_MM
    return np.asarray(likeness - _ASIDE_COST * aside, dtype=np.float32)


def _template(step: float) -> Doubles:
    """Return weights (y, x): walls and arch bright, canal and surroundings dark; each part by its own area."""
    side = round(66 / step)
    y, x = np.mgrid[-side : side + 1, -side : side + 1] * step
    ring = np.hypot(y / _BODY_MM[0], x / _BODY_MM[1])
    parts = (
        (1.0, (ring > 0.7) & (ring < 1.2) & (y < 12)),
        (0.3, ring < 0.6),
        (-1.2, np.hypot(x, y - _CANAL_MM) < 7),
        (0.5, (y > 38) & (y < 58) & (np.abs(x) < 18)),
        (-0.5, (ring > 1.4) & (ring < 2.1) & (y < 10)),
        (-0.9, (y > -50) & (y < -25) & (np.abs(x) < 20)),
    )
    return np.asarray(sum(weight * where / where.sum() for weight, where in parts), dtype=np.float64)


def _best_path(scores: Floats) -> NDArray[np.int64]:
    """Return (y, x) for each slice of the path with the largest sum, less what moving from slice to slice costs."""
    from scipy.ndimage import shift as shifted

    moves = [(dy, dx) for dy in range(-_REACH, _REACH + 1) for dx in range(-_REACH, _REACH + 1)]
    total, came = np.empty_like(scores), np.zeros(scores.shape, dtype=np.int8)
    total[0] = scores[0]
    for z in range(1, len(scores)):
        best = np.full(scores.shape[1:], -np.inf, dtype=np.float32)
        for number, (dy, dx) in enumerate(moves):
            cost = _MOVE_COST[0] * abs(dy) + _MOVE_COST[1] * abs(dx)
            other = shifted(total[z - 1], (dy, dx), order=0, mode="constant", cval=-1e6) - cost
            came[z][other > best] = number
            best = np.maximum(best, other)
        total[z] = scores[z] + best
    path = np.empty((len(scores), 2), dtype=np.int64)
    path[-1] = np.unravel_index(int(total[-1].argmax()), total[-1].shape)
    for z in range(len(scores) - 1, 0, -1):
        path[z - 1] = path[z] - moves[int(came[z][tuple(path[z])])]
    return path


def _longest_inside(coarse: Floats, path: NDArray[np.int64]) -> tuple[int, int]:
    """Return the longest run of slices (first, last + 1) in which the column lies in tissue, not beyond the scan."""
    from scipy.ndimage import find_objects, label, uniform_filter

    around = uniform_filter(coarse, (0, 9, 9), mode="nearest")
    inside = np.array([around[z, y, x] > _TISSUE_HU for z, (y, x) in enumerate(path.tolist())])
    runs = [run[0] for run in find_objects(label(inside)[0])]
    if not runs:
        return 0, len(path)
    longest = max(runs, key=lambda run: run.stop - run.start)
    return int(longest.start), int(longest.stop)


def _smooth_axis(
    path: NDArray[np.int64], first: int, step: float, field: Field
) -> tuple[Doubles, Doubles]:  # fmt: skip
    """Return centres (n, 3) and unit vectors (n, 3, 3) at equal distances along the smoothed path."""
    from scipy.ndimage import gaussian_filter1d

    shift = (step - field.step_mm) / 2
    places = np.column_stack([np.arange(len(path)) + first, path]) * step + shift
    places[:, 1:] = gaussian_filter1d(places[:, 1:], _SMOOTH_MM / step, axis=0, mode="nearest")
    return _even_axis(places)


def _even_axis(places: Doubles) -> tuple[Doubles, Doubles]:
    """Return points at equal distances along a line through places (n, 3), and the axes there (z, y, x)."""
    from scipy.ndimage import gaussian_filter1d

    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(places, axis=0), axis=1))])
    at = np.arange(0.0, length[-1], ALONG_MM)
    centers = np.column_stack([np.interp(at, length, places[:, axis]) for axis in range(3)])
    along = np.gradient(gaussian_filter1d(centers, 6.0, axis=0, mode="nearest"), axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    left = np.array([0.0, 0.0, 1.0]) - along[:, 2:] * along
    left /= np.linalg.norm(left, axis=1, keepdims=True)
    back = np.cross(left, along)
    back *= np.sign(back[:, 1:2])
    return centers, np.stack([along, back, left], axis=1)


def through(field: Field, column: Column, middles: Doubles) -> Column:
    """Return the column anew with its axis through the middles of bodies (n, 3), mm in the field, from below.

    Beyond the first and last body it goes back to the path found before.
    """
    from scipy.interpolate import PchipInterpolator

    path = column.centers[np.argsort(column.centers[:, 0])]
    nearest = np.column_stack([np.interp(middles[:, 0], path[:, 0], path[:, axis]) for axis in range(3)])
    offset = PchipInterpolator(middles[:, 0], middles[:, 1:] - nearest[:, 1:])
    inside = np.clip(path[:, 0], middles[0, 0], middles[-1, 0])
    fades = np.exp(-np.abs(path[:, 0] - inside) / _BEYOND_MM)
    places = path.copy()
    places[:, 1:] += offset(inside) * fades[:, None]
    centers, axes = _even_axis(places)
    return Column(_straightened(field, centers, axes), centers, axes, column.likeness)


def _straightened(field: Field, centers: Doubles, axes: Doubles) -> Floats:
    rows = np.arange(round((FRONT_MM + BACK_MM) / ACROSS_MM) + 1) * ACROSS_MM - FRONT_MM
    columns = np.arange(round(2 * SIDE_MM / ACROSS_MM) + 1) * ACROSS_MM - SIDE_MM
    out = np.empty((len(centers), len(rows), len(columns)), dtype=np.float32)
    for first in range(0, len(centers), 64):
        part = slice(first, first + 64)
        places = centers[part, None, None] + rows[None, :, None, None] * axes[part, None, None, 1]
        out[part] = field.at(places + columns[None, None, :, None] * axes[part, None, None, 2])
    return out
