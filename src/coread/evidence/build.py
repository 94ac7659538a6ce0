"""From one reading to the DICOM objects that stand for it; nothing that failed its proof is handed out."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pydicom.dataset import Dataset

from coread.domain.cards import ReaderCard
from coread.domain.results import Outcome, Reading, ReadResult
from coread.domain.work import EncodedObject, EvidenceKind
from coread.evidence.errors import NotBuilt
from coread.evidence.kos import build_kos
from coread.evidence.prove import prove_writing
from coread.evidence.seg import build_segmentations
from coread.evidence.sources import copied_header, read_sources
from coread.evidence.sr import build_sr
from coread.evidence.summary import build_summary
from coread.evidence.writing import Writing, part10


def build_evidence(reading: Reading, card: ReaderCard, sources: Sequence[Path]) -> tuple[EncodedObject, ...]:
    """Write and prove all objects of a result; refusals and failures leave no object, so the answer is empty.

    Raises EvidenceError (Failed): SourceUnreadable, NotBuilt, or NotProven when an object, read back, does
    not say what the result says.
    """
    if not isinstance(reading.ending, ReadResult):
        return ()
    images = read_sources(sources)
    writing = Writing(reading.ending, reading.provenance, card, images, copied_header(images))
    try:
        objects = _written(writing, reading.outcome())
    except (ValueError, TypeError, AttributeError, KeyError, IndexError) as problem:
        raise NotBuilt(f"the result of {card.reader_id} cannot be written as DICOM: {problem}") from problem
    proof = prove_writing(objects, writing)
    return tuple(replace(item, proof=proof) for item in objects)


def _written(writing: Writing, outcome: Outcome) -> tuple[EncodedObject, ...]:
    segmentations = build_segmentations(writing)
    writing = replace(writing, notes=segmentations.notes)
    report = build_sr(writing, segmentations.places)
    summary = build_summary(writing)
    datasets = [(EvidenceKind.SR, report)]
    datasets += [(EvidenceKind.SEG, dataset) for dataset in segmentations.datasets]
    datasets.append((EvidenceKind.SECONDARY_CAPTURE, summary))
    if outcome is Outcome.POSITIVE:
        datasets.append((EvidenceKind.KEY_OBJECT, build_kos(writing, [report, summary])))
    return tuple(_encoded(kind, dataset) for kind, dataset in datasets)


def _encoded(kind: EvidenceKind, dataset: Dataset) -> EncodedObject:
    return EncodedObject(
        kind=kind,
        sop_class_uid=str(dataset.SOPClassUID),
        sop_instance_uid=str(dataset.SOPInstanceUID),
        series_instance_uid=str(dataset.SeriesInstanceUID),
        data=part10(dataset),
        proof="",
    )
