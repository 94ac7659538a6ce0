"""Is a set of slices one regular stack? Sorting by position, gaps, doubles, mixed planes; no pixels are read."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from coread.imaging.errors import ImagingRefused, MissingSlice, MixedGeometry, SamePosition, TooFewImages, UnevenGaps
from coread.imaging.geometry import Vector, plane_axes

SAME_POSITION_MM = 0.01
GAP_TOLERANCE = 0.05
"""A gap may differ from the median gap by this fraction, and positions from the straight line by it."""
ORIENTATION_TOLERANCE = 1e-3
_NAMED = 5
"""So many gaps or doubles are named one by one."""


class Plane(Protocol):
    """A header or a slice: where one image lies, by the names of ``InstanceHeader``."""

    @property
    def instance_number(self) -> int | None:
        """Number by which people find the image."""
        ...

    @property
    def image_position_patient(self) -> tuple[float, ...]:
        """Centre of the first pixel, LPS mm."""
        ...

    @property
    def image_orientation_patient(self) -> tuple[float, ...]:
        """Direction of the first row, then of the first column."""
        ...

    @property
    def frame_of_reference_uid(self) -> str:
        """Frame of Reference UID."""
        ...

    @property
    def rows(self) -> int | None:
        """Rows of the matrix."""
        ...

    @property
    def columns(self) -> int | None:
        """Columns of the matrix."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """Slices in order along the normal of their planes."""

    order: tuple[int, ...]
    """Indices into the headers that were given, lowest position along the normal first."""
    positions: NDArray[np.float64]
    """(slices, 3) Image Position (Patient) in that order, LPS mm."""
    step: Vector
    """From one slice to the next, LPS mm; not perpendicular to the planes when the gantry was tilted."""


@dataclass(frozen=True, slots=True, eq=False)
class Examination:
    """Slices of common planes in order, with everything that keeps them from being one regular grid."""

    stack: Stack
    normal: Vector
    gaps_mm: NDArray[np.float64]
    """(slices - 1,) distances between neighbours along the normal."""
    usual_gap_mm: float
    """Median of the gaps between different positions; 0 for a single slice."""
    doubles: tuple[tuple[int, int], ...]
    """Pairs of indices (as given) at one position."""
    odd_gaps: tuple[int, ...]
    """Places in ``gaps_mm`` that differ from the usual gap."""
    off_line_mm: float
    """Largest distance of a position from the straight line through the first and the last."""
    off_grid_mm: float
    """Largest distance of a position from the regular grid."""

    @property
    def tilt_degrees(self) -> float:
        """Angle between the way from slice to slice and the normal: 0 without gantry tilt."""
        length = float(np.linalg.norm(self.stack.step))
        along = abs(float(self.stack.step @ self.normal))
        sideways = float(np.linalg.norm(self.stack.step - (self.stack.step @ self.normal) * self.normal))
        return float(np.degrees(np.arctan2(sideways, along))) if length else 0.0


def stack_of(headers: Sequence[Plane], *, min_slices: int = 2) -> Stack:
    """Sort slices and check that they are one regular grid; refuses with the reason otherwise."""
    if len(headers) < min_slices:
        raise TooFewImages(f"{len(headers)} of at least {min_slices}")
    found = examine(headers)
    problem = irregularity(found, headers)
    if problem is not None:
        raise problem
    return found.stack


def examine(headers: Sequence[Plane]) -> Examination:
    """Sort slices along their common normal and measure them; raises MixedGeometry where they have none."""
    normal = _common_normal(headers)
    positions = np.asarray([header.image_position_patient for header in headers], dtype=np.float64)
    along = positions @ normal
    order = np.argsort(along, kind="stable")
    gaps = np.diff(along[order])
    placed = positions[order]
    step = (placed[-1] - placed[0]) / max(len(headers) - 1, 1)
    apart = gaps[gaps >= SAME_POSITION_MM]
    usual = float(np.median(apart)) if apart.size else 0.0
    together = np.flatnonzero(gaps < SAME_POSITION_MM)
    odd = np.flatnonzero((np.abs(gaps - usual) > max(GAP_TOLERANCE * usual, 0.02)) & (gaps >= SAME_POSITION_MM))
    line, grid = _deviations(placed, step)
    return Examination(
        stack=Stack(tuple(int(i) for i in order), placed, step),
        normal=normal,
        gaps_mm=gaps,
        usual_gap_mm=usual,
        doubles=tuple((int(order[at]), int(order[at + 1])) for at in together),
        odd_gaps=tuple(int(at) for at in odd),
        off_line_mm=line,
        off_grid_mm=grid,
    )


def irregularity(found: Examination, headers: Sequence[Plane]) -> ImagingRefused | None:
    """Return what keeps the slices from being one regular grid, or ``None`` where nothing does."""
    if found.doubles:
        pairs = [f"{headers[a].instance_number} and {headers[b].instance_number}" for a, b in found.doubles]
        return SamePosition(f"instances {_listed(pairs)}")
    if found.odd_gaps:
        if any(_missing_in(found, at) is None for at in found.odd_gaps):
            return UnevenGaps(gaps_text(found.gaps_mm))
        return MissingSlice(_listed([_gap_text(found, headers, at) for at in found.odd_gaps]))
    step = float(np.linalg.norm(found.stack.step))
    allowed = max(GAP_TOLERANCE * step, 0.05)
    if found.off_grid_mm > allowed:
        return MixedGeometry(f"the slices do not lie on one straight line (up to {found.off_grid_mm:.2f} mm off)")
    return None


def _missing_in(found: Examination, at: int) -> int | None:
    """Return how many slices would fill an odd gap; ``None`` where no whole number does."""
    filled = float(found.gaps_mm[at]) / found.usual_gap_mm - 1
    whole = round(filled)
    return whole if whole >= 1 and abs(filled - whole) <= GAP_TOLERANCE * (whole + 1) else None


def _gap_text(found: Examination, headers: Sequence[Plane], at: int) -> str:
    before = headers[found.stack.order[at]].instance_number
    gap, usual = float(found.gaps_mm[at]), found.usual_gap_mm
    missing = _missing_in(found, at)
    return f"after instance {before} the gap is {gap:.2f} mm, usual is {usual:.2f} mm ({missing} missing)"


def gap_runs(gaps_mm: NDArray[np.float64]) -> list[tuple[float, int]]:
    """Return (gap rounded to 0.01 mm, how often it comes in a row), in slice order."""
    runs: list[tuple[float, int]] = []
    for gap in np.round(gaps_mm, 2).tolist():
        if runs and runs[-1][0] == gap:
            runs[-1] = (gap, runs[-1][1] + 1)
        else:
            runs.append((gap, 1))
    return runs


def gaps_text(gaps_mm: NDArray[np.float64]) -> str:
    """Return the gaps in slice order in words, such as ``13 x 4.00 mm, 1 x 1.08 mm``."""
    runs = gap_runs(gaps_mm)
    more = f" and {len(runs) - _NAMED} more changes" if len(runs) > _NAMED else ""
    return ", ".join(f"{times} x {gap:.2f} mm" for gap, times in runs[:_NAMED]) + more


def _listed(parts: Sequence[str]) -> str:
    more = f"; and {len(parts) - _NAMED} more" if len(parts) > _NAMED else ""
    return "; ".join(parts[:_NAMED]) + more


def _common_normal(headers: Sequence[Plane]) -> Vector:
    first = headers[0]
    for header in headers:
        if len(header.image_position_patient) != 3 or len(header.image_orientation_patient) != 6:
            raise MixedGeometry(f"instance {header.instance_number} has no position or orientation")
        turned = max(
            abs(a - b) for a, b in zip(header.image_orientation_patient, first.image_orientation_patient, strict=True)
        )
        if turned > ORIENTATION_TOLERANCE:
            raise MixedGeometry("the slices have different orientations")
        if (header.rows, header.columns) != (first.rows, first.columns):
            raise MixedGeometry("the slices have different matrix sizes")
        if header.frame_of_reference_uid != first.frame_of_reference_uid:
            raise MixedGeometry("the slices have different frames of reference")
    return plane_axes(first.image_orientation_patient)[2]


def _deviations(positions: NDArray[np.float64], step: Vector) -> tuple[float, float]:
    """Return how far positions (slices, 3) are from the line and from the regular grid of first and last, mm."""
    shifted = positions - positions[0]
    grid = shifted - np.arange(len(positions))[:, np.newaxis] * step
    length = float(np.linalg.norm(step))
    direction = step / length if length else step
    line = shifted - (shifted @ direction)[:, np.newaxis] * direction
    return float(np.linalg.norm(line, axis=1).max()), float(np.linalg.norm(grid, axis=1).max())
