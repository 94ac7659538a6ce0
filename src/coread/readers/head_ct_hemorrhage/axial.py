"""A volume of the head as axial slices of about 5 mm: foot to head, rows to the back, columns to the patient's left."""

from dataclasses import dataclass

import numpy as np

from coread.domain.findings import ImageReference
from coread.domain.images import FloatPixels, Volume
from coread.domain.reasons import Reason, ReasonCode

THICKNESS_MM = 5.0
"""Distance of the slices that the network learnt from."""
LARGEST_SPACING_MM = 8.0
_UNEQUAL = 0.02
"""How far rows and columns may differ in spacing before the head is drawn out of shape."""
_AXIAL_COSINE = 0.85
"""Least share of the slice step along the patient's axis, and of rows and columns across it: gantry and head tilts
up to about 30 degrees pass."""


@dataclass(frozen=True, slots=True, eq=False)
class AxialSlices:
    """Slices (S, rows, columns) in HU as the radiologist sees them, and the images that each one is the mean of."""

    hu: FloatPixels
    sources: tuple[tuple[ImageReference, ...], ...]
    spacing_mm: float
    """Distance of the slices."""
    pixel_mm: float


def axial_slices(volume: Volume) -> AxialSlices | Reason:
    """Return the slices of a volume as acquired (a tilted gantry is left tilted), thin ones averaged to about 5 mm."""
    matrix = volume.geometry.matrix()[:3, :3]
    steps = np.linalg.norm(matrix, axis=0)
    unit = matrix / steps
    if abs(unit[2, 0]) < _AXIAL_COSINE or abs(unit[2, 1]) > np.sqrt(1 - _AXIAL_COSINE**2) or abs(unit[2, 2]) > 0.5:
        return Reason(ReasonCode.WRONG_VIEW, "the slices are not axial")
    if abs(steps[1] / steps[2] - 1) > _UNEQUAL:
        return Reason(ReasonCode.WRONG_SPACING, f"pixels of {steps[1]:.3g} x {steps[2]:.3g} mm")
    along = _distance_mm(volume)
    if along > LARGEST_SPACING_MM:
        return Reason(ReasonCode.WRONG_SPACING, f"slices every {along:.3g} mm, at most {LARGEST_SPACING_MM:g} are read")
    voxels, references = volume.voxels, list(volume.references())
    if unit[2, 0] < 0:
        voxels, references = voxels[::-1], references[::-1]
    rows, columns = unit[:, 1], unit[:, 2]
    if abs(rows[0]) > abs(rows[1]):  # the rows run across the patient: exchange them with the columns
        voxels, rows, columns = voxels.transpose(0, 2, 1), columns, rows
    voxels = voxels[:, :: -1 if rows[1] < 0 else 1, :: -1 if columns[0] < 0 else 1]
    return _thick(voxels, references, along, float(steps[1] + steps[2]) / 2)


def _distance_mm(volume: Volume) -> float:
    """Return the distance of the planes, across them: under a tilted gantry less than the step of the table."""
    matrix = volume.geometry.matrix()[:3, :3]
    normal = np.cross(matrix[:, 1], matrix[:, 2])
    return float(abs(matrix[:, 0] @ normal) / np.linalg.norm(normal))


def _thick(voxels: FloatPixels, references: list[ImageReference], along: float, pixel_mm: float) -> AxialSlices:
    """Average neighbours so that slices lie about 5 mm apart; what is left over at the top is a thinner slice."""
    together = max(1, round(THICKNESS_MM / along))
    starts = range(0, len(voxels), together)
    hu = np.stack([voxels[start : start + together].mean(axis=0, dtype=np.float32) for start in starts])
    # A series that was resampled may name an image twice; a generated one names none.
    sources = tuple(tuple(dict.fromkeys(references[start : start + together])) for start in starts)
    return AxialSlices(hu, sources, along * together, pixel_mm)
