"""From the network's answer on a cube to the outline of one tumour on the voxels of the source."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.domain.geometry import Geometry
from coread.domain.images import Volume
from coread.domain.reading import ModelSession
from coread.imaging.lesion_region import Mask, on_source
from coread.readers.tumor_volume.field import Doubles, network_input, prompted_cube

GRAPH, INPUT, OUTPUT = "network", "image", "tumor"


@dataclass(frozen=True, slots=True, eq=False)
class Tumor:
    """What the network has inside, as one piece; ``mask`` is on the grid of the source."""

    mask: Mask
    certainty: float
    """Mean of the network's (uncalibrated) share over the outline."""


def tumor_of(logits: NDArray[np.float32], cube: Geometry, geometry: Geometry) -> Tumor | None:
    """Return the piece with the largest sum of shares for logits (z, y, x) on a cube; ``None`` where there is none."""
    from scipy import ndimage

    shares = 1 / (1 + np.exp(-np.clip(logits, -30, 30)))
    labels, count = ndimage.label(shares > 0.5)
    if not count:
        return None
    sums = ndimage.sum_labels(shares, labels, np.arange(1, count + 1))
    piece = ndimage.binary_fill_holes(labels == 1 + int(np.argmax(sums)))
    kept = np.where(piece, np.maximum(shares, 0.501), shares)
    inside = np.where(ndimage.binary_dilation(piece), kept, 0.0).astype(np.float32)
    mask = on_source(inside, cube, geometry)
    return Tumor(mask, float(shares[piece].mean())) if mask.any() else None


def tumor_in_box(session: ModelSession, volume: Volume, box_mm: Doubles) -> Tumor | None:
    """Return the tumour that a box (2, 3), LPS mm, holds; ``None`` where the network has nothing inside."""
    cube = prompted_cube(box_mm, volume.geometry.frame_of_reference_uid)
    image = network_input(volume, cube, box_mm)[np.newaxis]
    return tumor_of(session.run(GRAPH, {INPUT: image})[OUTPUT][0, 0], cube, volume.geometry)
