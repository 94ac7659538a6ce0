"""From one reading to the DICOM objects that stand for it. Only results become objects: see LESSONS in README."""

from collections.abc import Sequence
from pathlib import Path

from pydicom.dataset import Dataset

from coread.domain.cards import ReaderCard
from coread.domain.results import Outcome, Reading, ReadResult
from coread.domain.work import EncodedObject, EvidenceKind
from coread.evidence.kos import build_kos
from coread.evidence.sources import copied_header, read_sources
from coread.evidence.sr import build_sr
from coread.evidence.summary import build_summary
from coread.evidence.writing import Writing, part10


def build_evidence(reading: Reading, card: ReaderCard, sources: Sequence[Path]) -> tuple[EncodedObject, ...]:
    """Write all objects of a result; refusals and failures leave no object, so the answer is empty.

    Raises EvidenceError (Failed) when no legal object can be written.
    """
    if not isinstance(reading.ending, ReadResult):
        return ()
    images = read_sources(sources)
    writing = Writing(reading.ending, reading.provenance, card, images, copied_header(images))
    report = build_sr(writing)
    summary = build_summary(writing)
    datasets = [(EvidenceKind.SR, report), (EvidenceKind.SECONDARY_CAPTURE, summary)]
    if reading.outcome() is Outcome.POSITIVE:
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
