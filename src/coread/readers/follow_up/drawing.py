"""Masks as regions and boxes on their source images."""

import numpy as np
from numpy.typing import NDArray

from coread.domain.codes import Code
from coread.domain.findings import Box, Region, TrackingId
from coread.domain.geometry import Geometry, affine_of
from coread.domain.images import Volume
from coread.readers.follow_up import words

Mask = NDArray[np.bool_]


def region_of(label: str, tracking: TrackingId, mask: Mask, source: Volume, *, kind: Code, finding: str = "") -> Region:
    """Return a mask on the grid of the source as a region of the slices that it lies in.

    ``finding`` is the key of the finding that it shows; a lesion that is followed was there before any of them.
    """
    filled = np.flatnonzero(mask.any(axis=(1, 2)))
    first, last = int(filled[0]), int(filled[-1]) + 1
    matrix = source.geometry.matrix()
    matrix[:3, 3] += matrix[:3, 0] * first
    geometry = Geometry(
        (last - first, *source.geometry.shape[1:]), affine_of(matrix), source.geometry.frame_of_reference_uid
    )
    images = source.references()[first:last]
    return Region(label, words.ABNORMAL, kind, mask[first:last], images, tracking, geometry, finding_key=finding)


def box_of(mask: Mask, source: Volume) -> Box:
    """Return the rectangle around a mask on the slice that holds most of it."""
    fullest = int(mask.sum(axis=(1, 2)).argmax())
    rows, columns = np.flatnonzero(mask[fullest].any(axis=1)), np.flatnonzero(mask[fullest].any(axis=0))
    image = source.references()[fullest]
    return Box(image, float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
