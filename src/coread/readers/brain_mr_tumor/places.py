"""From the network's maps of one slice to the box that is most likely the tumour, and how sure the network is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.imaging.dense_detections import agreement, boxes_from_dense_maps
from coread.imaging.detections import intersection_over_union
from coread.imaging.stretch import Part
from coread.readers.brain_mr_tumor.outputs import SIDE

_FLOOR = 1e-4
_SAME = 0.5
"""Overlap from which the boxes of two views are boxes of one thing."""
Square = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A box on the slice (``None`` where no view shows one), and the logit of how far the views bear it out."""

    box: Square | None
    logit: float


def mark_of(views: Sequence[tuple[NDArray[Any], Part]]) -> Mark:
    """Return the best box of one slice that was shown to the network in several views: the maps and part of each.

    Each view gives its best box with how far the view's maps agree on it. The box with the most support is averaged
    with those that lie where it lies (weighted box fusion, Solovyev 2021). How sure it is follows from all of this: the
    heat of one cell tells that something is there, and less of how exact the box around it is.
    """
    boxes, sure = [], []
    for maps, part in views:
        found = boxes_from_dense_maps(maps, (SIDE, SIDE), floor=0.0, most=1)
        if len(found) and (place := part.box(tuple(found[0, 1:5].tolist()), SIDE)) is not None:
            boxes.append(place)
            sure.append(agreement(maps, found[0, 1:5], (SIDE, SIDE)))
    if not boxes:
        return Mark(None, _logit(0.0))
    corners, weights = np.array(boxes), np.array(sure) + _FLOOR
    overlaps = intersection_over_union(corners, corners)
    support = (overlaps * sure).sum(axis=1) / len(views)
    best = int(np.argmax(support))
    near = overlaps[best] >= _SAME
    x0, y0, x1, y1 = np.average(corners[near], axis=0, weights=weights[near])
    return Mark((float(x0), float(y0), float(x1), float(y1)), _logit(float(support[best])))


def _logit(share: float) -> float:
    sure = min(max(share, _FLOOR), 1 - _FLOOR)
    return math.log(sure / (1 - sure))
