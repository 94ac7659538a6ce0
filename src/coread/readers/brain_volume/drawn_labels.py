"""Label maps that training heads are drawn from: the tissue maps of an average brain.

Grid: 2 mm, axes (superior, posterior, left), the middle of the intracranial space in the middle of the array.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FINE_MM = 2.0
FINE_SHAPE = (108, 132, 108)
OUTSIDE, CSF, GREY_MATTER, WHITE_MATTER, VENTRICLE, HIPPOCAMPUS = range(6)
BONE, MARROW, SKIN, SOFT, EYE, CAVITY = range(6, 12)
"""Labels above HIPPOCAMPUS lie outside the skull's cavity; the network calls all of them outside."""
_VENTRICLES_MM = (
    ((-12.0, 44.0), (-48.0, 24.0), (0.0, 44.0)),
    ((12.0, 44.0), (20.0, 62.0), (0.0, 44.0)),
    ((-24.0, 14.0), (4.0, 62.0), (15.0, 44.0)),
    ((-46.0, -16.0), (34.0, 54.0), (0.0, 11.0)),
)
"""Boxes that hold the ventricles and no wide cistern: (superior, posterior, distance from the midline), mm from the
anterior commissure."""
_HIPPOCAMPUS_MM = ((-20.0, 7.0, 22.0), (-19.0, 14.0, 28.0), (-14.0, 24.0, 29.0), (-8.0, 32.0, 26.0), (-1.0, 38.0, 21.0))
"""A line through the left hippocampus of the average brain, in the same coordinates."""
_HIPPOCAMPUS_RADIUS_MM = 7.0


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """One head: ``tissue`` (slices, rows, columns) uint8 and the distance in mm to the cavity of the skull."""

    tissue: NDArray[np.uint8]
    distance_mm: NDArray[np.float32]
    with_face: bool
    """Whether what lies outside of the skull is drawn already."""


def average_brain(folder: Path) -> Labels:
    """Return the labels of the ICBM 2009a average (tissue probabilities 0 to 255, 1 mm); hippocampi roughly."""
    from nibabel import load
    from scipy import ndimage

    stem = "mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"
    found = {}
    for name in ("t1", "gm", "wm"):
        values = np.asarray(load(folder / stem.format(name)).dataobj)  # type: ignore[attr-defined]
        found[name] = values.transpose(2, 1, 0)[:, ::-1, ::-1].astype(np.float32)
    closed = ndimage.binary_closing(np.pad(found["t1"] > 0, 8), iterations=6)
    inside = ndimage.binary_fill_holes(closed)[8:-8, 8:-8, 8:-8]
    tissue = found["gm"] + found["wm"]
    labels = np.zeros(inside.shape, dtype=np.uint8)
    labels[inside] = CSF
    labels[inside & (tissue > 127) & (found["gm"] >= found["wm"])] = GREY_MATTER
    labels[inside & (tissue > 127) & (found["gm"] < found["wm"])] = WHITE_MATTER
    up, back, side = np.ogrid[-72:117, -98:135, -98:99]
    places = (up, back, np.abs(side))
    boxes = [_in_box(places, box) for box in _VENTRICLES_MM]
    fluid = (labels == CSF) & np.logical_or.reduce(boxes)
    parts, count = ndimage.label(fluid)
    sizes = ndimage.sum_labels(fluid, parts, range(1, count + 1))
    labels[np.isin(parts, 1 + np.flatnonzero(np.asarray(sizes) > 150))] = VENTRICLE
    line = np.array(_HIPPOCAMPUS_MM)
    dense = np.array([np.interp(np.linspace(0, len(line) - 1, 25), range(len(line)), one) for one in line.T]).T
    nearest = np.min([sum((axis - at) ** 2 for axis, at in zip(places, point, strict=True)) for point in dense], axis=0)
    labels[(nearest < _HIPPOCAMPUS_RADIUS_MM**2) & np.isin(labels, (GREY_MATTER, WHITE_MATTER))] = HIPPOCAMPUS
    return _on_fine_grid(labels, inside)


def _in_box(places: Sequence[NDArray[np.int64]], box: Sequence[tuple[float, float]]) -> NDArray[np.bool_]:
    inside = np.ones((1, 1, 1), dtype=np.bool_)
    for place, (low, high) in zip(places, box, strict=True):
        inside = inside & (place >= low) & (place <= high)
    return inside


def _on_fine_grid(labels: NDArray[np.uint8], inside: NDArray[np.bool_]) -> Labels:
    from scipy import ndimage

    middle = np.array(ndimage.center_of_mass(inside))
    axes = [(np.arange(n) - (n - 1) / 2) * FINE_MM + m for n, m in zip(FINE_SHAPE, middle, strict=True)]
    at = np.stack(np.meshgrid(*axes, indexing="ij"))
    fine = ndimage.map_coordinates(labels, at, order=0, mode="constant", cval=0)
    return with_distance(fine, with_face=False)


def with_distance(tissue: NDArray[np.uint8], *, with_face: bool) -> Labels:
    """Return labels on the fine grid with the distance to the cavity of the skull."""
    from scipy import ndimage

    inside = (tissue >= CSF) & (tissue <= HIPPOCAMPUS)
    distance = ndimage.distance_transform_edt(~inside) * FINE_MM
    return Labels(tissue, np.asarray(distance, dtype=np.float32), with_face)
