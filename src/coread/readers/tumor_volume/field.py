"""The cube that the network looks at: along the patient's axes, one step everywhere, with the reader's box beside it.

Arrays are (z, y, x): z rises to the head, y to the back, x to the patient's left, as the axes of LPS do.
"""

import numpy as np
from numpy.typing import NDArray

from coread.domain.geometry import Geometry, affine_of
from coread.domain.images import Volume
from coread.imaging.resampling import resampled_array

SIDE = 48
"""Voxels along each side of the cube."""
AIR_HU = -1024.0
WINDOWS_HU = ((-160.0, 240.0), (-40.0, 100.0))
"""All soft tissue; and muscle against tumour, which are 10 to 40 HU apart."""
CHANNELS = len(WINDOWS_HU) + 1
PROMPT_SHARE, PROMPT_MARGIN_MM = 1.25, 16.0
"""With a box the cube is 1.25 times its longest side and 16 mm wide: the tumour has the same size in every cube."""
Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]


def cube_around(center_mm: Doubles, side_mm: float, frame_of_reference_uid: str) -> Geometry:
    """Return the grid of SIDE voxels a side whose outer faces make a cube of ``side_mm`` around a place (LPS mm)."""
    step = side_mm / SIDE
    matrix = np.zeros((3, 4))
    matrix[2, 0] = matrix[1, 1] = matrix[0, 2] = step
    matrix[:, 3] = np.asarray(center_mm) - (SIDE - 1) * step / 2
    return Geometry((SIDE, SIDE, SIDE), affine_of(matrix), frame_of_reference_uid)


def field_box(geometry: Geometry) -> Doubles:
    """Return the corners (2, 3), LPS mm, lowest first, of the box along the patient's axes that holds every voxel."""
    corners = np.array([[k, r, c] for k in (0, 1) for r in (0, 1) for c in (0, 1)], dtype=np.float64)
    places = geometry.to_patient(corners * np.asarray(geometry.shape) - 0.5)
    return np.stack([places.min(axis=0), places.max(axis=0)])


def field_cube(geometry: Geometry) -> Geometry:
    """Return the cube that just holds a whole field."""
    box = field_box(geometry)
    return cube_around(box.mean(axis=0), float(np.ptp(box, axis=0).max()), geometry.frame_of_reference_uid)


def prompted_cube(box_mm: Doubles, frame_of_reference_uid: str) -> Geometry:
    """Return the cube around a box (2, 3), LPS mm."""
    side = PROMPT_SHARE * float(np.ptp(box_mm, axis=0).max()) + PROMPT_MARGIN_MM
    return cube_around(box_mm.mean(axis=0), side, frame_of_reference_uid)


def network_input(volume: Volume, cube: Geometry, box_mm: Doubles | None) -> Floats:
    """Return (3, SIDE, SIDE, SIDE) in [0, 1]: two windows, and how much of each voxel the box covers.

    Beyond the volume it is air; without a box the last channel is 0.
    """
    values = resampled_array(volume.voxels, volume.geometry, cube, outside=AIR_HU, smooth=True)
    windows = [np.clip((values - low) / (high - low), 0.0, 1.0) for low, high in WINDOWS_HU]
    return np.stack([*windows, _covered(cube, box_mm)]).astype(np.float32)


def _covered(cube: Geometry, box_mm: Doubles | None) -> Floats:
    if box_mm is None:
        return np.zeros(cube.shape, dtype=np.float32)
    step = cube.spacing_mm()[0]
    low = cube.matrix()[:3, 3] - step / 2
    shares = []
    for axis in (2, 1, 0):
        edges = low[axis] + step * np.arange(SIDE + 1)
        inside = np.minimum(edges[1:], box_mm[1, axis]) - np.maximum(edges[:-1], box_mm[0, axis])
        shares.append(np.clip(inside / step, 0.0, 1.0))
    return np.asarray(shares[0][:, None, None] * shares[1][:, None] * shares[2], dtype=np.float32)
