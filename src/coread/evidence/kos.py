"""A Key Object Selection (PS3.3 A.35.4, PS3.16 TID 2010): the images with something on them, and our report."""

from collections.abc import Sequence

from pydicom.dataset import Dataset

from coread.domain.findings import Presence
from coread.domain.work import EvidenceKind
from coread.evidence import concepts as c
from coread.evidence.document import evidence_item, request_item
from coread.evidence.writing import MANUFACTURER, RESEARCH_USE, Writing, stamp

SOP_CLASS_UID = "1.2.840.10008.5.1.4.1.1.88.59"


def build_kos(writing: Writing, siblings: Sequence[Dataset]) -> Dataset:
    """Write the selection; ``siblings`` are our own objects (report, summary page) that belong to it."""
    from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
    from pydicom.sr.codedict import codes

    word = "Noted" if writing.card.kind.notes_images else "Suspected"
    positive = positive_images(writing)
    shown = (*writing.images, *writing.derived)
    heads = [image.header for image in shown if image.header.sop_instance_uid in positive]
    objects = [evidence_item(writing, h.sop_class_uid, h.sop_instance_uid, h.series_instance_uid) for h in heads]
    objects += [evidence_item(writing, s.SOPClassUID, s.SOPInstanceUID, s.SeriesInstanceUID) for s in siblings]
    document = KeyObjectSelectionDocument(
        evidence=objects,
        content=KeyObjectSelection(
            document_title=codes.DCM.OfInterest,
            referenced_objects=objects,
            description=f"{word} by {writing.model}. {RESEARCH_USE}",
        ),
        series_instance_uid=writing.series_uid(EvidenceKind.KEY_OBJECT),
        series_number=writing.series_number(EvidenceKind.KEY_OBJECT),
        sop_instance_uid=writing.sop_uid(EvidenceKind.KEY_OBJECT),
        instance_number=1,
        manufacturer=MANUFACTURER,
    )
    stamp(document, writing, EvidenceKind.KEY_OBJECT, what="key images")
    document.CodingSchemeIdentificationSequence = c.coding_schemes()
    if writing.copied.value("AccessionNumber"):
        document.ReferencedRequestSequence = [request_item(writing)]
    return document


def positive_images(writing: Writing) -> set[str]:
    """Return the SOP Instance UIDs of the images that carry a present finding; all images when none is named."""
    named: set[str] = set()
    for finding in writing.result.findings:
        if finding.presence is Presence.PRESENT:
            places = (*finding.images, *(location.image for location in finding.locations))
            named |= {image.sop_instance_uid for image in places}
    return named or {image.header.sop_instance_uid for image in writing.pictured}
