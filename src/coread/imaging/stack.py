"""Is a set of slices one regular stack? Sorting by position, gaps, doubles, mixed planes; no pixels are read."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.domain.study import InstanceHeader
from coread.imaging.errors import MissingSlice, MixedGeometry, SamePosition, TooFewImages
from coread.imaging.geometry import Vector, plane_axes

SAME_POSITION_MM = 0.01
GAP_TOLERANCE = 0.05
"""A gap may differ from the median gap by this fraction, and positions from the straight line by it."""
_ORIENTATION_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """Slices in order along the normal of their planes."""

    order: tuple[int, ...]
    """Indices into the headers that were given, lowest position along the normal first."""
    positions: NDArray[np.float64]
    """(slices, 3) Image Position (Patient) in that order, LPS mm."""
    step: Vector
    """From one slice to the next, LPS mm; not perpendicular to the planes when the gantry was tilted."""


def stack_of(headers: Sequence[InstanceHeader], *, min_slices: int = 2) -> Stack:
    """Sort slices and check that they are one regular grid; refuses with the reason otherwise."""
    if len(headers) < min_slices:
        raise TooFewImages(f"{len(headers)} of at least {min_slices}")
    normal = _common_normal(headers)
    positions = np.asarray([header.image_position_patient for header in headers], dtype=np.float64)
    along = positions @ normal
    order = np.argsort(along, kind="stable")
    gaps = np.diff(along[order])
    check_gaps(gaps, [headers[i] for i in order])
    sorted_positions = positions[order]
    step = (sorted_positions[-1] - sorted_positions[0]) / (len(headers) - 1)
    _check_straight(sorted_positions, step)
    return Stack(tuple(int(i) for i in order), sorted_positions, step)


def _common_normal(headers: Sequence[InstanceHeader]) -> Vector:
    first = headers[0]
    for header in headers:
        if len(header.image_position_patient) != 3 or len(header.image_orientation_patient) != 6:
            raise MixedGeometry(f"instance {header.instance_number} has no position or orientation")
        turned = np.abs(np.subtract(header.image_orientation_patient, first.image_orientation_patient)).max()
        if turned > _ORIENTATION_TOLERANCE:
            raise MixedGeometry("the slices have different orientations")
        if (header.rows, header.columns) != (first.rows, first.columns):
            raise MixedGeometry("the slices have different matrix sizes")
        if header.frame_of_reference_uid != first.frame_of_reference_uid:
            raise MixedGeometry("the slices have different frames of reference")
    return plane_axes(first.image_orientation_patient)[2]


def check_gaps(gaps: NDArray[np.float64], headers: Sequence[InstanceHeader]) -> None:
    """Refuse two slices at one position, and gaps that differ from the median."""
    if gaps.size == 0:
        return
    smallest = int(gaps.argmin())
    if gaps[smallest] < SAME_POSITION_MM:
        pair = headers[smallest].instance_number, headers[smallest + 1].instance_number
        raise SamePosition(f"instances {pair[0]} and {pair[1]}")
    usual = float(np.median(gaps))
    odd = np.flatnonzero(np.abs(gaps - usual) > max(GAP_TOLERANCE * usual, 0.02))
    if odd.size:
        where = int(odd[0])
        before = headers[where].instance_number
        raise MissingSlice(f"after instance {before} the gap is {gaps[where]:.2f} mm, usual is {usual:.2f} mm")


def _check_straight(positions: NDArray[np.float64], step: Vector) -> None:
    expected = positions[0] + np.arange(len(positions))[:, np.newaxis] * step
    off = float(np.linalg.norm(positions - expected, axis=1).max())
    if off > max(GAP_TOLERANCE * float(np.linalg.norm(step)), 0.05):
        raise MixedGeometry(f"the slices do not lie on one straight line (up to {off:.2f} mm off)")
