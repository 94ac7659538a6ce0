"""From the network's map of one crop to the outline of the nodule in its middle, and how sure the network is of it."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.imaging.regions import regions_of
from coread.imaging.stretch import Part

LEVEL = 0.0
"""Logit above which a pixel lies inside; chosen on cross-fitted crops."""
_FLOOR = 1e-4
_SURE = 12.0


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """The nodule on the grid of its crop (empty when there is none), and the logit that it is well drawn."""

    mask: NDArray[np.bool_]
    logit: float


def outline_of(area: NDArray[Any], part: Part) -> Outline:
    """Return the region that holds the middle of the crop or comes nearest to it; ``area`` (side, side) are logits."""
    logits = part.field(np.clip(area.astype(np.float32), -_SURE, _SURE), outside=-_SURE)
    inside = logits > LEVEL
    regions = regions_of(inside)
    if not regions:
        return Outline(inside, _logit(float(_probabilities(logits).max())))
    mask = min(regions, key=_from_middle)
    # How far the inside is from one half, and the outside near it: a sharp border is a sure one.
    sure = _probabilities(logits[mask])
    return Outline(mask, _logit(float(2 * sure.mean() - 1)))


def _from_middle(mask: NDArray[np.bool_]) -> float:
    rows, columns = np.nonzero(mask)
    return float(np.hypot(rows + 0.5 - mask.shape[0] / 2, columns + 0.5 - mask.shape[1] / 2).min())


def _probabilities(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-logits.astype(np.float64))))


def _logit(share: float) -> float:
    kept = min(max(share, _FLOOR), 1 - _FLOOR)
    return math.log(kept / (1 - kept))


def longest_diameter(mask: NDArray[np.bool_]) -> float:
    """Return the longest straight line between corners of pixels of the region, in pixels."""
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return 0.0
    corners = {(int(r) + a, int(c) + b) for r, c in zip(rows, columns, strict=True) for a in (0, 1) for b in (0, 1)}
    points = np.array(sorted(corners), dtype=np.float64)
    # Only the outermost corner of each row can be an end of the longest line.
    ends = [points[points[:, 0] == row][[0, -1]] for row in np.unique(points[:, 0])]
    outer = np.concatenate(ends)
    apart = outer[:, None] - outer[None]
    return float(np.sqrt((apart**2).sum(axis=2)).max())
