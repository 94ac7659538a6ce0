"""Bodies and discs along the straightened column, and the walls of each body.

The walls, not the inside, tell body from disc: along rays from the middle to front and sides the brightest value is the
cortex at a body and mere cartilage at a disc, however little mineral the inside has.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from coread.readers.bone_density.column import ACROSS_MM, ALONG_MM, FRONT_MM, SIDE_MM, Column
from coread.readers.bone_density.frame import Doubles, Floats

_RAYS_DEGREES = np.linspace(-90, 90, 15)
_RAY_MM = np.arange(7.5, 31.0, 1.5)
_TILTS: Doubles = np.tan(np.radians(np.arange(-40.0, 41.0, 10.0)))
_STEEP_HU = 25.0
_WALL_PERCENTILE = 60.0
_RAY_PERCENTILE = 35.0
"""Ribs, iliac bones and contrast in vessels brighten some rays at a disc; every ray is bright at a body."""
_DISC_HU = 70.0
_LEAST_PROMINENCE_HU = 15.0
_LEAST_BODY_MM, _MOST_BODY_MM = 17.0, 55.0
"""Between the middles of two discs."""
_OPEN_END_MM = 8.0
_FRONT_WALL_MM, _BACK_WALL_MM, _SIDE_WALL_MM = (9.0, 32.0), (6.0, 26.0), (14.0, 35.0)
_BAND_MM = 2.5
_LEAST_EDGE_HU = 20.0
_HALF_PLATE_MM, _PLATE_MM = 0.5, 4.0
_PLACE = 0.6
"""Heights in front and behind are taken at this share of the half depth."""


@dataclass(frozen=True, slots=True)
class Segment:
    """What lies between two discs, by the middles of the discs (index along the column); the ends may be open."""

    low: int
    high: int
    open_below: bool
    open_above: bool
    tilts: tuple[float, float]
    """Of the lower and the upper disc: rise for one mm to the back."""


@dataclass(frozen=True, slots=True)
class Body:
    """One vertebral body in the straightened column.

    ``upper`` and ``lower`` are the endplates in front, in the middle and behind, as places along the column in mm;
    walls are distances from the column: ``front`` and ``back`` to the back, ``right`` and ``left`` to the left, mm.
    """

    upper: tuple[float, float, float]
    lower: tuple[float, float, float]
    front: float
    back: float
    right: float
    left: float

    def heights_mm(self, column: Column) -> tuple[float, float, float]:
        """Return the heights in front, in the middle and behind; where the column bends, planes lie fanwise."""
        return _three(tuple(
            float(np.linalg.norm(column.place(high, back) - column.place(low, back)))
            for low, high, back in zip(self.lower, self.upper, _heights_at(self.front, self.back), strict=True)
        ))  # fmt: skip


def wall_profile(column: Column) -> tuple[Doubles, Doubles]:
    """Return how bright the wall is at each place along the column (along,), HU, and at which tilt it is darkest.

    The planes are tilted about the left-right axis, because a disc need not be perpendicular to the column: a disc is
    dark in its own plane, a body has bright walls in every plane. Tilt is the rise for one mm to the back.
    """
    from scipy.ndimage import gaussian_filter, gaussian_filter1d, map_coordinates

    smooth = gaussian_filter(column.hu, (0.6, 0.8, 0.8))
    angles = np.radians(_RAYS_DEGREES)
    behind, beside = -np.outer(np.cos(angles), _RAY_MM), np.outer(np.sin(angles), _RAY_MM)
    rows, columns = (FRONT_MM + behind) / ACROSS_MM, (SIDE_MM + beside) / ACROSS_MM
    along = np.arange(len(smooth))[:, None, None]
    profiles = []
    for tilt in _TILTS:
        places = np.broadcast_arrays(along + tilt * behind / ALONG_MM, rows, columns)
        rays = map_coordinates(smooth, [part.ravel() for part in places], order=1, mode="nearest")
        profiles.append(np.percentile(rays.reshape(places[0].shape).max(axis=2), _RAY_PERCENTILE, axis=1))
    stacked = gaussian_filter1d(np.stack(profiles), 1.2 / ALONG_MM, axis=1)
    # A steeper plane has to be darker by more than noise.
    likely = gaussian_filter1d(stacked, 3.0 / ALONG_MM, axis=1) + _STEEP_HU * np.abs(_TILTS)[:, None]
    return np.asarray(stacked.min(axis=0), dtype=np.float64), _TILTS[likely.argmin(axis=0)]


def segments(profile: Doubles, tilts: Doubles) -> list[Segment]:
    """Return the segments from below, with what lies beyond the first and last disc as open ends."""
    from scipy.signal import find_peaks, peak_widths

    # Endplates are brighter than walls: cut off, or the middle of a body would look like a disc.
    wall = max(float(np.percentile(profile, _WALL_PERCENTILE)), _DISC_HU + _LEAST_PROMINENCE_HU)
    cut = np.clip(profile, _DISC_HU, wall)
    bright = cut[cut > _DISC_HU]
    if not bright.size:
        return []
    least = max(_LEAST_PROMINENCE_HU, 0.3 * float(wall - np.percentile(bright, 10)))
    discs, _ = find_peaks(-cut, prominence=least, distance=_LEAST_BODY_MM / ALONG_MM)
    # A gap over a crushed body is wide: its middle counts, not where noise is lowest.
    sides = peak_widths(-cut, discs, rel_height=0.5)[2:] if len(discs) else (discs, discs)
    discs = np.rint((np.asarray(sides[0]) + np.asarray(sides[1])) / 2).astype(int)
    ends = [0, *discs.tolist(), len(profile) - 1]
    found = []
    for number, (low, high) in enumerate(pairwise(ends)):
        below, above = number == 0, number == len(ends) - 2
        if (below or above) and (high - low) * ALONG_MM < _OPEN_END_MM:
            continue
        slopes = (0.0 if below else float(tilts[low]), 0.0 if above else float(tilts[high]))
        found.append(Segment(low, high, below, above, slopes))
    return found


def is_body(segment: Segment) -> bool:
    """Whether a segment is closed by two discs at a distance that a vertebra can have."""
    length = (segment.high - segment.low) * ALONG_MM
    return not (segment.open_below or segment.open_above) and _LEAST_BODY_MM <= length <= _MOST_BODY_MM


def middle_of(column: Column, segment: Segment) -> Doubles:
    """Return the place (3,) in the middle of the walls of a body, mm in the field."""
    walls = _walls(column, segment)
    at = (segment.low + segment.high) // 2
    _, back, left = column.axes[at]
    middle = column.centers[at] + (walls[0] + walls[1]) / 2 * back + (walls[2] + walls[3]) / 2 * left
    return np.asarray(middle, dtype=np.float64)


def outlined(column: Column, segment: Segment) -> Body | None:
    """Return walls and endplates of the body in a segment; ``None`` where they are not clear."""
    front_wall, back_wall, right_wall, left_wall = _walls(column, segment)
    edges = [_endplates(column, segment, place) for place in _heights_at(front_wall, back_wall)]
    if any(edge is None for edge in edges):
        return None
    lower, upper = zip(*[edge for edge in edges if edge is not None], strict=True)
    return Body(_three(upper), _three(lower), front_wall, back_wall, right_wall, left_wall)


def _walls(column: Column, segment: Segment) -> tuple[float, float, float, float]:
    """Return front, back, right and left wall of a body in its middle, mm from the column."""
    middle = (segment.low + segment.high) / 2
    half = 0.18 * (segment.high - segment.low)
    slab = column.hu[round(middle - half) : round(middle + half) + 1].mean(axis=0)
    back, left = column.back_mm(), column.left_mm()
    sagittal = slab[:, np.abs(left) <= 6].mean(axis=1)
    front_wall = -_falling_edge(np.interp(-_RADII, back, sagittal), _FRONT_WALL_MM)
    back_wall = _falling_edge(np.interp(_RADII, back, sagittal), _BACK_WALL_MM)
    frontal = slab[np.abs(back - (front_wall + back_wall) / 2) <= _BAND_MM].mean(axis=0)
    right_wall = -_falling_edge(np.interp(-_RADII, left, frontal), _SIDE_WALL_MM)
    left_wall = _falling_edge(np.interp(_RADII, left, frontal), _SIDE_WALL_MM)
    return front_wall, back_wall, right_wall, left_wall


_RADII: Doubles = np.arange(0.0, 40.0, 0.5)


def _falling_edge(values: Doubles, between: tuple[float, float]) -> float:
    """Return the distance at which a profile outwards falls most within 3 mm."""
    drop = values[:-6] - values[6:]
    at = _RADII[3:-3]
    allowed = np.flatnonzero((at >= between[0]) & (at <= between[1]))
    return float(at[allowed[int(drop[allowed].argmax())]])


def _heights_at(front: float, back: float) -> tuple[float, float, float]:
    center, half = (front + back) / 2, (back - front) / 2
    return center - _PLACE * half, center, center + _PLACE * half


def _endplates(column: Column, segment: Segment, place: float) -> tuple[float, float] | None:
    """Return lower and upper endplate at one distance behind the column, mm along it."""
    back, left = column.back_mm(), column.left_mm()
    patch = column.hu[:, np.abs(back - place) <= _BAND_MM][:, :, np.abs(left) <= 7].mean(axis=(1, 2))
    low = segment.low + segment.tilts[0] * place / ALONG_MM
    high = segment.high + segment.tilts[1] * place / ALONG_MM
    middle = round((low + high) / 2)
    below, above = _edge(patch, middle, low, -1), _edge(patch, middle, high, 1)
    return None if below is None or above is None else (below, above)


def _edge(values: Floats, middle: int, disc: float, direction: int) -> float | None:
    """Return the outer face of the endplate between the middle of a body and that of a disc, mm along the column.

    The brightest place is the middle of the plate whatever the blur; where its flank is half as bright depends on it.
    """
    to_disc = round(abs(disc - middle))
    at = np.arange(middle, middle + direction * (to_disc + 4), direction)
    line = np.asarray(values[at[(at >= 0) & (at < len(values))]], dtype=np.float64)
    if to_disc < 5 or len(line) <= to_disc - 2:
        return None
    floor = to_disc - 3 + int(line[to_disc - 3 :].argmin())
    first = to_disc // 6
    top = float(line[first:floor].max()) if floor > first else float(line[floor])
    if top - line[floor] < _LEAST_EDGE_HU:
        return None
    # From the disc inwards, the first summit that is nearly as bright as the brightest one.
    high = line[floor] + 0.7 * (top - line[floor])
    peak = next(
        (
            k
            for k in range(floor - 1, first, -1)
            if line[k] >= high and line[k] >= line[k - 1] and line[k] > line[k + 1]
        ),
        None,
    )
    flank = _flank(line, floor, first if peak is None else peak, middle, direction)
    if peak is None or (flank is not None and abs(flank / ALONG_MM - middle) - peak > _PLATE_MM / ALONG_MM):
        return flank
    before, summit, after = line[peak - 1 : peak + 2].tolist()
    bend = before - 2 * summit + after
    share = 0.5 * (before - after) / bend if bend < 0 else 0.0
    return float((middle + direction * (peak + share)) * ALONG_MM + direction * _HALF_PLATE_MM)


def _flank(line: Doubles, floor: int, start: int, middle: int, direction: int) -> float | None:
    """Return where, outwards from ``start``, the line falls half way from the inside of the body to the disc.

    Thick slices over dense bone leave no endplate to be seen, only this flank.
    """
    inside = float(np.median(line[: max(3, floor // 3)]))
    if inside - line[floor] < _LEAST_EDGE_HU:
        return None
    level = (line[floor] + inside) / 2
    below = np.flatnonzero(line[start : floor + 1] < level)
    if not len(below) or below[0] == 0:
        return None
    at = start + int(below[0]) - 1
    share = (line[at] - level) / (line[at] - line[at + 1])
    return float((middle + direction * (at + share)) * ALONG_MM)


def _three(values: tuple[float, ...]) -> tuple[float, float, float]:
    return values[0], values[1], values[2]


def bright_share(column: Column, segment: Segment, where: NDArray[np.bool_], above_hu: float) -> float:
    """Return the share of voxels above a value in a part (back, left) of the planes of a segment."""
    part = column.hu[segment.low : segment.high + 1][:, where]
    return float((part > above_hu).mean()) if part.size else 0.0
