"""The proof: every object is parsed afresh and has to agree with the result and with the source images.

Identity, references, findings and measurements, geometry, burned-in flags. What the objects say is compared
with what the source files say, by code that had no part in writing them. One disagreement and nothing leaves.
"""

from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset

from coread.domain.cards import ReaderCard
from coread.domain.codec import encode
from coread.domain.findings import Box
from coread.domain.results import Reading, ReadResult
from coread.domain.work import EncodedObject, EvidenceKind
from coread.evidence.derived_series import with_derived
from coread.evidence.errors import NotProven
from coread.evidence.expected import expected_findings, expected_measurements
from coread.evidence.prove_derived import prove_derived, prove_whole_series
from coread.evidence.prove_map import prove_map
from coread.evidence.prove_overlay import prove_overlay
from coread.evidence.prove_page import prove_document
from coread.evidence.prove_seg import prove_segmentation
from coread.evidence.prove_side import wrong_side
from coread.evidence.sources import copied_header, read_sources
from coread.evidence.sr_outlines import prove_outlines
from coread.evidence.sr_reading import read_sr, referenced_objects, referenced_series
from coread.evidence.writing import Writing

_IDENTITY = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "ReferringPhysicianName",
)
_HAS_ATTRIBUTE: dict[EvidenceKind, tuple[tuple[str, str], ...]] = {
    EvidenceKind.SR: (("CompletionFlag", "COMPLETE"), ("VerificationFlag", "UNVERIFIED")),
    EvidenceKind.SEG: (),
    EvidenceKind.PROBABILITY: (("SegmentationType", "FRACTIONAL"),),
    EvidenceKind.PARAMETRIC_MAP: (("ContentLabel", "AI_MAP"),),
    EvidenceKind.DERIVED_IMAGES: (("Modality", "MR"), ("BurnedInAnnotation", "NO")),
    EvidenceKind.SECONDARY_CAPTURE: (("BurnedInAnnotation", "YES"), ("ConversionType", "WSD")),
    EvidenceKind.KEY_OBJECT: (),
    EvidenceKind.OVERLAY: (("BurnedInAnnotation", "YES"), ("PhotometricInterpretation", "RGB")),
    EvidenceKind.PDF: (("Modality", "DOC"), ("MIMETypeOfEncapsulatedDocument", "application/pdf")),
}
_CHECKED = "read back with pydicom: identity, references, findings, measurements, side, geometry, flags"

Objects = Sequence[tuple[EncodedObject, Dataset]]


def prove(objects: Sequence[EncodedObject], reading: Reading, card: ReaderCard, sources: Sequence[Path]) -> str:
    """Prove objects against the reading and its source files; return what was checked, in words.

    Raises NotProven with every disagreement that was found.
    """
    if not isinstance(reading.ending, ReadResult):
        if objects:
            raise NotProven("a refusal or a failure must not leave as an object")
        return "no result, no object"
    images = read_sources(sources)
    writing = Writing(reading.ending, reading.provenance, card, images, copied_header(images))
    return prove_writing(objects, with_derived(writing))


def prove_writing(objects: Sequence[EncodedObject], writing: Writing) -> str:
    """Prove objects against a result whose sources are already read."""
    parsed = [(item, dcmread(BytesIO(item.data))) for item in objects]
    problems: list[str] = []
    for item, dataset in parsed:
        problems += [f"{item.kind.value}: {line}" for line in _object_problems(item, dataset, writing)]
    for check in _CHECKS:
        problems += check(parsed, writing)
    if problems:
        raise NotProven("evidence does not say what the result says: " + "; ".join(problems))
    return _CHECKED


def _object_problems(item: EncodedObject, dataset: Dataset, writing: Writing) -> list[str]:
    problems: list[str] = []
    wanted = {keyword: writing.copied.value(keyword) for keyword in _IDENTITY}
    wanted |= {
        "StudyInstanceUID": writing.study_instance_uid,
        "SOPInstanceUID": item.sop_instance_uid,
        "SOPClassUID": item.sop_class_uid,
        "SeriesInstanceUID": item.series_instance_uid,
        "ContentQualification": "RESEARCH",
    }
    wanted |= dict(_HAS_ATTRIBUTE[item.kind])
    for keyword, value in wanted.items():
        found = _text(dataset, keyword)
        if found != value:
            problems.append(f"{keyword} is {found!r} and should be {value!r}")
    if item.sop_instance_uid in {image.header.sop_instance_uid for image in writing.images}:
        problems.append("its SOP Instance UID is that of a source image")
    if dataset.file_meta.MediaStorageSOPInstanceUID != dataset.SOPInstanceUID:
        problems.append("file meta information names another instance")
    return problems


def _text(dataset: Dataset, keyword: str) -> str:
    value: Any = dataset.get(keyword)
    return "" if value is None else str(value)


def _source_identity(parsed: Objects, writing: Writing) -> list[str]:
    """Compare with the bytes of the source file, not with what we decided to copy.

    Values of pure ASCII are compared as they stand; others depend on a character set that the source may
    state wrongly, and are compared (in ``_object_problems``) with the decoded header. Left-out illegal
    values have to be empty.
    """
    tags = [*_IDENTITY, "StudyInstanceUID"]
    source = dcmread(writing.images[0].path, stop_before_pixels=True, specific_tags=tags)
    problems: list[str] = []
    for keyword in ("StudyInstanceUID", *_IDENTITY):
        stored = _raw(source, keyword)
        if not stored.isascii() or (keyword in _IDENTITY and not writing.copied.value(keyword)):
            continue
        for item, dataset in parsed:
            if _raw(dataset, keyword) != stored:
                problems.append(f"{item.kind.value}: {keyword} is not that of the source file")
    return problems


def _raw(dataset: Dataset, keyword: str) -> bytes:
    value: Any = dataset.get_item(keyword).value if keyword in dataset else b""
    text = value if isinstance(value, bytes) else str(value or "").encode()
    return text.replace(b"\0", b"").strip()


def _references(parsed: Objects, writing: Writing) -> list[str]:
    known = {i.header.sop_instance_uid: (i.header.sop_class_uid, i.header.series_instance_uid) for i in writing.images}
    known |= {item.sop_instance_uid: (item.sop_class_uid, item.series_instance_uid) for item, _ in parsed}
    before = writing.revision.predecessor if writing.revision is not None else None
    if before is not None:
        known[before[1]] = (before[0], before[2])
    problems: list[str] = []
    for item, dataset in parsed:
        listed = referenced_series(dataset)
        for sop_class, uid in (*_all_references(dataset),):
            if known.get(uid, ("", ""))[0] != sop_class:
                problems.append(f"{item.kind.value} refers to {uid}, which is neither source nor sibling")
        for sop_class, uid in referenced_objects(dataset):
            if uid not in listed:
                problems.append(f"{item.kind.value} {sop_class} {uid} is missing in its evidence sequence")
        for uid, series in listed.items():
            if known.get(uid, ("", ""))[1] != series:
                problems.append(f"{item.kind.value} lists {uid} under another series")
    return problems


def _all_references(dataset: Dataset) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    # items() hands out raw elements: only sequences are decoded, which is most of the time saved here.
    for tag in [tag for tag, element in dataset.items() if element.VR == "SQ"]:
        for entry in dataset[tag].value:
            if "ReferencedSOPInstanceUID" in entry:
                found.append((str(entry.ReferencedSOPClassUID), str(entry.ReferencedSOPInstanceUID)))
            found += _all_references(entry)
    return found


def _report_content(parsed: Objects, writing: Writing) -> list[str]:
    reports = [dataset for item, dataset in parsed if item.kind is EvidenceKind.SR]
    if len(reports) != 1:
        return [f"{len(reports)} reports instead of one"]
    try:
        content = read_sr(reports[0])
    except NotProven as problem:
        return [str(problem)]
    regions = frozenset(_tracked_regions(parsed))
    pairs = (
        ("finding", content.findings, expected_findings(writing)),
        ("measurement", content.measurements, expected_measurements(writing, regions_written=regions)),
    )
    problems: list[str] = []
    for what, said, wanted in pairs:
        if len(said) != len(wanted):
            problems.append(f"the report says {len(said)} {what}s, the result {len(wanted)}")
        for number, (one, other) in enumerate(zip(said, wanted, strict=False), start=1):
            if encode(one).document != encode(other).document:
                problems.append(f"{what} {number} of the report differs from the result")
    return problems


def _tracked_regions(parsed: Objects) -> list[str]:
    return [
        str(segment.TrackingUID)
        for item, dataset in parsed
        if item.kind is EvidenceKind.SEG
        for segment in dataset.SegmentSequence
    ]


def _marks_inside(_: Objects, writing: Writing) -> list[str]:
    """A mark outside its image would be drawn over another anatomy or not at all."""
    problems: list[str] = []
    for finding in writing.result.findings:
        for place in finding.locations:
            header = writing.image(place.image).header
            right, bottom = (place.column_max, place.row_max) if isinstance(place, Box) else (place.column, place.row)
            if right > (header.columns or 0) or bottom > (header.rows or 0) or min(right, bottom) < 0:
                problems.append(f"a mark of {finding.key!r} lies outside its image")
    return problems


def _predecessor(parsed: Objects, writing: Writing) -> list[str]:
    """A corrected report names the report that it follows, and only a corrected one names any."""
    before = writing.revision.predecessor if writing.revision is not None else None
    wanted = [] if before is None else [before[1]]
    for item, dataset in parsed:
        if item.kind is EvidenceKind.SR:
            items = dataset.get("PredecessorDocumentsSequence", [])
            named = [uid for entry in items for _, uid in _all_references(entry)]
            if named != wanted:
                return [f"the report follows {named or 'no report'} and should follow {wanted or 'none'}"]
    return []


def _by_kind(parsed: Objects, writing: Writing) -> list[str]:
    """Return what is wrong with each object as its own kind wants it."""
    problems: list[str] = []
    for item, dataset in parsed:
        if (prove := _OF_KIND.get(item.kind)) is not None:
            problems += prove(dataset, writing)
    return problems


_OF_KIND: Mapping[EvidenceKind, Callable[[Dataset, Writing], list[str]]] = {
    EvidenceKind.SR: prove_outlines,
    EvidenceKind.PDF: prove_document,
    EvidenceKind.OVERLAY: prove_overlay,
    EvidenceKind.SEG: prove_segmentation,
    EvidenceKind.PROBABILITY: prove_segmentation,
    EvidenceKind.PARAMETRIC_MAP: prove_map,
    EvidenceKind.DERIVED_IMAGES: prove_derived,
}
_CHECKS: tuple[Callable[[Objects, Writing], list[str]], ...] = (
    _source_identity,
    _references,
    _report_content,
    _marks_inside,
    wrong_side,
    _predecessor,
    prove_whole_series,
    _by_kind,
)
