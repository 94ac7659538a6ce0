"""DICOM folders whose labels are objects themselves: segmentations (SEG) and outlines (RTSTRUCT); one row per slice."""

import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.study import InstanceHeader
from coread.imaging.decode import decode_frames
from coread.imaging.errors import ImagingRefused
from coread.train.adapters.contract import Adapter, Draft, ReadOptions
from coread.train.adapters.dicom_table import dicom_files, row_of_header
from coread.train.adapters.masks import Mask, box_of, from_polygons
from coread.train.datasets import Box, ImageRow
from coread.train.errors import CorruptImage, DataMissing, is_of_the_machine

if TYPE_CHECKING:
    from pydicom import Dataset

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
STRUCTURE_SET = "1.2.840.10008.5.1.4.1.1.481.3"
_NO_IMAGES = ("SR", "PR", "KO", "SEG", "RTSTRUCT", "RTPLAN", "RTDOSE", "REG", "RWV")
_ON_PLANE_MM = 0.5


def read_dicom_seg(source: Path, _options: ReadOptions) -> Iterator[Draft]:
    """Read every SEG and the images of the series that it refers to; masks hold segment numbers (later ones on top)."""
    headers = list(dicom_files(source))
    frames: dict[str, list[SegmentFrame]] = defaultdict(list)
    for path, header in headers:
        if header.sop_class_uid == SEGMENTATION:
            for uid, frame in segment_frames(source / path):
                frames[uid].append(frame)
    if not frames:
        raise DataMissing(f"{source} holds no segmentation (SEG) that names its images")
    classes = _classes(label for found in frames.values() for label in (frame.label for frame in found))
    for path, header in _images_of_series(headers, set(frames)):
        own = [frame for frame in frames.get(header.sop_instance_uid, []) if frame.area().any()]
        shape = (header.rows or 0, header.columns or 0)
        row = _row(path, header, [frame.label for frame in own], (), classes=classes)
        yield Draft(row, partial(segment_mask, tuple(own), classes, shape) if own else None)


@dataclass(frozen=True, slots=True)
class SegmentFrame:
    """One frame of a SEG: which segment it shows, and where the frame is."""

    label: str
    path: Path
    frame: int
    above: float = 0.0
    """Pixels above this belong to the segment: 0 for binary ones, half of the maximum for fractional ones."""

    def area(self) -> NDArray[np.bool_]:
        """Return which pixels belong to the segment, (rows, columns)."""
        try:
            return np.asarray(decode_frames(self.path, [self.frame])[0] > self.above)
        except ImagingRefused as refusal:
            raise CorruptImage(f"{self.path} frame {self.frame}: {refusal}") from refusal


def segment_frames(path: Path) -> Iterator[tuple[str, SegmentFrame]]:
    """Yield (SOP Instance UID of the source image, frame) for every frame that names its source (PS3.3 C.8.20)."""
    dataset = _read(path)
    names = {int(item.SegmentNumber): str(item.get("SegmentLabel", "") or item.SegmentNumber)
             for item in dataset.SegmentSequence}  # fmt: skip
    shared = next(iter(dataset.get("SharedFunctionalGroupsSequence") or []), dataset)
    fractional = str(dataset.get("SegmentationType", "BINARY")) == "FRACTIONAL"
    above = float(dataset.get("MaximumFractionalValue", 255)) / 2 if fractional else 0.0
    for number, groups in enumerate(dataset.PerFrameFunctionalGroupsSequence, start=1):
        identified = groups.get("SegmentIdentificationSequence") or shared.get("SegmentIdentificationSequence")
        label = names[int(identified[0].ReferencedSegmentNumber)]
        for derivation in groups.get("DerivationImageSequence", []):
            for image in derivation.get("SourceImageSequence", []):
                yield str(image.ReferencedSOPInstanceUID), SegmentFrame(label, path, number, above)


def segment_mask(frames: Sequence[SegmentFrame], classes: Mapping[str, int], shape: tuple[int, int]) -> Mask:
    """Draw the class numbers of all segments that show one image."""
    mask = np.zeros(shape, dtype=np.uint8)
    for frame in frames:
        area = frame.area()
        if area.shape != shape:
            raise CorruptImage(f"{frame.path} frame {frame.frame} is {area.shape}, its image {shape}")
        mask[area] = classes[frame.label]
    return mask


def read_rtstruct(source: Path, _options: ReadOptions) -> Iterator[Draft]:
    """Read every RTSTRUCT and the images of its series; outlines in millimetres are drawn on the plane they lie in."""
    headers = list(dicom_files(source))
    outlines: list[PlaneOutline] = []
    for path, header in headers:
        if header.sop_class_uid == STRUCTURE_SET:
            outlines += plane_outlines(source / path)
    if not outlines:
        raise DataMissing(f"{source} holds no structure set (RTSTRUCT) with planar outlines")
    classes = _classes(outline.label for outline in outlines)
    named = {outline.image for outline in outlines if outline.image}
    frames_of_reference = {outline.frame_of_reference for outline in outlines}
    images = _images_of_series(headers, named) if named else _images_of_frames(headers, frames_of_reference)
    for path, header in images:
        plane = _Plane.of(header, source / path)
        own = [(outline.label, plane.pixels(outline)) for outline in outlines if plane.holds(outline)]
        shape = (header.rows or 0, header.columns or 0)
        row = _row(path, header, [label for label, _ in own], own, classes=classes)
        yield Draft(row, partial(outline_mask, tuple(own), classes, shape) if own else None)


@dataclass(frozen=True, slots=True)
class PlaneOutline:
    """A closed planar contour (PS3.3 C.8.8.6): ``points`` (N, 3) millimetres in patient coordinates."""

    label: str
    image: str
    frame_of_reference: str
    points: NDArray[np.float64]


def plane_outlines(path: Path) -> list[PlaneOutline]:
    """Return all closed planar contours of a structure set with the names of their regions."""
    dataset = _read(path)
    regions = {int(item.ROINumber): (str(item.get("ROIName", "")), str(item.get("ReferencedFrameOfReferenceUID", "")))
               for item in dataset.StructureSetROISequence}  # fmt: skip
    found = []
    for region in dataset.get("ROIContourSequence", []):
        label, frame_of_reference = regions[int(region.ReferencedROINumber)]
        for contour in region.get("ContourSequence", []):
            if str(contour.get("ContourGeometricType", "")) != "CLOSED_PLANAR":
                continue
            images = contour.get("ContourImageSequence") or [{}]
            image = str(images[0].get("ReferencedSOPInstanceUID", ""))
            points = np.array([float(value) for value in contour.ContourData]).reshape(-1, 3)
            found.append(PlaneOutline(label, image, frame_of_reference, points))
    return found


@dataclass(frozen=True, slots=True)
class _Plane:
    """Where an image lies: pixel (row, column) = ``to_pixels`` @ (point - origin)."""

    uid: str
    origin: NDArray[np.float64]
    along_columns: NDArray[np.float64]
    along_rows: NDArray[np.float64]
    spacing_mm: tuple[float, float]

    @classmethod
    def of(cls, header: InstanceHeader, path: Path) -> "_Plane":
        if len(header.image_position_patient) != 3 or len(header.image_orientation_patient) != 6:
            raise CorruptImage(f"{path} does not say where it lies (Image Position and Orientation)")
        orientation = np.array(header.image_orientation_patient)
        spacing = _read(path, pixels=False).get("PixelSpacing")
        if spacing is None:
            raise CorruptImage(f"{path} has no Pixel Spacing")
        return cls(
            header.sop_instance_uid,
            np.array(header.image_position_patient),
            orientation[:3],
            orientation[3:],
            (float(spacing[0]), float(spacing[1])),
        )

    def holds(self, outline: PlaneOutline) -> bool:
        """Say whether the outline was drawn on this image: by name, else by distance."""
        if outline.image:
            return outline.image == self.uid
        normal = np.cross(self.along_columns, self.along_rows)
        return bool(np.abs((outline.points - self.origin) @ normal).max() <= _ON_PLANE_MM)

    def pixels(self, outline: PlaneOutline) -> tuple[tuple[float, float], ...]:
        """Return the outline as (column, row) of pixel centres."""
        relative = outline.points - self.origin
        columns = relative @ self.along_columns / self.spacing_mm[1]
        rows = relative @ self.along_rows / self.spacing_mm[0]
        return tuple((float(x), float(y)) for x, y in zip(columns, rows, strict=True))


def outline_mask(
    outlines: Sequence[tuple[str, Sequence[tuple[float, float]]]], classes: Mapping[str, int], shape: tuple[int, int]
) -> Mask:
    """Draw class numbers; an outline inside another of the same region cuts a hole (XOR, as the standard says)."""
    mask = np.zeros(shape, dtype=np.uint8)
    for label in dict.fromkeys(label for label, _ in outlines):
        area = np.zeros(shape, dtype=bool)
        for points in (points for name, points in outlines if name == label):
            area ^= from_polygons([points], *shape) > 0
        mask[area] = classes[label]
    return mask


def _row(
    path: str, header: InstanceHeader, labels: Sequence[str], outlines: Sequence[tuple[str, Any]], *,
    classes: Mapping[str, int],
) -> ImageRow:  # fmt: skip
    return replace(
        row_of_header(path, header),
        labels={name: float(name in labels) for name in classes},
        label_source="segmentation",
        boxes=tuple(Box(label, *box_of(points)) for label, points in outlines),
        covariates={"classes": {str(number): name for name, number in classes.items()}},
    )


def _images_of_series(
    headers: Sequence[tuple[str, InstanceHeader]], uids: set[str]
) -> Iterator[tuple[str, InstanceHeader]]:
    """Yield all images of the series that hold the named ones: a slice without a region is a negative."""
    series = {header.series_instance_uid for _, header in headers if header.sop_instance_uid in uids}
    if not series:
        raise DataMissing(f"none of the {len(uids)} images that the regions refer to is here")
    for path, header in headers:
        if header.series_instance_uid in series and header.modality not in _NO_IMAGES:
            yield path, header


def _images_of_frames(
    headers: Sequence[tuple[str, InstanceHeader]], frames: set[str]
) -> Iterator[tuple[str, InstanceHeader]]:
    for path, header in headers:
        if header.frame_of_reference_uid in frames and header.modality not in _NO_IMAGES:
            yield path, header


def _classes(labels: Iterator[str] | Any) -> dict[str, int]:
    return {name: number for number, name in enumerate(sorted(set(labels)), start=1)}


def _read(path: Path, *, pixels: bool = False) -> "Dataset":
    from pydicom import dcmread

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd values are judged where they are used
            return dcmread(path, stop_before_pixels=not pixels)
    except Exception as problem:
        if is_of_the_machine(problem):
            raise
        raise CorruptImage(f"{path} cannot be read: {type(problem).__name__}: {problem}") from problem


DICOM_SEG = Adapter(
    title="Any DICOM folder with segmentations (SEG)",
    licence="as your source states",
    citation="",
    read=read_dicom_seg,
    layout="*.dcm anywhere below, SEG objects among them",
)
RTSTRUCT = Adapter(
    title="Any DICOM folder with radiotherapy structure sets (RTSTRUCT)",
    licence="as your source states",
    citation="",
    read=read_rtstruct,
    layout="*.dcm anywhere below, RTSTRUCT objects among them",
)
