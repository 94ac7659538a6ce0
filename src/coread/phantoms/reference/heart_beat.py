"""How a ventricle empties and fills over one beat, and the closed form of a cut ellipsoid."""

from dataclasses import dataclass

import numpy as np

_SYSTOLE = 0.35
_FILLED = 0.27
"""Share of the beat that rapid filling takes."""


@dataclass(frozen=True, slots=True)
class Beat:
    """One heart beat in equal steps; step 0 is end diastole."""

    phases: int

    @property
    def end_systole(self) -> int:
        """Return the phase (from 0) of the smallest volume."""
        return max(1, round(_SYSTOLE * self.phases))

    def emptied(self, phase: int) -> float:
        """Return how far the ventricle has emptied: 0 at end diastole, 1 at end systole.

        Ejection, rapid filling, rest, and the push of the atrium: four pieces joined smoothly.
        """
        share, systole = (phase % self.phases) / self.phases, self.end_systole / self.phases
        times = np.asarray([0.0, systole, systole + _FILLED, 0.86, 1.0])
        levels = np.asarray([0.0, 1.0, 0.22, 0.2, 0.0])
        k = int(np.clip(np.searchsorted(times, share, side="right") - 1, 0, 3))
        along = (share - times[k]) / (times[k + 1] - times[k])
        return float(levels[k] + (levels[k + 1] - levels[k]) * (1 - np.cos(np.pi * along)) / 2)


def cut_length(half_length: float, base: float) -> float:
    """Return the integral of 1 - (z / half length)^2 from the apex to the base: volume over pi radius squared."""
    return base + half_length - (base**3 + half_length**3) / (3 * half_length**2)
