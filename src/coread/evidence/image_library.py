"""The images that were read, listed in the report (PS3.16 TID 1600), with what their headers say of them."""

from collections.abc import Sequence
from typing import Any

from coread.domain.codes import Code
from coread.evidence.concepts import SOURCE
from coread.evidence.sources import SourceImage

_MODALITY = Code("121139", "DCM", "Modality")
_ROWS = Code("110910", "DCM", "Pixel Data Rows")
_COLUMNS = Code("110911", "DCM", "Pixel Data Columns")
_PIXELS = Code("{pixels}", "UCUM", "Pixels")
_MODALITIES: dict[str, str] = {
    "CR": "Computed Radiography",
    "DX": "Digital Radiography",
    "CT": "Computed Tomography",
    "MR": "Magnetic Resonance",
    "MG": "Mammography",
    "US": "Ultrasound",
    "PT": "Positron emission tomography",
    "XA": "X-Ray Angiography",
    "OT": "Other Modality",
}


def image_library(images: Sequence[SourceImage]) -> Any:
    """Return the Image Library container with one entry for each source image."""
    from highdicom.sr import ContentSequence

    library = _container(Code("111028", "DCM", "Image Library"))
    group = _container(Code("126200", "DCM", "Image Library Group"))
    group.ContentSequence = ContentSequence([_entry(image) for image in images])
    library.ContentSequence = ContentSequence([group])
    return library


def _entry(image: SourceImage) -> Any:
    from highdicom.sr import (
        CodeContentItem,
        ContentSequence,
        ImageContentItem,
        NumContentItem,
        RelationshipTypeValues,
    )

    header = image.header
    entry = ImageContentItem(
        _concept(SOURCE),
        header.sop_class_uid,
        header.sop_instance_uid,
        relationship_type=RelationshipTypeValues.CONTAINS,
    )
    context = RelationshipTypeValues.HAS_ACQ_CONTEXT
    items: list[Any] = []
    if header.modality in _MODALITIES:
        modality = Code(header.modality, "DCM", _MODALITIES[header.modality])
        items.append(CodeContentItem(_concept(_MODALITY), _concept(modality), context))
    for name, number in ((_ROWS, header.rows), (_COLUMNS, header.columns)):
        if number:
            items.append(NumContentItem(_concept(name), number, _concept(_PIXELS), relationship_type=context))
    if items:
        entry.ContentSequence = ContentSequence(items)
    return entry


def _container(name: Code) -> Any:
    from highdicom.sr import ContainerContentItem, RelationshipTypeValues

    return ContainerContentItem(_concept(name), relationship_type=RelationshipTypeValues.CONTAINS)


def _concept(code: Code) -> Any:
    from highdicom.sr import CodedConcept

    return CodedConcept(code.value, code.scheme, code.meaning)
