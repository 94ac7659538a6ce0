"""An outlined lesion as what is reported of it: a region with its volume, RECIST diameters and values (TID 1411)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.domain.codes import Code
from coread.domain.findings import Measurement, Region, TrackingId
from coread.domain.geometry import Geometry, affine_of
from coread.domain.images import Quantity, Volume
from coread.imaging.measuring import Diameters, Size, mask_diameters, mask_values, mask_volume

LESION = Code("52988006", "SCT", "Lesion")
ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")
"""PS3.16 CID 7150."""
VOLUME = Code("118565006", "SCT", "Volume")
LONG_AXIS, SHORT_AXIS = Code("103339001", "SCT", "Long axis"), Code("103340004", "SCT", "Short axis")
ATTENUATION = Code("112031", "DCM", "Attenuation Coefficient")
MEAN, DEVIATION = Code("373098007", "SCT", "Mean"), Code("386136009", "SCT", "Standard Deviation")
MEDIAN = Code("373099004", "SCT", "Median")
LOWEST, HIGHEST = Code("255605001", "SCT", "Minimum"), Code("56851009", "SCT", "Maximum")
"""PS3.16 CID 7464."""
ML, MM = Code("ml", "UCUM", "milliliter"), Code("mm", "UCUM", "millimeter")
HOUNSFIELD = Code("[hnsf'U]", "UCUM", "Hounsfield unit")


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredLesion:
    """A lesion's region on its own slices, with what was measured of it."""

    region: Region
    measurements: tuple[Measurement, ...]
    volume_ml: Size
    diameters: Diameters
    """``slice_index`` counts in the whole volume."""


def measured_lesion(
    volume: Volume, mask: NDArray[np.bool_], *, label: str, type_: Code, tracking: TrackingId
) -> MeasuredLesion:
    """Measure a mask (slices, rows, columns) of a volume that has source images.

    Attenuation is given where the volume is in Hounsfield units; the intervals are those of the voxel grid alone.
    Raises InvalidRecord for an empty mask or one of another shape.
    """
    size, diameters = mask_volume(mask, volume.geometry), mask_diameters(mask, volume.geometry)
    filled = np.flatnonzero(mask.any(axis=(1, 2)))
    first, last = int(filled[0]), int(filled[-1]) + 1
    images = volume.references()[first:last]
    region = Region(label, ABNORMAL, type_, mask[first:last], images, tracking, _slices(volume.geometry, first, last))
    largest = (volume.references()[diameters.slice_index],)
    rows = [
        Measurement(VOLUME, size.value, ML, size.half_width, tracking=tracking, images=images),
        Measurement(
            LONG_AXIS, diameters.long_axis.value, MM, diameters.long_axis.half_width, tracking=tracking, images=largest
        ),
        Measurement(
            SHORT_AXIS, diameters.short_axis.value, MM, diameters.short_axis.half_width, tracking=tracking,
            images=largest,
        ),
    ]  # fmt: skip
    if volume.quantity is Quantity.HOUNSFIELD:
        found = mask_values(volume.voxels, mask)
        values = ((MEAN, found.mean), (DEVIATION, found.standard_deviation), (MEDIAN, found.median),
                  (LOWEST, found.minimum), (HIGHEST, found.maximum))  # fmt: skip
        rows += [
            Measurement(ATTENUATION, value, HOUNSFIELD, tracking=tracking, images=images, derivation=derivation)
            for derivation, value in values
        ]
    return MeasuredLesion(region, tuple(rows), size, diameters)


def _slices(geometry: Geometry, first: int, last: int) -> Geometry:
    matrix = geometry.matrix()
    matrix[:3, 3] += matrix[:3, 0] * first
    return Geometry((last - first, *geometry.shape[1:]), affine_of(matrix), geometry.frame_of_reference_uid)
