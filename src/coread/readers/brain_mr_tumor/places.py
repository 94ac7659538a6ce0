"""From the network's maps of one slice to the box that is most likely the tumour, and how sure the network is."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.imaging.dense_detections import boxes_from_dense_maps
from coread.readers.brain_mr_tumor.outputs import SIDE

_FLOOR = 1e-4
Square = tuple[float, float, float, float]
"""x0, y0, x1, y1 on the network's square."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A box on the network's square, and the logit that it is right."""

    box: Square
    logit: float


def mark_of(maps: NDArray[Any]) -> Mark:
    """Return the best box of one slice."""
    found = boxes_from_dense_maps(maps, (SIDE, SIDE), floor=0.0, most=1)
    x0, y0, x1, y1, score = (float(value) for value in (found[0, 1:] if len(found) else (0, 0, 1, 1, 0)))
    sure = float(np.clip(score, _FLOOR, 1 - _FLOOR))
    return Mark((x0, y0, x1, y1), math.log(sure / (1 - sure)))
