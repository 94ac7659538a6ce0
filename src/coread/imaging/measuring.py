"""What a mask measures: volume, RECIST diameters and the values inside, each with what the voxel grid leaves open.

The uncertainties are those of the grid alone. What a reader's contour leaves open is larger and belongs to its card.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.domain.errors import InvalidRecord
from coread.domain.geometry import Geometry

_NORMAL_95 = 1.959963984540054
_UNIFORM_VARIANCE = 1 / 12
"""Of a share that may be anything from 0 to 1."""
_EDGES = np.array([(0.5, 0.0), (-0.5, 0.0), (0.0, 0.5), (0.0, -0.5)])
"""Middles of the four edges of a pixel: a disc of n pixels across then measures n, not n - 1."""


@dataclass(frozen=True, slots=True)
class Size:
    """A quantity and the half width of its 95 % interval as far as the grid goes; same unit."""

    value: float
    half_width: float


@dataclass(frozen=True, slots=True)
class Diameters:
    """Longest diameter in the plane of one slice, and the longest one perpendicular to it there, mm.

    RECIST 1.1 (Eisenhauer 2009, Eur J Cancer 45:228) section 4.2: the longest diameter in the plane of measurement;
    the short axis of nodes is perpendicular to it.
    """

    slice_index: int
    long_axis: Size
    short_axis: Size
    ends_mm: tuple[tuple[float, float, float], tuple[float, float, float]]
    """Of the longest diameter, LPS mm."""


@dataclass(frozen=True, slots=True)
class Values:
    """Statistics of the values inside a mask, in the unit of the volume."""

    mean: float
    standard_deviation: float
    minimum: float
    maximum: float
    median: float


def mask_volume(mask: NDArray[np.bool_], geometry: Geometry) -> Size:
    """Return the volume of a mask (slices, rows, columns) in ml.

    A voxel at the surface may be filled by any share: its share is taken as uniform and independent of the others'.
    Raises InvalidRecord when mask and geometry differ in shape.
    """
    _require_same(mask, geometry)
    voxel_ml = abs(float(np.linalg.det(geometry.matrix()[:3, :3]))) / 1000
    open_voxels = int(np.count_nonzero(surface(mask)))
    half_width = _NORMAL_95 * float(np.sqrt(open_voxels * _UNIFORM_VARIANCE)) * voxel_ml
    return Size(int(np.count_nonzero(mask)) * voxel_ml, half_width)


def surface(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the voxels of a mask that touch its outside by a face; what lies at the border of the array does."""
    padded = np.pad(mask, 1)
    inside = np.ones(mask.shape, dtype=np.bool_)
    middle = tuple(slice(1, -1) for _ in range(mask.ndim))
    for axis in range(mask.ndim):
        for shift in (0, 2):
            place = list(middle)
            place[axis] = slice(shift, shift + mask.shape[axis])
            inside &= padded[tuple(place)]
    return mask & ~inside


def mask_diameters(mask: NDArray[np.bool_], geometry: Geometry) -> Diameters:
    """Return the diameters of the slice in which the longest one is found.

    Raises InvalidRecord for an empty mask, and when mask and geometry differ in shape.
    """
    _require_same(mask, geometry)
    in_plane = geometry.matrix()[:3, 1:3]
    along_row, along_column = np.linalg.qr(in_plane)[0].T
    flat = np.stack([along_row, along_column]) @ in_plane
    best: tuple[float, int, NDArray[np.float64], tuple[int, int]] | None = None
    for number in np.flatnonzero(mask.any(axis=(1, 2))).tolist():
        corners = _outline(mask[number])
        hull = convex_hull(corners @ flat.T)
        length, ends = _longest_chord(hull)
        if best is None or length > best[0]:
            best = (length, number, hull, ends)
    if best is None:
        raise InvalidRecord("an empty mask has no diameter")
    length, number, hull, (first, second) = best
    pixel = float(max(geometry.spacing_mm()[1:]))
    grid = _NORMAL_95 * float(np.sqrt(2 * _UNIFORM_VARIANCE)) * pixel
    ends_flat = hull[[first, second]]
    index = np.column_stack([np.full(2, float(number)), np.linalg.solve(flat, ends_flat.T).T])
    places = geometry.to_patient(index)
    return Diameters(
        slice_index=number,
        long_axis=Size(length, grid),
        short_axis=Size(_longest_across(hull, ends_flat[1] - ends_flat[0]), grid),
        ends_mm=(_triple(places[0]), _triple(places[1])),
    )


def mask_values(voxels: NDArray[np.float32], mask: NDArray[np.bool_]) -> Values:
    """Return the statistics of the voxels inside a mask of the same shape.

    Raises InvalidRecord for an empty mask or another shape.
    """
    if voxels.shape != mask.shape or not mask.any():
        raise InvalidRecord(f"no voxel to measure: mask of shape {mask.shape} in an image of shape {voxels.shape}")
    inside = voxels[mask].astype(np.float64)
    return Values(
        mean=float(inside.mean()),
        standard_deviation=float(inside.std(ddof=1)) if inside.size > 1 else 0.0,
        minimum=float(inside.min()),
        maximum=float(inside.max()),
        median=float(np.median(inside)),
    )


def convex_hull(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the corners of the convex hull of points (N, 2), in order around it (monotone chain, Andrew 1979)."""
    ordered = np.unique(points, axis=0)
    if len(ordered) < 3:
        return ordered
    lower = _chain(ordered)
    upper = _chain(ordered[::-1])
    return np.array(lower[:-1] + upper[:-1])


def _chain(ordered: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    kept: list[NDArray[np.float64]] = []
    for point in ordered:
        while len(kept) >= 2 and _turn(kept[-2], kept[-1], point) <= 0:
            kept.pop()
        kept.append(point)
    return kept


def _turn(a: NDArray[np.float64], b: NDArray[np.float64], c: NDArray[np.float64]) -> float:
    return float((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))


def _outline(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return edge middles (N, 2) of the first and last pixel of every row and column: no other can be on the hull."""
    pixels: list[NDArray[np.int64]] = []
    for turned in (False, True):
        lines = mask.T if turned else mask
        filled = np.flatnonzero(lines.any(axis=1))
        first = lines[filled].argmax(axis=1)
        last = lines.shape[1] - 1 - lines[filled][:, ::-1].argmax(axis=1)
        ends = np.concatenate([np.column_stack([filled, first]), np.column_stack([filled, last])])
        pixels.append(ends[:, ::-1] if turned else ends)
    found = np.unique(np.concatenate(pixels), axis=0).astype(np.float64)
    return np.asarray((found[:, None] + _EDGES).reshape(-1, 2), dtype=np.float64)


def _longest_chord(hull: NDArray[np.float64]) -> tuple[float, tuple[int, int]]:
    apart = np.linalg.norm(hull[:, None] - hull[None], axis=2)
    first, second = np.unravel_index(int(apart.argmax()), apart.shape)
    return float(apart[first, second]), (int(first), int(second))


def _longest_across(hull: NDArray[np.float64], direction: NDArray[np.float64]) -> float:
    """Return the longest chord perpendicular to ``direction``: it starts at a corner, as the width is concave."""
    unit = direction / np.linalg.norm(direction)
    turned = hull @ np.column_stack([unit, [-unit[1], unit[0]]])
    start, end = int(turned[:, 0].argmin()), int(turned[:, 0].argmax())
    rolled = np.roll(turned, -start, axis=0)
    end = (end - start) % len(turned)
    one, other = rolled[: end + 1], np.concatenate([rolled[end:], rolled[:1]])[::-1]
    at = turned[:, 0]
    return float(np.abs(np.interp(at, *one.T) - np.interp(at, *other.T)).max())


def _require_same(mask: NDArray[np.bool_], geometry: Geometry) -> None:
    if mask.shape != geometry.shape:
        raise InvalidRecord(f"mask {mask.shape} and geometry {geometry.shape} differ")


def _triple(place: NDArray[np.float64]) -> tuple[float, float, float]:
    return float(place[0]), float(place[1]), float(place[2])
