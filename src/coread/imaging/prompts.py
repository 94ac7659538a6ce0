"""Where a person says that a lesion is: a point, a box or a RECIST line, in patient space (LPS mm).

A prompt that cannot be meant (not finite, without size, beside the volume) is refused here with the reason.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from coread.domain.geometry import Geometry
from coread.imaging.errors import BadPrompt

Place = tuple[float, float, float]
Doubles = NDArray[np.float64]
SHORTEST_MM, LONGEST_MM = 2.0, 400.0


@dataclass(frozen=True, slots=True)
class PointPrompt:
    """A place inside the lesion, LPS mm."""

    at: Place

    def __post_init__(self) -> None:
        _require_finite(self.at)

    def corners(self) -> Doubles:
        """Return the places (N, 3), LPS mm, that must lie in the volume."""
        return np.asarray([self.at], dtype=np.float64)


@dataclass(frozen=True, slots=True)
class LinePrompt:
    """The longest diameter of the lesion as it is drawn for RECIST 1.1: its two ends, LPS mm."""

    start: Place
    end: Place

    def __post_init__(self) -> None:
        _require_finite((*self.start, *self.end))
        _require_length(self.length_mm(), "the line")

    def length_mm(self) -> float:
        """Return the length of the line."""
        return float(np.linalg.norm(np.subtract(self.end, self.start)))

    def corners(self) -> Doubles:
        """Return the places (N, 3), LPS mm, that must lie in the volume."""
        return np.asarray([self.start, self.end], dtype=np.float64)


@dataclass(frozen=True, slots=True)
class BoxPrompt:
    """A box along the patient's axes that holds the whole lesion: two opposite corners, LPS mm, in any order."""

    corner: Place
    opposite: Place

    def __post_init__(self) -> None:
        _require_finite((*self.corner, *self.opposite))
        sides = np.abs(np.subtract(self.opposite, self.corner))
        for side in sides.tolist():
            _require_length(side, "a side of the box")

    def corners(self) -> Doubles:
        """Return the lowest and the highest corner (2, 3), LPS mm."""
        both = np.asarray([self.corner, self.opposite], dtype=np.float64)
        return np.stack([both.min(axis=0), both.max(axis=0)])


Prompt = PointPrompt | LinePrompt | BoxPrompt


def in_patient(prompt: Prompt, geometry: Geometry) -> Prompt:
    """Return a prompt that was given in voxel indices (slice, row, column; 0 is the centre of the first) in LPS mm.

    A box of indices holds the whole of its outer voxels; in an oblique volume the box along the patient's axes around
    it is taken, which is larger.
    """
    if isinstance(prompt, PointPrompt):
        return PointPrompt(_place(geometry.to_patient(np.asarray([prompt.at]))[0]))
    if isinstance(prompt, LinePrompt):
        ends = geometry.to_patient(np.asarray([prompt.start, prompt.end]))
        return LinePrompt(_place(ends[0]), _place(ends[1]))
    return box_of_indices(geometry, (prompt.corner, prompt.opposite))


def box_of_indices(geometry: Geometry, corners: Sequence[Place]) -> BoxPrompt:
    """Return the box along the patient's axes around two voxels (slice, row, column) and all between them."""
    both = np.asarray(corners, dtype=np.float64)
    _require_finite(both.ravel().tolist())
    low, high = both.min(axis=0) - 0.5, both.max(axis=0) + 0.5
    choice = np.array([[k, r, c] for k in (0, 1) for r in (0, 1) for c in (0, 1)], dtype=bool)
    places = geometry.to_patient(np.where(choice, high, low))
    return BoxPrompt(_place(places.min(axis=0)), _place(places.max(axis=0)))


def require_inside(prompt: Prompt, geometry: Geometry) -> Prompt:
    """Return the prompt, a box cut to the volume; raises BadPrompt where it lies beside the volume."""
    shape = np.asarray(geometry.shape, dtype=np.float64)
    if isinstance(prompt, BoxPrompt):
        return _cut(prompt, geometry)
    index = geometry.to_index(prompt.corners())
    if (index < -0.5).any() or (index > shape - 0.5).any():
        name = "the point" if isinstance(prompt, PointPrompt) else "the line"
        raise BadPrompt(f"{name} lies outside the volume, which is {_reach(geometry)}")
    return prompt


def _cut(box: BoxPrompt, geometry: Geometry) -> BoxPrompt:
    whole = box_of_indices(geometry, ((0.0, 0.0, 0.0), _place(np.asarray(geometry.shape) - 1.0))).corners()
    low, high = box.corners()
    low, high = np.maximum(low, whole[0]), np.minimum(high, whole[1])
    if (high - low < SHORTEST_MM / 2).any():
        raise BadPrompt(f"the box lies outside the volume, which is {_reach(geometry)}")
    return replace(box, corner=_place(low), opposite=_place(high))


def _reach(geometry: Geometry) -> str:
    last = np.asarray(geometry.shape) - 1.0
    corners = np.array([[k, r, c] for k in (0, 1) for r in (0, 1) for c in (0, 1)]) * last
    places = geometry.to_patient(corners)
    pairs = zip("xyz", places.min(axis=0).tolist(), places.max(axis=0).tolist(), strict=True)
    return ", ".join(f"{axis} {low:.0f} to {high:.0f} mm" for axis, low, high in pairs)


def _require_finite(numbers: Sequence[float]) -> None:
    if not np.isfinite(np.asarray(numbers, dtype=np.float64)).all():
        raise BadPrompt("a prompt holds a number that is not finite")


def _require_length(length: float, what: str) -> None:
    if not SHORTEST_MM <= length <= LONGEST_MM:
        raise BadPrompt(f"{what} is {length:.1f} mm long; {SHORTEST_MM:g} to {LONGEST_MM:g} mm are possible")


def _place(values: NDArray[np.float64]) -> Place:
    return float(values[0]), float(values[1]), float(values[2])
