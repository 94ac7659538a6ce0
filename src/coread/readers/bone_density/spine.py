"""The whole calculation over a field: column, bodies, numbers, regions of interest, rods, blood; as plain arrays."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.readers.bone_density.anchors import LEVELS, Counted, Numbering, counted
from coread.readers.bone_density.column import ACROSS_MM, ALONG_MM, Column, find_column, through
from coread.readers.bone_density.frame import Doubles, Field
from coread.readers.bone_density.levels import Body, Segment, is_body, middle_of, outlined, segments, wall_profile
from coread.readers.bone_density.rods import fitted_rods

Arrays = dict[str, NDArray[Any]]
_LEAST_LIKENESS = 0.1
_REFINEMENTS = 2
_BLOOD_LEFT_MM, _BLOOD_FRONT_MM, _BLOOD_RADIUS_MM = (-3.0, 24.0), (6.0, 26.0), 5.0
_BLOOD_HU = (20.0, 700.0)
_MOST_BLOOD_TEXTURE_HU = 30.0
_ROI_WIDTH, _ROI_DEPTH, _ROI_FORWARD = 0.6, 0.55, 0.1
"""Of the half width and half depth of the body; forwards to keep away from the basivertebral vein."""
_MOST_ROI_MM = 14.0


def analysed(field: Field, margin_mm: float, parameters: Mapping[str, Any]) -> Arrays:
    """Return everything that is measured in the field, as arrays of fixed shape (levels T12 to L5 from above).

    ``margin_mm`` is kept between region of interest and endplate. ``outcome`` (2,): Numbering, vertebrae between the
    anchors. ``found`` (6,): 1 where the body was outlined. ``center`` (6, 3), ``axes`` (6, 3, 3), ``half`` (6, 3): the
    region of interest, an ellipse of half depth and half width times a half height, mm in the field and (along, back,
    left). ``heights`` (6, 3) in front, middle, behind, mm. ``rods`` (4,): slope, offset, residual, number (0: none).
    ``blood`` (2,): HU of the aorta, number of levels (0: not found).
    """
    out = _nothing()
    if min(field.size_mm()) < 60.0:
        out["outcome"][0] = Numbering.NO_COLUMN
        return out
    column = find_column(field)
    found = _segments(column)
    if column.likeness < _LEAST_LIKENESS or sum(map(is_body, found)) < 3:
        out["outcome"][0] = Numbering.NO_COLUMN
        return out
    for _ in range(_REFINEMENTS):
        column = through(field, column, np.array([middle_of(column, one) for one in found if is_body(one)]))
        found = _segments(column)
        if sum(map(is_body, found)) < 3:
            out["outcome"][0] = Numbering.NO_COLUMN
            return out
    numbered = counted(column, found)
    out["outcome"][:] = numbered.outcome, numbered.between
    bodies = _place(out, column, numbered, margin_mm)
    if numbered.outcome is Numbering.COUNTED:
        out["blood"][:] = _blood(column, numbered.segments, bodies)
        fit = fitted_rods(field, float(np.median(column.centers[:, 1])), parameters["phantoms_mg_cm3"])
        if fit is not None:
            out["rods"][:] = fit.slope, fit.offset, fit.residual, fit.rods
    return out


def _nothing() -> Arrays:
    count = len(LEVELS)
    return {
        "outcome": np.zeros(2, dtype=np.float64),
        "found": np.zeros(count, dtype=np.float64),
        "center": np.zeros((count, 3), dtype=np.float64),
        "axes": np.zeros((count, 3, 3), dtype=np.float64),
        "half": np.zeros((count, 3), dtype=np.float64),
        "heights": np.zeros((count, 3), dtype=np.float64),
        "rods": np.zeros(4, dtype=np.float64),
        "blood": np.zeros(2, dtype=np.float64),
    }


def _segments(column: Column) -> list[Segment]:
    return segments(*wall_profile(column))


def _place(out: Arrays, column: Column, numbered: Counted, margin_mm: float) -> list[Body | None]:
    bodies: list[Body | None] = []
    for row, segment in enumerate(numbered.segments):
        body = outlined(column, segment) if is_body(segment) else None
        bodies.append(body)
        if body is None:
            continue
        low, high = max(body.lower) + margin_mm, min(body.upper) - margin_mm
        middle = (low + high) / 2
        at = min(max(round(middle / ALONG_MM), 0), len(column.centers) - 1)
        depth, width = (body.back - body.front) / 2, (body.left - body.right) / 2
        back = (body.back + body.front) / 2 - _ROI_FORWARD * depth
        left = (body.left + body.right) / 2
        out["found"][row] = 1.0
        out["axes"][row] = column.axes[at]
        out["center"][row] = column.centers[at] + back * column.axes[at][1] + left * column.axes[at][2]
        out["half"][row] = min(high - low, _MOST_ROI_MM) / 2, _ROI_DEPTH * depth, _ROI_WIDTH * width
        out["heights"][row] = body.heights_mm(column)
    return bodies


def _blood(column: Column, found: Sequence[Segment], bodies: Sequence[Body | None]) -> tuple[float, int]:
    """Return the HU of the aorta: the brightest even disc before and left of the bodies, median over L1 to L4."""
    values = [
        value
        for segment, body in list(zip(found, bodies, strict=True))[1:5]
        if body is not None and (value := _brightest_disc(column, segment, body)) is not None
    ]
    return (float(np.median(values)), len(values)) if values else (0.0, 0)


def _brightest_disc(column: Column, segment: Segment, body: Body) -> float | None:
    from scipy.ndimage import convolve

    middle, reach = (segment.low + segment.high) // 2, 6
    plane = column.hu[middle - reach : middle + reach + 1].mean(axis=0)
    side = int(_BLOOD_RADIUS_MM / ACROSS_MM) + 1
    y, x = np.mgrid[-side : side + 1, -side : side + 1] * ACROSS_MM
    disc: Doubles = (np.hypot(y, x) <= _BLOOD_RADIUS_MM).astype(np.float64)
    disc /= disc.sum()
    mean = convolve(plane, disc, mode="nearest")
    texture = np.sqrt(np.maximum(convolve(plane**2, disc, mode="nearest") - mean**2, 0))
    front, left = body.front - column.back_mm(), column.left_mm()
    where = ((front >= _BLOOD_FRONT_MM[0]) & (front <= _BLOOD_FRONT_MM[1]))[:, None]
    where = where & ((left >= _BLOOD_LEFT_MM[0]) & (left <= _BLOOD_LEFT_MM[1]))[None]
    where &= (texture <= _MOST_BLOOD_TEXTURE_HU) & (mean >= _BLOOD_HU[0]) & (mean <= _BLOOD_HU[1])
    return float(mean[where].max()) if where.any() else None
