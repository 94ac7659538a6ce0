"""The proof of a segmentation: its frames, read back, are the masks, and lie where the source images lie.

Three ways to the same centroid, in the patient: the segmentation's own plane attributes, the source files'
plane attributes, the geometry that the reader was given. They agree within 0.1 mm or nothing leaves.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from coread.domain.findings import Region
from coread.evidence.prove_map import prove_fractional
from coread.evidence.seg import segments_of_frames, source_frame
from coread.evidence.writing import Writing

TOLERANCE_MM = 0.1
_Plane = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
"""Position of the first pixel's centre, step per column, step per row, LPS mm."""


def prove_segmentation(segmentation: Dataset, writing: Writing) -> list[str]:
    """Return every disagreement between a segmentation, the result's regions and the source images."""
    regions = {region.tracking.uid: region for region in writing.result.regions}
    kind = str(segmentation.SegmentationType)
    if kind == "FRACTIONAL":
        region = regions.get(str(segmentation.SegmentSequence[0].TrackingUID))
        return ["fractions of no region of the result"] if region is None else prove_fractional(segmentation, region)
    if kind != "BINARY":
        return [f"SegmentationType {kind}"]
    frames = _frames(segmentation)
    numbers = np.array(segments_of_frames(segmentation))
    problems: list[str] = []
    for segment in segmentation.SegmentSequence:
        region = regions.get(str(segment.TrackingUID))
        if region is None:
            problems.append(f"segment {segment.SegmentNumber} is no region of the result")
            continue
        chosen = [int(index) for index in np.flatnonzero(numbers == int(segment.SegmentNumber))]
        problems += _segment_problems(segmentation, frames, chosen, region, writing)
    return problems


def _segment_problems(
    segmentation: Dataset, frames: NDArray[np.bool_], chosen: list[int], region: Region, writing: Writing
) -> list[str]:
    planes = region.mask.reshape(len(region.images), *region.mask.shape[-2:])
    slice_of = {(image.sop_instance_uid, image.frame): k for k, image in enumerate(region.images)}
    seen: set[int] = set()
    sums = [_Centroid(), _Centroid()]
    for index in chosen:
        source = source_frame(segmentation, index)
        k = slice_of.get(source)
        if k is None and not frames[index].any():
            continue  # a frame of another region of the same object
        if k is None or not np.array_equal(frames[index], planes[k]):
            return [f"region {region.label!r}: frame {index + 1} is not the mask on its source image"]
        seen.add(k)
        if region.geometry is not None:
            sums[0].add(frames[index], _plane_of(segmentation, index))
            sums[1].add(planes[k], _source_plane(writing, region, k))
    lost = [k for k in range(len(planes)) if k not in seen and planes[k].any()]
    if lost:
        return [f"region {region.label!r}: {len(lost)} slices of the mask are not in the segmentation"]
    return _centroid_problems(region, planes, sums)


def _centroid_problems(region: Region, planes: NDArray[np.bool_], sums: "list[_Centroid]") -> list[str]:
    if region.geometry is None or not planes.any():
        return []
    stated = region.geometry.to_patient(_mean_index(planes)[None])[0]
    found, from_source = sums[0].value(), sums[1].value()
    apart = max(float(np.linalg.norm(stated - found)), float(np.linalg.norm(stated - from_source)))
    if apart > TOLERANCE_MM:
        return [f"region {region.label!r}: centroids are {apart:.2f} mm apart (segmentation, source, reader)"]
    return []


def _mean_index(planes: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the mean (slice, row, column) of the set voxels; the affine takes it to their mean position."""
    counts = [planes.sum(axis=axes) for axes in ((1, 2), (0, 2), (0, 1))]
    return np.array([float(np.arange(len(count)) @ count) / float(count.sum()) for count in counts])


class _Centroid:
    """A running mean of the positions of set pixels."""

    def __init__(self) -> None:
        self._sum = np.zeros(3)
        self._count = 0

    def add(self, mask: NDArray[np.bool_], plane: _Plane) -> None:
        in_rows, in_columns = mask.sum(axis=1), mask.sum(axis=0)
        position, per_column, per_row = plane
        count = int(in_rows.sum())
        columns, rows = float(np.arange(len(in_columns)) @ in_columns), float(np.arange(len(in_rows)) @ in_rows)
        self._sum += count * position + columns * per_column + rows * per_row
        self._count += count

    def value(self) -> NDArray[np.float64]:
        return np.asarray(self._sum / self._count, dtype=np.float64)


def _frames(segmentation: Dataset) -> NDArray[np.bool_]:
    """Unpack the bits of a binary segmentation (PS3.5 8.1.1: first pixel in the lowest bit)."""
    count, rows, columns = int(segmentation.NumberOfFrames), int(segmentation.Rows), int(segmentation.Columns)
    packed = np.frombuffer(segmentation.PixelData, dtype=np.uint8)
    bits = np.unpackbits(packed, bitorder="little", count=count * rows * columns)
    return bits.reshape(count, rows, columns).view(np.bool_)


def _plane_of(dataset: Dataset, index: int) -> _Plane:
    """Return the plane of one frame of a multi-frame object, from its functional groups."""
    shared = dataset.SharedFunctionalGroupsSequence[0]
    own = dataset.PerFrameFunctionalGroupsSequence[index]

    def group(keyword: str) -> Dataset:
        found: Dataset = (own if keyword in own else shared)[keyword].value[0]
        return found

    return _plane(
        group("PlanePositionSequence").ImagePositionPatient,
        group("PlaneOrientationSequence").ImageOrientationPatient,
        group("PixelMeasuresSequence").PixelSpacing,
    )


def _source_plane(writing: Writing, region: Region, k: int) -> _Plane:
    image = writing.image(region.images[k])
    if "PerFrameFunctionalGroupsSequence" in image.elements and "ImagePositionPatient" not in image.elements:
        return _plane_of(image.elements, region.images[k].frame - 1)
    elements = image.elements
    return _plane(elements.ImagePositionPatient, elements.ImageOrientationPatient, elements.PixelSpacing)


def _plane(position: Any, orientation: Any, spacing: Any) -> _Plane:
    """PS3.3 C.7.6.2.1.1, equation C.7.6.2.1-1; Pixel Spacing is row spacing, then column spacing."""
    first, cosines = np.array(position, dtype=float), np.array(orientation, dtype=float)
    return first, cosines[:3] * float(spacing[1]), cosines[3:] * float(spacing[0])
