"""The part of a report that is not content: SR Document General and the evidence it stands on (PS3.3 C.17.2).

Written here and not by the library's constructor, which copies and checks the whole content tree twice;
the proof parses and checks what was written anyway.
"""

from collections.abc import Iterable
from typing import Any

from pydicom.dataset import Dataset

from coread.evidence.writing import Writing

_DATES = frozenset({"StudyDate", "StudyTime"})
Evidence = tuple[str, str, str]
"""SOP class, SOP instance and series of one object that a document refers to."""


def document_of(sop_class_uid: str, content: Any, writing: Writing, evidence: Iterable[Evidence]) -> Dataset:
    """Return an SR document with this root content item; series, patient and equipment are stamped on later."""
    document = Dataset()
    document.update(content)
    document.SOPClassUID = sop_class_uid
    document.Modality = "SR"
    document.CompletionFlag = "COMPLETE"
    document.VerificationFlag = "UNVERIFIED"
    document.PreliminaryFlag = "PRELIMINARY"
    document.PerformedProcedureCodeSequence = []
    document.ReferencedPerformedProcedureStepSequence = []
    document.CurrentRequestedProcedureEvidenceSequence = [_study_item(writing, evidence)]
    if writing.revision is not None and writing.revision.predecessor is not None:
        document.PredecessorDocumentsSequence = [_study_item(writing, [writing.revision.predecessor])]
    if writing.copied.value("AccessionNumber"):
        document.ReferencedRequestSequence = [request_item(writing)]
    return document


def request_item(writing: Writing) -> Dataset:
    """Return the Referenced Request item: the accession that this document answers (PS3.3 C.17.2)."""
    item = Dataset()
    item.StudyInstanceUID = writing.study_instance_uid
    item.ReferencedStudySequence = []
    item.AccessionNumber = writing.copied.value("AccessionNumber")
    item.PlacerOrderNumberImagingServiceRequest = None
    item.FillerOrderNumberImagingServiceRequest = None
    item.RequestedProcedureID = None
    item.RequestedProcedureDescription = None
    item.RequestedProcedureCodeSequence = []
    return item


def evidence_item(writing: Writing, sop_class_uid: str, sop_instance_uid: str, series_instance_uid: str) -> Dataset:
    """Return the few attributes by which the library's constructors refer to an object of the study.

    The identity is left empty here: it is stamped on every object at the end, from one place.
    """
    item = Dataset()
    for keyword, _ in writing.copied.attributes:
        setattr(item, keyword, None if keyword in _DATES else "")
    item.StudyInstanceUID = writing.study_instance_uid
    item.SeriesInstanceUID = series_instance_uid
    item.SOPInstanceUID = sop_instance_uid
    item.SOPClassUID = sop_class_uid
    item.SpecificCharacterSet = "ISO_IR 192"
    return item


def _study_item(writing: Writing, evidence: Iterable[Evidence]) -> Dataset:
    by_series: dict[str, list[Dataset]] = {}
    for sop_class_uid, sop_instance_uid, series_instance_uid in evidence:
        reference = Dataset()
        reference.ReferencedSOPClassUID = sop_class_uid
        reference.ReferencedSOPInstanceUID = sop_instance_uid
        by_series.setdefault(series_instance_uid, []).append(reference)
    study = Dataset()
    study.StudyInstanceUID = writing.study_instance_uid
    study.ReferencedSeriesSequence = [_series_item(uid, items) for uid, items in by_series.items()]
    return study


def _series_item(series_instance_uid: str, references: list[Dataset]) -> Dataset:
    item = Dataset()
    item.SeriesInstanceUID = series_instance_uid
    item.ReferencedSOPSequence = references
    return item
