"""Height loss of vertebral bodies, graded after Genant 1993 (J Bone Miner Res 8:1137).

Heights are taken at 60 % of the half depth, not at the border: what a wedge lost in front appears a fifth smaller.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MILD, MODERATE, SEVERE = 0.20, 0.25, 0.40
_PLACES = ("front", "middle", "back")


@dataclass(frozen=True, slots=True)
class HeightLoss:
    """The largest loss of one body as a share, and where."""

    row: int
    share: float
    place: str

    def grade(self) -> str:
        """Return the grade in words."""
        if self.share < MILD:
            return "none"
        return "mild" if self.share < MODERATE else "moderate" if self.share <= SEVERE else "severe"


def height_losses(heights: NDArray[np.float64], found: NDArray[np.bool_]) -> list[HeightLoss]:
    """Return the loss of each found body from above; ``heights`` (levels, 3) in front, in the middle, behind, mm.

    Compared are front and middle with the back of the same body, and each height with that of the neighbours. The last
    level (L5) serves as a neighbour only: it is wedged by nature.
    """
    out = []
    for row in range(len(heights) - 1):
        if not found[row]:
            continue
        own = heights[row]
        neighbours = [heights[k] for k in (row - 1, row + 1) if 0 <= k < len(heights) - 1 and found[k]]
        shares = 1 - own / np.mean(neighbours, axis=0) if neighbours else np.zeros(3)
        shares[:2] = np.maximum(shares[:2], 1 - own[:2] / own[2])
        worst = int(shares.argmax())
        out.append(HeightLoss(row, float(max(0.0, shares[worst])), _PLACES[worst]))
    return out
