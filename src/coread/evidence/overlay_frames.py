"""Where each frame of a derived multi-frame object comes from and lies: functional groups copied from the source."""

from collections.abc import Sequence
from typing import Any

from pydicom.dataset import Dataset

from coread.domain.codes import Code
from coread.evidence.concepts import code_item
from coread.evidence.sources import SourceImage

_PURPOSE = Code("121322", "DCM", "Source image for image processing operation")
_DERIVATION = Code("113076", "DCM", "Segmentation")
_STACK_ID, _IN_STACK = 0x00209056, 0x00209057
_FRAME_CONTENT = 0x00209111
_PER_FRAME = 0x52009230


def add_frame_groups(dataset: Dataset, sources: Sequence[tuple[SourceImage, int]], dimension_uid: str) -> None:
    """Write functional groups and dimensions for frames that copy these source frames (number from 1), in order.

    Frames of a source without planes (a projection) refer to their source and have no place in the patient.
    """
    planes = [plane_of(image, frame) for image, frame in sources]
    placed = all(plane is not None for plane in planes)
    dataset.SharedFunctionalGroupsSequence = [Dataset()]
    dataset.PerFrameFunctionalGroupsSequence = []
    for number, ((image, frame), plane) in enumerate(zip(sources, planes, strict=True), start=1):
        groups = Dataset()
        content = Dataset()
        content.StackID, content.InStackPositionNumber = "1", number
        content.DimensionIndexValues = [1, number]
        groups.FrameContentSequence = [content]
        groups.DerivationImageSequence = [_derivation(image, frame)]
        if placed and plane is not None:
            groups.update(plane)
        dataset.PerFrameFunctionalGroupsSequence.append(groups)
    if placed:
        for keyword in ("FrameOfReferenceUID", "PositionReferenceIndicator"):
            dataset[keyword] = sources[0][0].elements[keyword] if keyword in sources[0][0].elements else _empty(keyword)
    organisation = Dataset()
    organisation.DimensionOrganizationUID = dimension_uid
    dataset.DimensionOrganizationSequence = [organisation]
    dataset.DimensionIndexSequence = [_index(_STACK_ID, dimension_uid), _index(_IN_STACK, dimension_uid)]
    if len(sources) > 1:
        dataset.FrameIncrementPointer = _PER_FRAME


def plane_of(image: SourceImage, frame: int) -> Dataset | None:
    """Return plane position, orientation and pixel measures of one source frame; ``None`` where it has none."""
    elements = image.elements
    if "PerFrameFunctionalGroupsSequence" in elements:
        own = elements.PerFrameFunctionalGroupsSequence[frame - 1]
        shared = elements.SharedFunctionalGroupsSequence[0]
        plane = Dataset()
        for keyword in ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence"):
            holder = own if keyword in own else shared
            if keyword not in holder:
                return None
            plane[keyword] = holder[keyword]
        return plane
    wanted = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
    if "FrameOfReferenceUID" not in elements or any(not elements.get(keyword) for keyword in wanted):
        return None
    position, orientation, measures, plane = Dataset(), Dataset(), Dataset(), Dataset()
    position.ImagePositionPatient = elements.ImagePositionPatient
    orientation.ImageOrientationPatient = elements.ImageOrientationPatient
    measures.PixelSpacing = elements.PixelSpacing
    if elements.get("SliceThickness") is not None:
        measures.SliceThickness = elements.SliceThickness
    plane.PlanePositionSequence, plane.PlaneOrientationSequence = [position], [orientation]
    plane.PixelMeasuresSequence = [measures]
    return plane


def _derivation(image: SourceImage, frame: int) -> Dataset:
    source = Dataset()
    source.ReferencedSOPClassUID = image.header.sop_class_uid
    source.ReferencedSOPInstanceUID = image.header.sop_instance_uid
    if image.frames > 1:
        source.ReferencedFrameNumber = frame
    source.PurposeOfReferenceCodeSequence = [code_item(_PURPOSE)]
    item = Dataset()
    item.DerivationDescription = "Source frame with outlines burnt in"
    item.DerivationCodeSequence = [code_item(_DERIVATION)]
    item.SourceImageSequence = [source]
    return item


def _index(pointer: int, uid: str) -> Dataset:
    item = Dataset()
    item.DimensionIndexPointer, item.FunctionalGroupPointer = pointer, _FRAME_CONTENT
    item.DimensionOrganizationUID = uid
    return item


def _empty(keyword: str) -> Any:
    holder = Dataset()
    setattr(holder, keyword, None)
    return holder[keyword]
