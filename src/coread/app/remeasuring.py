"""The numbers of a region whose outline a person has corrected: counted anew, or left out and said so.

Volume, diameters, area and attenuation follow from the voxels inside. Whatever else a reader measured of the region
belongs to the outline that it drew itself, and must not stand beside another one.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from coread.domain.codes import Code
from coread.domain.errors import Refused
from coread.domain.findings import ImageReference, Measurement, Region
from coread.domain.results import ReadResult
from coread.imaging.measuring import Size, mask_diameters, mask_values, mask_volume

ModalityValues = Callable[[ImageReference], NDArray[np.float32]]
"""From a source frame to its (rows, columns) modality values, HU for CT; raises Refused."""
VOLUME = Code("118565006", "SCT", "Volume")
LONG_AXIS, SHORT_AXIS = Code("103339001", "SCT", "Long axis"), Code("103340004", "SCT", "Short axis")
AREA = Code("42798000", "SCT", "Area")
ATTENUATION = Code("112031", "DCM", "Attenuation Coefficient")
_PER_ML = {"ml": 1.0, "mL": 1.0, "cm3": 1.0, "mm3": 1000.0, "l": 0.001, "L": 0.001}
_PER_MM = {"mm": 1.0, "cm": 0.1}
_PER_MM2 = {"mm2": 1.0, "cm2": 0.01}
_STATISTICS = {
    "373098007": "mean",
    "386136009": "standard_deviation",
    "373099004": "median",
    "255605001": "minimum",
    "56851009": "maximum",
}
"""SNOMED CT codes of derivations (PS3.16 CID 7464)."""


def remeasured(
    measurements: Sequence[Measurement], region: Region, values: ModalityValues
) -> tuple[Measurement | None, ...]:
    """Return the measurements of a result after a region has changed, ``None`` in place of those that are left out.

    Those of other regions, and of none, are the very same records as before.
    """
    kept: list[Measurement | None] = []
    for measurement in measurements:
        if measurement.tracking is None or measurement.tracking.uid != region.tracking.uid:
            kept.append(measurement)
            continue
        try:
            size = _size(measurement, region, values)
        except Refused:
            size = None
        if size is None:
            kept.append(None)
        else:
            counted = replace(measurement, value=size.value, uncertainty=size.half_width or None, method=None)
            kept.append(replace(counted, images=_places(measurement, region)))
    return tuple(kept)


def left_standing(result: ReadResult, counted: Collection[str]) -> tuple[str, ...]:
    """Name what a corrected outline leaves as it was although it may follow from it: numbers and curves of no region.

    Whether a total came from the outline is known to its reader alone, so people are told; ``counted`` names what was
    counted again from its parts.
    """
    tied = {region.tracking.uid for region in result.regions}
    numbers = [one.name() for one in result.measurements if one.tracking is None or one.tracking.uid not in tied]
    numbers = [name for name in numbers if name not in counted]
    return tuple(dict.fromkeys([*numbers, *(f"curve {curve.name}" for curve in result.curves)]))


def _places(measurement: Measurement, region: Region) -> tuple[ImageReference, ...]:
    """Return the images that a number counted anew is of: a diameter's slice may be another one now."""
    if not measurement.images or region.geometry is None:
        return measurement.images
    mask = region.mask.reshape(region.geometry.shape)
    if measurement.concept in (LONG_AXIS, SHORT_AXIS):
        return (region.images[mask_diameters(mask, region.geometry).slice_index],)
    if measurement.concept == AREA and measurement.unit.value in _PER_MM2:
        return (region.images[int(mask.sum(axis=(1, 2)).argmax())],)
    return measurement.images


def _size(measurement: Measurement, region: Region, values: ModalityValues) -> Size | None:
    mask = region.mask.reshape(len(region.images), *region.mask.shape[-2:])
    unit, concept = measurement.unit.value, measurement.concept
    if concept == AREA and unit == "{pixels}":
        return Size(float(mask.sum()), 0.0)
    if concept == ATTENUATION and measurement.derivation is not None:
        return _attenuation(measurement.derivation, mask, region.images, values)
    if region.geometry is None or region.geometry.shape != mask.shape:
        return None
    if concept == VOLUME and unit in _PER_ML:
        return _scaled(mask_volume(mask, region.geometry), _PER_ML[unit])
    if concept in (LONG_AXIS, SHORT_AXIS) and unit in _PER_MM:
        axes = mask_diameters(mask, region.geometry)
        return _scaled(axes.long_axis if concept == LONG_AXIS else axes.short_axis, _PER_MM[unit])
    if concept == AREA and unit in _PER_MM2:
        steps = region.geometry.matrix()[:3, 1:3]
        pixel_mm2 = float(np.linalg.norm(np.cross(steps[:, 0], steps[:, 1])))
        return Size(float(mask.sum(axis=(1, 2)).max()) * pixel_mm2 * _PER_MM2[unit], 0.0)
    return None


def _attenuation(
    derivation: Code, mask: NDArray[np.bool_], images: Sequence[ImageReference], values: ModalityValues
) -> Size | None:
    statistic = _STATISTICS.get(derivation.value)
    if statistic is None:
        return None
    slices = [number for number in range(len(images)) if mask[number].any()]
    voxels = np.stack([values(images[number]) for number in slices])
    return Size(float(getattr(mask_values(voxels, mask[slices]), statistic)), 0.0)


def _scaled(size: Size, factor: float) -> Size:
    return Size(size.value * factor, size.half_width * factor)
