"""Which regions share one segmentation object: all that lie on the planes of one series.

A viewer shows one object of a series at a time, so regions that can stand in one object do. The frames of the object
are the source images of all its regions, in order along the patient; a frame where a region is not is empty.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.findings import ImageReference, Region
from coread.evidence.writing import Writing

_SAME_DIRECTION = 3
"""Decimals to which in-plane steps (mm) have to agree."""


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """The source images of one segmentation object, in its order, and the regions on them."""

    images: tuple[ImageReference, ...]
    regions: tuple[Region, ...]

    def planes(self, region: Region, values: NDArray[Any] | None = None) -> NDArray[Any]:
        """Return the mask of a region, or values on its grid, on all frames: (frames, rows, columns)."""
        given = region.mask if values is None else values
        rows, columns = given.shape[-2:]
        laid = np.zeros((len(self.images), rows, columns), dtype=given.dtype)
        at = {image: number for number, image in enumerate(self.images)}
        slices = given.reshape(len(region.images), rows, columns)
        laid[[at[image] for image in region.images]] = slices
        return laid


def sheets_of(writing: Writing, regions: Sequence[Region]) -> list[Sheet]:
    """Put the regions on as few sheets as they fit on, in the order of the result."""
    groups: dict[object, list[list[Region]]] = {}
    for region in regions:
        alike = groups.setdefault(_key(region), [])
        fitting = next((members for members in alike if not _same_places(members[0], region)), None)
        if fitting is None:
            alike.append([region])
        else:
            fitting.append(region)
    return [Sheet(_images(writing, members), tuple(members)) for alike in groups.values() for members in alike]


def _same_places(one: Region, other: Region) -> bool:
    """Say whether other images lie where the region's images lie: phases of one stack, which need a sheet each."""
    if one.images == other.images or one.geometry is None or other.geometry is None:
        return False
    taken = dict(zip(np.round(_along_normal(one), 2), one.images, strict=True))
    mine = zip(np.round(_along_normal(other), 2), other.images, strict=True)
    return any(taken.get(place, image) != image for place, image in mine)


def _key(region: Region) -> object:
    """Regions of one key lie on planes of one series that are parallel and have the same pixels."""
    series = {image.series_instance_uid for image in region.images}
    if region.geometry is None or len(series) != 1 or len(set(region.images)) != len(region.images):
        return region.images
    steps = np.round(region.geometry.matrix()[:3, 1:3], _SAME_DIRECTION) + 0.0
    return (*series, region.geometry.frame_of_reference_uid, region.mask.shape[-2:], steps.tobytes())


def _images(writing: Writing, regions: Sequence[Region]) -> tuple[ImageReference, ...]:
    objects = {image.sop_instance_uid for region in regions for image in region.images}
    first = regions[0].images[0]
    if len(objects) == 1 and (frames := writing.image(first).frames) > 1:
        # Frames of one object keep its order, and all of them are there: a volume sorts its slices along the patient.
        return tuple(_frame(first, number) for number in range(1, frames + 1))
    if len(regions) == 1:
        return regions[0].images
    places: dict[ImageReference, float] = {}
    for region in regions:
        for image, place in zip(region.images, _along_normal(region), strict=True):
            places.setdefault(image, place)
    return tuple(sorted(places, key=lambda image: places[image]))


def _along_normal(region: Region) -> list[float]:
    if region.geometry is None:
        return [float(k) for k in range(len(region.images))]
    matrix = region.geometry.matrix()
    normal = np.cross(matrix[:3, 2], matrix[:3, 1])
    normal = normal / np.linalg.norm(normal)
    slices = np.arange(len(region.images))[:, np.newaxis] * np.array([[1.0, 0.0, 0.0]])
    return [float(value) for value in region.geometry.to_patient(slices) @ normal]


def _frame(image: ImageReference, number: int) -> ImageReference:
    return ImageReference(image.sop_class_uid, image.sop_instance_uid, image.series_instance_uid, number)
