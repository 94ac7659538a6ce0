"""Outlines of masks and back: polygons along pixel edges, filled by the even-odd rule at pixel centres.

Coordinates are those of SCOORD (PS3.3 C.18.6): (column, row), the top left corner of the top left pixel is (0, 0),
its centre (0.5, 0.5). A mask filled from its own outlines is the mask again, bit by bit.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Polygon = NDArray[np.float64]
"""(points, 2) column and row; closed by the line from the last to the first point, which is not repeated."""
_STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))
_SQUARE_PIXELS = 1e-9
_MOST_COMPARED = 2000
"""Points: more cannot be dragged, and comparing their sides takes seconds."""


def outlines_of(mask: NDArray[np.bool_]) -> list[Polygon]:
    """Return the outlines of a mask (rows, columns): outer ones clockwise on the screen, holes the other way round.

    Pixels that touch at a corner only belong to different outlines.
    """
    edges = _edges(mask)
    found: list[Polygon] = []
    while edges:
        start = next(iter(edges))
        found.append(_walk(edges, start))
    return found


def largest_outline(mask: NDArray[np.bool_]) -> Polygon | None:
    """Return the outer outline of most area, ``None`` for an empty mask."""
    polygons = outlines_of(mask)
    return max(polygons, key=signed_area) if polygons else None


def filled(polygons: Sequence[Polygon], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the (rows, columns) mask of the pixels whose centres lie inside an odd number of the polygons."""
    rows, columns = shape
    crossings = np.zeros((rows, columns + 1), dtype=np.int32)
    for polygon in polygons:
        begin, end = np.asarray(polygon, dtype=np.float64), np.roll(polygon, -1, axis=0)
        for (x0, y0), (x1, y1) in zip(begin.tolist(), end.tolist(), strict=True):
            if y0 == y1:
                continue
            top, bottom = (y0, y1) if y0 < y1 else (y1, y0)
            # Rows whose centre lies in [top, bottom): a shared corner counts once.
            lines = np.arange(max(0, int(np.ceil(top - 0.5))), min(rows, int(np.ceil(bottom - 0.5))))
            x = x0 + (lines + 0.5 - y0) * (x1 - x0) / (y1 - y0)
            np.add.at(crossings, (lines, np.clip(np.ceil(x - 0.5), 0, columns).astype(int)), 1)
    inside: NDArray[np.bool_] = (np.cumsum(crossings, axis=1)[:, :columns] % 2).astype(bool)
    return inside


def signed_area(polygon: Polygon) -> float:
    """Return the area in square pixels, positive when it runs clockwise on the screen."""
    x, y = polygon[:, 0], polygon[:, 1]
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


def simplified(polygon: Polygon, tolerance: float) -> Polygon:
    """Return fewer points, none of the left-out ones farther than ``tolerance`` pixels away (Douglas and Peucker)."""
    if len(polygon) < 4:
        return polygon
    far = int(np.argmax(((polygon - polygon[0]) ** 2).sum(axis=1)))
    first, second = polygon[: far + 1], np.vstack([polygon[far:], polygon[:1]])
    kept = np.vstack([_thinned(first, tolerance)[:-1], _thinned(second, tolerance)[:-1]])
    return kept if len(kept) > 2 else polygon


def drawable_outlines(mask: NDArray[np.bool_], tolerance: float) -> list[Polygon]:
    """Return the outlines of a mask with few points; with all of them where leaving some out would cross lines."""
    exact = outlines_of(mask)
    fewer = [simplified(polygon, tolerance) for polygon in exact]
    if sum(len(polygon) for polygon in fewer) > _MOST_COMPARED:
        return fewer
    crossed = any(crosses_itself(polygon) for polygon in fewer) or polygons_cross(fewer)
    return exact if crossed else fewer


def crosses_itself(polygon: Polygon) -> bool:
    """Say whether two sides cross; sides that only touch do not: outlines of masks touch at corners of pixels."""
    begin, end = polygon, np.roll(polygon, -1, axis=0)
    return any(_cross(begin[at], end[at], begin[at + 1 :], end[at + 1 :]).any() for at in range(len(polygon) - 1))


def polygons_cross(polygons: Sequence[Polygon]) -> bool:
    """Say whether the sides of any two polygons cross; one inside another or touching it does not."""
    if len(polygons) < 2:
        return False
    begin = np.concatenate(polygons)
    end = np.concatenate([np.roll(polygon, -1, axis=0) for polygon in polygons])
    at = 0
    for polygon in polygons[:-1]:
        after = at + len(polygon)
        # All later polygons at once: hundreds of triangles would take half a minute pair by pair.
        if any(_cross(begin[side], end[side], begin[after:], end[after:]).any() for side in range(at, after)):
            return True
        at = after
    return False


def _edges(mask: NDArray[np.bool_]) -> dict[tuple[int, int], list[int]]:
    """Return the sides between inside and outside as directions from corner points, inside on the right hand."""
    padded = np.pad(mask, 1)
    centre = padded[1:-1, 1:-1]
    above, below = padded[:-2, 1:-1], padded[2:, 1:-1]
    left, right = padded[1:-1, :-2], padded[1:-1, 2:]
    edges: dict[tuple[int, int], list[int]] = {}
    for direction, (outside, down, across) in enumerate(((above, 0, 0), (right, 0, 1), (below, 1, 1), (left, 1, 0))):
        for row, column in np.argwhere(centre & ~outside).tolist():
            edges.setdefault((column + across, row + down), []).append(direction)
    return edges


def _walk(edges: dict[tuple[int, int], list[int]], start: tuple[int, int]) -> Polygon:
    points: list[tuple[int, int]] = []
    at, direction, first = start, edges[start][0], -1
    while at in edges:
        offered = edges[at]
        # Where two pixels touch at a corner, turning right stays at the same pixel.
        taken = next((d for d in ((direction + 1) % 4, direction, (direction + 3) % 4) if d in offered), offered[0])
        offered.remove(taken)
        if not offered:
            del edges[at]
        if taken != direction or not points:
            points.append(at)
        first = taken if first < 0 else first
        direction = taken
        at = (at[0] + _STEPS[taken][0], at[1] + _STEPS[taken][1])
        if at == start:
            break
    if len(points) > 1 and direction == first:
        points = points[1:]
    return np.array(points, dtype=np.float64)


def _thinned(line: Polygon, tolerance: float) -> Polygon:
    keep = np.zeros(len(line), dtype=bool)
    keep[[0, -1]] = True
    waiting = [(0, len(line) - 1)]
    while waiting:
        low, high = waiting.pop()
        if high - low < 2:
            continue
        chord = line[high] - line[low]
        between = line[low + 1 : high] - line[low]
        length = float(np.hypot(*chord))
        across = np.abs(chord[0] * between[:, 1] - chord[1] * between[:, 0])
        apart = across / length if length > _SQUARE_PIXELS else np.hypot(between[:, 0], between[:, 1])
        worst = int(apart.argmax())
        if apart[worst] > tolerance:
            keep[low + 1 + worst] = True
            waiting += [(low, low + 1 + worst), (low + 1 + worst, high)]
    return line[keep]


def _cross(a: Polygon, b: Polygon, c: Polygon, d: Polygon) -> NDArray[np.bool_]:
    """Say which of the segments c-d the segment a-b crosses: the ends of each lie on both sides of the other."""

    def side(p: Polygon, q: Polygon, r: Polygon) -> NDArray[np.float64]:
        turn = (q[..., 0] - p[..., 0]) * (r[..., 1] - p[..., 1]) - (q[..., 1] - p[..., 1]) * (r[..., 0] - p[..., 0])
        return np.asarray(np.sign(np.where(np.abs(turn) < _SQUARE_PIXELS, 0.0, turn)))

    return np.asarray((side(a, b, c) * side(a, b, d) < 0) & (side(c, d, a) * side(c, d, b) < 0))
