"""Organs that lie elsewhere than on the first date because the breath was held otherwise: no rigid map undoes it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.phantoms.reference.errors import BadTruth
from coread.phantoms.reference.shapes import Bounds, Points, Shape, Triple, column

_STEEPEST = 1.6
"""Of exp(-t^4): its slope stays below this."""
_SAMPLES = 24
_MOST_STRETCH = 0.6


@dataclass(frozen=True, slots=True)
class Breath:
    """A shift towards the feet that is whole around ``center_mm`` and fades to nothing ``reach_mm`` away, LPS mm.

    Spine and back lie where it has faded, so that organs slide along them.
    """

    shift_mm: float
    center_mm: Triple
    reach_mm: Triple

    def __post_init__(self) -> None:
        if min(self.reach_mm) <= 0 or self.stretch() - 1 > _MOST_STRETCH:
            raise BadTruth(f"a breath of {self.shift_mm:g} mm that fades over {self.reach_mm} mm would tear the organs")

    def stretch(self) -> float:
        """Return a bound of how much longer a distance in the anatomy is than in the patient."""
        return 1 + abs(self.shift_mm) * _STEEPEST / min(self.reach_mm)

    def to_anatomy(self, points: Points) -> Points:
        """Return where in the anatomy at rest the points (3, ...) of the patient lie."""
        moved = points.copy()
        moved[2] += np.float32(self.shift_mm) * self._weight(points)
        return moved

    def widened(self, box: Bounds) -> Bounds:
        """Return a box in the patient that holds what lies in a box of the anatomy."""
        (x0, y0, z0), (x1, y1, z1) = box
        reach = abs(self.shift_mm)
        return (x0, y0, z0 - reach), (x1, y1, z1 + reach)

    def volume_factor(self, shape: Shape) -> float:
        """Return by how much the volume of a solid of the anatomy changes: the mean of 1 / (1 + shift dw/dz)."""
        low, high = (np.asarray(corner) for corner in self.widened(shape.bounds()))
        axes = [a + (b - a) * (np.arange(_SAMPLES) + 0.5) / _SAMPLES for a, b in zip(low, high, strict=True)]
        points = np.stack(np.meshgrid(*axes, indexing="ij")).reshape(3, -1).astype(np.float32)
        inside = shape.distance(self.to_anatomy(points)) < 0
        apart = (points[2] - self.center_mm[2]) / self.reach_mm[2]
        slope = -4 * apart**3 / self.reach_mm[2] * self._weight(points)
        # Samples are even in the patient, so that each stands for (1 + shift dw/dz) as much anatomy.
        return float(1 / np.mean(1 + self.shift_mm * slope[inside]))

    def _weight(self, points: Points) -> NDArray[np.float32]:
        apart = (points - column(self.center_mm, points)) / column(self.reach_mm, points)
        squares = apart * apart
        return np.asarray(np.exp(-np.einsum("i...,i...->...", squares, squares)), dtype=np.float32)
