"""The lungs: air inside the body, without windpipe and bowel, closed over vessels and nodules at the chest wall.

After Hu, Hoffman and Reinhardt 2001 (IEEE Trans Med Imaging 20:490): threshold, connected parts, airways taken out,
smoothing at the wall. Works on voxels of about 2.5 mm.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.domain.geometry import Geometry
from coread.readers.lung_nodule.frame import Floats, Frame, Mask, thinned

COARSE_MM = 2.5
_AIR_HU = -400.0
_PADDING_HU = -1100.0
_GAS_HU = -972.0
"""A part whose median lies below is gas without tissue: bowel, stomach, a pneumothorax, the room."""
_TISSUE_HU = -400.0
_LEAST_ENCLOSED = 0.3
"""Share of a part that must lie within the body's outline: less is the room, blankets or the foam of the table. A lung
that the field of view cuts off in some slices is still enclosed in others."""
_AIRWAY_HU = -935.0
_AIRWAY_ML = (3.0, 150.0)
_AIRWAY_TALL_MM = 30.0
_LEAST_PART_ML = 40.0
_CLOSING_MM = 10.0
_LEAST_LUNG_ML = 600.0
"""Both lungs together; adults have some litres. Less is a cut-off field or no lung."""
_CUT_SQUARE_MM = 600.0
_ONE_LUNG_SHARE = 0.08
_OBLIQUE_SHARE, _HORIZONTAL_SHARE = 0.72, 0.5
"""Where fissures usually lie, as shares of a lung's height: the oblique one from the base in front to about the fourth
thoracic vertebra behind, the horizontal one of the right lung at the fourth rib cartilage (Gray's Anatomy, surface
anatomy of the lungs)."""


@dataclass(frozen=True, slots=True, eq=False)
class Lungs:
    """The lungs on a coarse grid (z, y, x)."""

    mask: Mask
    """Closed over vessels and what lies at the wall."""
    hu: Floats
    geometry: Geometry
    volume_ml: float
    middle_x: float
    """LPS x that divides right from left, mm."""
    tops_and_bottoms: tuple[tuple[float, float], tuple[float, float]]
    """(lowest, highest) LPS z of the right and of the left lung; equal where there is none."""
    remarks: tuple[str, ...]
    whole: bool
    """Both lungs were found, and nothing of them is cut off by the field of view."""
    fronts_and_backs: tuple[tuple[float, float], tuple[float, float]]
    """(foremost, hindmost) LPS y of the right and of the left lung."""

    def side_of(self, place: NDArray[np.float64]) -> str:
        """Return ``right`` or ``left`` for a place, LPS mm."""
        return "right" if place[0] < self.middle_x else "left"

    def zone_of(self, place: NDArray[np.float64]) -> str:
        """Return the third of the lung's height: ``upper``, ``middle`` or ``lower`` zone. No lobe: fissures are not
        looked for."""
        share = self._height_of(place)
        return "upper" if share >= 2 / 3 else "middle" if share >= 1 / 3 else "lower"

    def lobe_of(self, place: NDArray[np.float64]) -> str:
        """Return the lobe that usually lies there, from the place in the lung alone: fissures are not looked for."""
        side = self.side_of(place)
        front, back = self.fronts_and_backs[0 if side == "right" else 1]
        behind = (float(place[1]) - front) / (back - front) if back > front else 0.5
        height = self._height_of(place)
        if height < _OBLIQUE_SHARE * behind:
            return f"{side} lower lobe"
        return f"{side} middle lobe" if side == "right" and height < _HORIZONTAL_SHARE else f"{side} upper lobe"

    def _height_of(self, place: NDArray[np.float64]) -> float:
        low, high = self.tops_and_bottoms[0 if self.side_of(place) == "right" else 1]
        return (float(place[2]) - low) / (high - low) if high > low else 0.5


def find_lungs(frame: Frame) -> Lungs | str:
    """Return the lungs, or in words why there are none to read."""
    hu, geometry = thinned(frame, COARSE_MM)
    parts, remarks, cut = _parts(hu, geometry)
    voxel_ml = _voxel_ml(geometry)
    if not parts.any():
        return "no lungs were found"
    aerated_ml = float(np.count_nonzero(parts)) * voxel_ml
    if aerated_ml < _LEAST_LUNG_ML:
        return f"{aerated_ml:.0f} ml of lung in the field of view, {_LEAST_LUNG_ML:.0f} are needed"
    closed = _closed(parts, geometry)
    places = geometry.to_patient(np.argwhere(parts)[:: max(1, int(parts.sum()) // 200_000)].astype(np.float64))
    middle = _middle(hu, geometry, places)
    right, left = places[places[:, 0] < middle], places[places[:, 0] >= middle]
    share = float((places[:, 0] < middle).mean())
    if min(share, 1 - share) < _ONE_LUNG_SHARE:
        cut = True
        remarks.append(f"only the {'right' if share > 0.5 else 'left'} lung was found with air in it")
    heights, depths = (_extent(right, 2), _extent(left, 2)), (_extent(right, 1), _extent(left, 1))
    return Lungs(closed, hu, geometry, aerated_ml, middle, heights, tuple(remarks), not cut, depths)


def _parts(hu: Floats, geometry: Geometry) -> tuple[Mask, list[str], bool]:
    from scipy.ndimage import binary_dilation, find_objects, label

    voxel_ml = _voxel_ml(geometry)
    air = (hu < _AIR_HU) & (hu > _PADDING_HU)
    labels, count = label(air)
    sizes = np.bincount(labels.ravel(), minlength=count + 1) * voxel_ml
    kept, body = np.zeros(hu.shape, dtype=np.bool_), _body(hu)
    remarks: list[str] = []
    cut_sideways = False
    for number, box in enumerate(find_objects(labels), start=1):
        if sizes[number] < _LEAST_PART_ML or box is None:
            continue
        inside = labels[box] == number
        if float(np.median(hu[box][inside])) < _GAS_HU:
            continue
        if float(body[box][inside].mean()) < _LEAST_ENCLOSED:
            continue
        cut_sideways |= any(box[axis].start == 0 or box[axis].stop == hu.shape[axis] for axis in (1, 2))
        kept[box] |= inside
    airways = _airways(hu, kept, geometry)
    if airways is None:
        remarks.append("windpipe and main bronchi could not be told from the lungs and were read with them")
    else:
        kept &= ~binary_dilation(airways)
    if cut_sideways:
        remarks.append("lung reaches the edge of the field of view: what lies outside was not read")
    plane_mm2 = voxel_ml * 1000 / geometry.spacing_mm()[0]
    ends = [float(kept[k].sum()) * plane_mm2 for k in (0, -1)] if kept.any() else [0.0, 0.0]
    names = [name for name, area in zip(("bottom", "top"), ends, strict=True) if area > _CUT_SQUARE_MM]
    if names:
        remarks.append(f"lungs are cut off at the {' and '.join(names)} of the scan: what lies outside was not read")
    return kept, remarks, cut_sideways or bool(names)


def _body(hu: Floats) -> Mask:
    """Return the largest part of tissue, without what is thin (the table), filled slice by slice."""
    from scipy.ndimage import binary_fill_holes, binary_opening, label

    labels, count = label(binary_opening(hu > _TISSUE_HU))
    if not count:
        return np.zeros(hu.shape, dtype=np.bool_)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.stack([binary_fill_holes(plane) for plane in labels == sizes.argmax()])


def _airways(hu: Floats, lung: Mask, geometry: Geometry) -> Mask | None:
    """Return the windpipe with what hangs on it; None when it cannot be told from lung (emphysema, thick slices)."""
    from scipy.ndimage import find_objects, label

    voxel_ml, step = _voxel_ml(geometry), geometry.spacing_mm()[0]
    labels, count = label(lung & (hu < _AIRWAY_HU))
    if not count:
        return np.zeros_like(lung)
    sizes = np.bincount(labels.ravel(), minlength=count + 1) * voxel_ml
    found = np.zeros_like(lung)
    for number, box in enumerate(find_objects(labels), start=1):
        if box is None or sizes[number] < _AIRWAY_ML[0]:
            continue
        if sizes[number] > _AIRWAY_ML[1]:
            return None
        tall = (box[0].stop - box[0].start) * step
        wide = max(box[axis].stop - box[axis].start for axis in (1, 2)) * step
        if tall >= _AIRWAY_TALL_MM and sizes[number] * 1000 / tall < 900 and tall > 0.5 * wide:
            found[box] |= labels[box] == number
    return found


def _closed(mask: Mask, geometry: Geometry) -> Mask:
    """Close by a ball, fill what is enclosed: vessels, nodules, and dents at the wall up to about 2 cm wide."""
    from scipy.ndimage import binary_fill_holes, distance_transform_edt

    step = geometry.spacing_mm()
    pad = int(np.ceil(_CLOSING_MM / min(step))) + 1
    wide = np.pad(mask, pad)
    grown = distance_transform_edt(~wide, sampling=step) <= _CLOSING_MM
    closed = distance_transform_edt(grown, sampling=step) > _CLOSING_MM
    inner = tuple(slice(pad, -pad) for _ in range(3))
    return np.asarray(binary_fill_holes(closed[inner] | mask), dtype=np.bool_)


def _middle(hu: Floats, geometry: Geometry, places: NDArray[np.float64]) -> float:
    """Return the x of the body's middle: half way between its outer borders at the height of the lungs."""
    rows = np.unique(np.clip(np.rint(geometry.to_index(places[::50]))[:, 0].astype(int), 0, hu.shape[0] - 1))
    body = hu[rows] > -300
    columns = np.flatnonzero(body.sum(axis=(0, 1)) > 0.02 * body.shape[0] * body.shape[1])
    low, high = float(places[:, 0].min()), float(places[:, 0].max())
    if not len(columns):
        return (low + high) / 2
    index = np.array([[rows.mean(), hu.shape[1] / 2, (columns[0] + columns[-1]) / 2]])
    return float(geometry.to_patient(index)[0, 0])


def _extent(places: NDArray[np.float64], axis: int) -> tuple[float, float]:
    return (float(places[:, axis].min()), float(places[:, axis].max())) if len(places) else (0.0, 0.0)


def _voxel_ml(geometry: Geometry) -> float:
    return abs(float(np.linalg.det(geometry.matrix()[:3, :3]))) / 1000
