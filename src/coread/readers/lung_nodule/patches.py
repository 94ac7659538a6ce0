"""From a candidate to the network's input: an axial patch around it, in quarter turns.

The network is the one of the reader of single patches, unchanged. The patches that it learnt from say neither
Hounsfield units nor millimetres; window and pixel are assumed as ``outputs`` says, and every scan is brought to them.
"""

from collections.abc import Sequence

import numpy as np

from coread.readers.lung_nodule.candidates import Candidate
from coread.readers.lung_nodule.frame import Floats, Frame
from coread.readers.lung_nodule.outputs import PATCH_HIGH_HU, PATCH_LOW_HU, PATCH_MM, SIDE, TURNS


def patches(frame: Frame, candidates: Sequence[Candidate]) -> Floats:
    """Return (N, 1, SIDE, SIDE) grey values from 0 to 1, rounded to 1/255 as the patches learnt from were stored."""
    made = [_patch(frame, candidate) for candidate in candidates]
    return np.stack(made) if made else np.zeros((0, 1, SIDE, SIDE), dtype=np.float32)


def turned(batch: Floats) -> Floats:
    """Return (TURNS * N, 1, SIDE, SIDE): the batch, then the batch turned by one, two and three quarters."""
    return np.concatenate([np.rot90(batch, turn, axes=(2, 3)) for turn in range(TURNS)])


def _patch(frame: Frame, candidate: Candidate) -> Floats:
    """Return one patch (1, SIDE, SIDE): front up, right of the patient to the left, as axial slices are shown."""
    from scipy.ndimage import map_coordinates

    along = (np.arange(SIDE) - (SIDE - 1) / 2) * PATCH_MM
    y, x = np.meshgrid(along, along, indexing="ij")
    place = np.asarray(candidate.place)
    points = np.stack([place[0] + x.ravel(), place[1] + y.ravel(), np.full(x.size, place[2])], axis=1)
    index = frame.geometry.to_index(points)
    low = np.clip(np.floor(index.min(axis=0)) - 1, 0, np.asarray(frame.hu.shape) - 1).astype(np.int64)
    high = np.clip(np.ceil(index.max(axis=0)) + 2, low + 1, frame.hu.shape).astype(np.int64)
    part, _ = frame.part(low, high)
    hu = map_coordinates(part, (index - low).T, order=1, mode="nearest").reshape(SIDE, SIDE)
    grey = np.clip((hu - PATCH_LOW_HU) / (PATCH_HIGH_HU - PATCH_LOW_HU), 0, 1)
    return np.asarray(np.rint(grey * 255) / 255, dtype=np.float32)[np.newaxis]
