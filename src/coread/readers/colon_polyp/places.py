"""From the network's map of one frame to polyps: connected regions, each with a box and how sure the network is."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.imaging.regions import regions_of
from coread.imaging.stretch import Part

LEVEL = 0.0
"""Logit above which a pixel lies on a polyp."""
SMALLEST = 0.0015
"""Share of the frame that a region must cover to count."""
_FLOOR = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class Lesion:
    """One connected region on the grid of the frame; ``box`` is x0, y0, x1, y1 with exclusive ends."""

    mask: NDArray[np.bool_]
    box: tuple[float, float, float, float]
    logit: float
    """Of the mean probability inside the region: the higher, the more sure."""


def lesions_of(area: NDArray[Any], part: Part) -> tuple[Lesion, ...]:
    """Return the regions of one frame, the surest first; ``area`` (side, side) holds logits."""
    logits = part.field(np.clip(area.astype(np.float32), -12, 12), outside=-12.0)
    inside = logits > LEVEL
    found = [_lesion(region, logits) for region in regions_of(inside) if region.sum() >= SMALLEST * inside.size]
    return tuple(sorted(found, key=lambda lesion: -lesion.logit))


def highest_logit(area: NDArray[Any]) -> float:
    """Return how sure the network is of its surest few pixels: what stands for a frame without a region."""
    return float(np.clip(np.sort(area, axis=None)[-16:].mean(), -12, 12))


def _lesion(mask: NDArray[np.bool_], logits: NDArray[np.float32]) -> Lesion:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
    mean = float(np.mean(1 / (1 + np.exp(-logits[mask].astype(np.float64)))))
    sure = min(max(mean, _FLOOR), 1 - _FLOOR)
    return Lesion(mask, box, math.log(sure / (1 - sure)))
