"""Regions as Segmentation objects (PS3.3 A.51), binary, on exactly the grid of their source images.

A projection image has no frame of reference: PS3.3 A.51.5 lets its segmentation go without one, and the
frame is then tied to the source by size and by reference. highdicom writes that for one source frame;
regions that span several frames without a frame of reference cannot be written and are named in a note.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from coread.domain.findings import Region
from coread.domain.work import EvidenceKind
from coread.evidence import concepts as c
from coread.evidence.document import evidence_item
from coread.evidence.seg_grid import Sheet, sheets_of
from coread.evidence.segments import SegmentPlace
from coread.evidence.sources import SourceImage
from coread.evidence.writing import MANUFACTURER, RESEARCH_USE, Writing, stamp

SOP_CLASS_UID = "1.2.840.10008.5.1.4.1.1.66.4"
FRAME_BUDGET = 400
"""Beyond it, empty frames are left out."""
MOST_FRAMES = 4000
"""More frames than this in one object stop viewers: regions go into further objects, or are not written."""
_MOST_STACKED = 1_000_000_000
"""Bytes of masks that are handed to the library at once."""
_CLASSIC = ("PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient", "SliceThickness")
_ENHANCED = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
_LOSSY = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")
_SPACE = ("FrameOfReferenceUID", "PositionReferenceIndicator", *_CLASSIC, *_ENHANCED)


@dataclass(frozen=True, slots=True, eq=False)
class Segmentations:
    """The objects, where each region stands in them, and why a region stands nowhere."""

    datasets: tuple[Dataset, ...]
    places: tuple[SegmentPlace, ...]
    notes: tuple[str, ...]


def build_segmentations(writing: Writing) -> Segmentations:
    """Write one object for each series and plane that regions lie on; regions on the same planes share it.

    A region that cannot be written is named in a note: without a common frame of reference, or with more frames
    than a viewer opens.
    """
    notes: list[str] = []
    writable: list[Region] = []
    for region in writing.result.regions:
        if region.geometry is None and len(region.images) > 1:
            notes.append(f"Region {region.label!r} spans frames without a common frame of reference: no segmentation")
        elif (frames := _frames_with(region)) > MOST_FRAMES:
            notes.append(f"Region {region.label!r} has {frames} frames, more than {MOST_FRAMES}: no segmentation")
        else:
            writable.append(region)
    datasets: list[Dataset] = []
    places: list[SegmentPlace] = []
    for index, sheet in enumerate(_within_budget(sheets_of(writing, writable)), start=1):
        dataset = _segmentation(writing, sheet, index)
        datasets.append(dataset)
        places.extend(_places(dataset, sheet))
    order = {region.tracking.uid: number for number, region in enumerate(writable)}
    places.sort(key=lambda place: order[place.region.tracking.uid])
    return Segmentations(tuple(datasets), tuple(places), tuple(notes))


def _frames_with(region: Region) -> int:
    return int(region.mask.reshape(len(region.images), -1).any(axis=1).sum())


def _within_budget(sheets: Sequence[Sheet]) -> Iterator[Sheet]:
    """Divide a sheet whose regions together have more frames than one object may, or more voxels than memory."""
    for sheet in sheets:
        part: list[Region] = []
        frames = 0
        voxels = len(sheet.images) * sheet.regions[0].mask.shape[-2] * sheet.regions[0].mask.shape[-1]
        for region in sheet.regions:
            more = _frames_with(region)
            if part and (frames + more > MOST_FRAMES or (len(part) + 1) * voxels > _MOST_STACKED):
                yield Sheet(sheet.images, tuple(part))
                part, frames = [], 0
            part.append(region)
            frames += more
        yield Sheet(sheet.images, tuple(part))


def _segmentation(writing: Writing, sheet: Sheet, index: int) -> Dataset:
    from highdicom.seg import Segmentation, SegmentationTypeValues

    first = sheet.regions[0]
    frames = len(sheet.images) * len(sheet.regions)
    segmentation: Dataset = Segmentation(
        source_images=source_datasets(writing, sheet),
        pixel_array=_pixels(sheet),
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=[description(writing, region, n) for n, region in enumerate(sheet.regions, start=1)],
        series_instance_uid=writing.series_uid(EvidenceKind.SEG, index),
        content_label="AI_SEGMENTATION",
        omit_empty_frames=frames > FRAME_BUDGET and len(sheet.images) > 1 and any(map(_frames_with, sheet.regions)),
        **object_attributes(writing, index),
    )
    finish(segmentation, writing, index)
    if first.geometry is None:
        segmentation.PatientOrientation = patient_orientation(writing.image(first.images[0]))
    return segmentation


def _pixels(sheet: Sheet) -> NDArray[Any]:
    """Return the segments as one map of numbers (frames, rows, columns) where none overlap, else stacked.

    The map takes one byte for each voxel, whatever the number of segments.
    """
    labels = np.zeros((len(sheet.images), *sheet.regions[0].mask.shape[-2:]), dtype=np.uint8)
    if len(sheet.regions) <= np.iinfo(np.uint8).max:
        for number, region in enumerate(sheet.regions, start=1):
            here = sheet.planes(region)
            if (labels[here] != 0).any():
                break
            labels[here] = number
        else:
            return labels
    return np.stack([sheet.planes(region) for region in sheet.regions], axis=-1)


def object_attributes(writing: Writing, index: int) -> dict[str, Any]:
    """Return the arguments that every segmentation is built with."""
    return {
        "series_number": writing.series_number(EvidenceKind.SEG),
        "sop_instance_uid": writing.sop_uid(EvidenceKind.SEG, index),
        "instance_number": index,
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": writing.model[:64],
        "software_versions": writing.provenance.coread_version,
        "device_serial_number": writing.provenance.package_digest[:16],
        "content_description": RESEARCH_USE,
    }


def finish(segmentation: Dataset, writing: Writing, index: int, what: str = "segmentation") -> None:
    """Stamp what every object carries; a second object gets a series of its own, since viewers show one of a series."""
    stamp(segmentation, writing, EvidenceKind.SEG, what=what, index=index)
    segmentation.SeriesInstanceUID = writing.series_uid(EvidenceKind.SEG, index)
    segmentation.CodingSchemeIdentificationSequence = c.coding_schemes()
    segmentation.ImageComments = RESEARCH_USE
    set_dimension_uid(segmentation, writing.uid("dimensions", str(index)))


def description(writing: Writing, region: Region, number: int) -> Any:
    """Return the segment description of a region: what it is, by what it was found, its tracking identifier."""
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.seg import SegmentAlgorithmTypeValues, SegmentDescription
    from pydicom.sr.codedict import codes

    by_hand = writing.revision is not None and region.tracking.uid in writing.revision.outlined
    return SegmentDescription(
        segment_number=number,
        segment_label=region.label[:64],
        segmented_property_category=concept_of(region.category),
        segmented_property_type=concept_of(region.type),
        algorithm_type=(SegmentAlgorithmTypeValues.SEMIAUTOMATIC if by_hand else SegmentAlgorithmTypeValues.AUTOMATIC),
        algorithm_identification=AlgorithmIdentificationSequence(
            name=writing.card.name[:64],
            version=writing.provenance.reader_version[:64],
            family=codes.cid7162.ArtificialIntelligence,
            source=MANUFACTURER,
        ),
        tracking_id=region.tracking.identifier,
        tracking_uid=region.tracking.uid,
    )


def source_datasets(writing: Writing, sheet: Sheet) -> list[Dataset]:
    """Return the few attributes of the source objects that the library needs, in the order of the sheet."""
    images: dict[str, SourceImage] = {}
    for reference in sheet.images:
        image = writing.image(reference)
        images.setdefault(image.header.sop_instance_uid, image)
    first = sheet.regions[0]
    placed = first.geometry is not None
    datasets = [source_dataset(writing, image, first.mask.shape[-2:], placed=placed) for image in images.values()]
    if first.geometry is not None and len({str(one.get("FrameOfReferenceUID", "")) for one in datasets}) > 1:
        # A de-identification gave each image its own; the volume was taken as being in one (imaging/series.py).
        for one in datasets:
            one.FrameOfReferenceUID = first.geometry.frame_of_reference_uid
    return datasets


def source_dataset(writing: Writing, image: SourceImage, shape: tuple[int, ...], *, placed: bool) -> Dataset:
    """Return the few attributes of one source object that the library needs; ``placed``: with its planes."""
    head = image.header
    dataset = evidence_item(writing, head.sop_class_uid, head.sop_instance_uid, head.series_instance_uid)
    dataset.Modality = head.modality
    dataset.Rows, dataset.Columns = shape
    dataset.InstanceNumber = head.instance_number or 1
    keywords = (*_LOSSY, *_SPACE) if placed else _LOSSY
    for keyword in keywords:
        if keyword in image.elements:
            dataset[keyword] = image.elements[keyword]
    if image.frames > 1:
        dataset.NumberOfFrames = image.frames
    return dataset


def patient_orientation(image: SourceImage) -> list[str] | None:
    """Return Patient Orientation of a projection image (type 2C, PS3.3 C.7.6.1), empty when it is unknown."""
    value = image.elements.get("PatientOrientation")
    letters = [str(part) for part in value] if isinstance(value, Sequence) and not isinstance(value, str) else []
    legal = len(letters) == 2 and all(0 < len(part) <= 3 and set(part) <= set("AFHLPR") for part in letters)
    return letters if legal else None


def set_dimension_uid(segmentation: Dataset, uid: str) -> None:
    """Replace the library's random UID: the same result must give the same bytes."""
    segmentation.DimensionOrganizationSequence[0].DimensionOrganizationUID = uid
    for item in segmentation.DimensionIndexSequence:
        item.DimensionOrganizationUID = uid


def _places(segmentation: Dataset, sheet: Sheet) -> list[SegmentPlace]:
    frames: dict[int, list[int]] = {number: [] for number in range(1, len(sheet.regions) + 1)}
    for index, number in enumerate(segments_of_frames(segmentation)):
        own = {(image.sop_instance_uid, image.frame) for image in sheet.regions[number - 1].images}
        if source_frame(segmentation, index) in own:
            frames[number].append(index + 1)
    uids = (str(segmentation.SOPInstanceUID), str(segmentation.SeriesInstanceUID))
    return [
        SegmentPlace(region, SOP_CLASS_UID, *uids, number, tuple(frames[number]))
        for number, region in enumerate(sheet.regions, start=1)
    ]


def source_frame(segmentation: Dataset, index: int) -> tuple[str, int]:
    """Return SOP Instance UID and frame number of the source image of one frame, counted from 0."""
    groups = segmentation.PerFrameFunctionalGroupsSequence[index]
    holder = groups if "DerivationImageSequence" in groups else segmentation.SharedFunctionalGroupsSequence[0]
    source = holder.DerivationImageSequence[0].SourceImageSequence[0]
    frame: Any = source.get("ReferencedFrameNumber", 1)
    return str(source.ReferencedSOPInstanceUID), int(frame if isinstance(frame, int | str) else frame[0])


def segments_of_frames(segmentation: Dataset) -> list[int]:
    """Return the segment number of each frame; with one segment it stands in the shared groups."""
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    numbers: list[int] = []
    for groups in segmentation.PerFrameFunctionalGroupsSequence:
        holder = groups if "SegmentIdentificationSequence" in groups else shared
        numbers.append(int(holder.SegmentIdentificationSequence[0].ReferencedSegmentNumber))
    return numbers


def concept_of(code: Any) -> Any:
    """Return a code in the library's own type."""
    from highdicom.sr import CodedConcept

    return CodedConcept(code.value, code.scheme, code.meaning)
