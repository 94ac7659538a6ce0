"""Regions as Segmentation objects (PS3.3 A.51), binary, on exactly the grid of their source images.

A projection image has no frame of reference: PS3.3 A.51.5 lets its segmentation go without one, and the
frame is then tied to the source by size and by reference. highdicom writes that for one source frame;
regions that span several frames without a frame of reference cannot be written and are named in a note.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from coread.domain.findings import ImageReference, Region
from coread.domain.work import EvidenceKind
from coread.evidence import concepts as c
from coread.evidence.document import evidence_item
from coread.evidence.segments import SegmentPlace
from coread.evidence.sources import SourceImage
from coread.evidence.writing import MANUFACTURER, RESEARCH_USE, Writing, stamp

SOP_CLASS_UID = "1.2.840.10008.5.1.4.1.1.66.4"
FRAME_BUDGET = 400
"""More frames than this in one object stop viewers; beyond it, empty frames are left out."""
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
    """Write one object for each set of source frames; regions on the same frames share it."""
    groups: dict[tuple[ImageReference, ...], list[Region]] = {}
    notes: list[str] = []
    for region in writing.result.regions:
        if region.geometry is None and len(region.images) > 1:
            notes.append(f"Region {region.label!r} spans frames without a common frame of reference: no segmentation")
        else:
            groups.setdefault(region.images, []).append(region)
    datasets: list[Dataset] = []
    places: list[SegmentPlace] = []
    for index, regions in enumerate(groups.values(), start=1):
        dataset = _segmentation(writing, regions, index)
        datasets.append(dataset)
        places.extend(_places(dataset, regions))
    return Segmentations(tuple(datasets), tuple(places), tuple(notes))


def _segmentation(writing: Writing, regions: Sequence[Region], index: int) -> Dataset:
    from highdicom.seg import Segmentation, SegmentationTypeValues

    frames = len(regions[0].images) * len(regions)
    segmentation: Dataset = Segmentation(
        source_images=_source_datasets(writing, regions[0]),
        pixel_array=_stack(regions),
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=[_description(writing, region, n) for n, region in enumerate(regions, start=1)],
        series_instance_uid=writing.series_uid(EvidenceKind.SEG),
        series_number=writing.series_number(EvidenceKind.SEG),
        sop_instance_uid=writing.sop_uid(EvidenceKind.SEG, index),
        instance_number=index,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=writing.model[:64],
        software_versions=writing.provenance.coread_version,
        device_serial_number=writing.provenance.package_digest[:16],
        content_label="AI_SEGMENTATION",
        content_description=RESEARCH_USE,
        omit_empty_frames=frames > FRAME_BUDGET and len(regions[0].images) > 1,
    )
    stamp(segmentation, writing, EvidenceKind.SEG, what="segmentation", index=index)
    segmentation.CodingSchemeIdentificationSequence = c.coding_schemes()
    segmentation.ImageComments = RESEARCH_USE
    if regions[0].geometry is None:
        segmentation.PatientOrientation = _patient_orientation(writing.image(regions[0].images[0]))
    _set_dimension_uid(segmentation, writing.uid("dimensions", str(index)))
    return segmentation


def _stack(regions: Sequence[Region]) -> NDArray[np.bool_]:
    """Return (frames, rows, columns, segments); every mask keeps its own segment, overlap is allowed."""
    order = _written_order(regions[0].images)
    slices = [region.mask.reshape(len(region.images), *region.mask.shape[-2:])[order] for region in regions]
    return np.stack(slices, axis=-1)


def _written_order(images: Sequence[ImageReference]) -> list[int]:
    """Return the slices as they are written: frames of one object in the order of the object, others as they are.

    A volume has its slices sorted along the patient; the frames of its source may go the other way.
    """
    if len({image.sop_instance_uid for image in images}) > 1:
        return list(range(len(images)))
    return sorted(range(len(images)), key=lambda k: images[k].frame)


def _description(writing: Writing, region: Region, number: int) -> Any:
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.seg import SegmentAlgorithmTypeValues, SegmentDescription
    from pydicom.sr.codedict import codes

    return SegmentDescription(
        segment_number=number,
        segment_label=region.label[:64],
        segmented_property_category=_concept(region.category),
        segmented_property_type=_concept(region.type),
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=AlgorithmIdentificationSequence(
            name=writing.card.name[:64],
            version=writing.provenance.reader_version[:64],
            family=codes.cid7162.ArtificialIntelligence,
            source=MANUFACTURER,
        ),
        tracking_id=region.tracking.identifier,
        tracking_uid=region.tracking.uid,
    )


def _source_datasets(writing: Writing, region: Region) -> list[Dataset]:
    images: dict[str, SourceImage] = {}
    for reference in region.images:
        image = writing.image(reference)
        images.setdefault(image.header.sop_instance_uid, image)
    return [_source_dataset(writing, image, region) for image in images.values()]


def _source_dataset(writing: Writing, image: SourceImage, region: Region) -> Dataset:
    head = image.header
    dataset = evidence_item(writing, head.sop_class_uid, head.sop_instance_uid, head.series_instance_uid)
    dataset.Modality = head.modality
    dataset.Rows, dataset.Columns = region.mask.shape[-2:]
    dataset.InstanceNumber = head.instance_number or 1
    keywords = (*_LOSSY, *_SPACE) if region.geometry is not None else _LOSSY
    for keyword in keywords:
        if keyword in image.elements:
            dataset[keyword] = image.elements[keyword]
    if image.frames > 1:
        dataset.NumberOfFrames = image.frames
    return dataset


def _patient_orientation(image: SourceImage) -> list[str] | None:
    """Return Patient Orientation of a projection image (type 2C, PS3.3 C.7.6.1), empty when it is unknown."""
    value = image.elements.get("PatientOrientation")
    letters = [str(part) for part in value] if isinstance(value, Sequence) and not isinstance(value, str) else []
    legal = len(letters) == 2 and all(0 < len(part) <= 3 and set(part) <= set("AFHLPR") for part in letters)
    return letters if legal else None


def _set_dimension_uid(segmentation: Dataset, uid: str) -> None:
    """Replace the library's random UID: the same result must give the same bytes."""
    segmentation.DimensionOrganizationSequence[0].DimensionOrganizationUID = uid
    for item in segmentation.DimensionIndexSequence:
        item.DimensionOrganizationUID = uid


def _places(segmentation: Dataset, regions: Sequence[Region]) -> list[SegmentPlace]:
    frames: dict[int, list[int]] = {number: [] for number in range(1, len(regions) + 1)}
    for frame, number in enumerate(segments_of_frames(segmentation), start=1):
        frames[number].append(frame)
    return [
        SegmentPlace(region, SOP_CLASS_UID, str(segmentation.SOPInstanceUID), number, tuple(frames[number]))
        for number, region in enumerate(regions, start=1)
    ]


def segments_of_frames(segmentation: Dataset) -> list[int]:
    """Return the segment number of each frame; with one segment it stands in the shared groups."""
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    numbers: list[int] = []
    for groups in segmentation.PerFrameFunctionalGroupsSequence:
        holder = groups if "SegmentIdentificationSequence" in groups else shared
        numbers.append(int(holder.SegmentIdentificationSequence[0].ReferencedSegmentNumber))
    return numbers


def _concept(code: Any) -> Any:
    from highdicom.sr import CodedConcept

    return CodedConcept(code.value, code.scheme, code.meaning)
