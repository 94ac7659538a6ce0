"""From one reading to the DICOM objects that stand for it; nothing that failed its proof is handed out."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from coread.domain.cards import ReaderCard
from coread.domain.results import Outcome, Reading, ReadResult
from coread.domain.work import DEFAULT_KINDS, EncodedObject, EvidenceKind
from coread.evidence.derived_series import build_derived, with_derived
from coread.evidence.errors import NotBuilt
from coread.evidence.kos import build_kos
from coread.evidence.overlay import Overlays, build_overlays
from coread.evidence.parametric_map import build_maps
from coread.evidence.pdf import build_pdf
from coread.evidence.prove import prove_writing
from coread.evidence.revision import Revision
from coread.evidence.seg import Segmentations, build_segmentations
from coread.evidence.seg_fractional import build_fractional
from coread.evidence.sources import copied_header, read_sources
from coread.evidence.sr import build_sr, shows_marks
from coread.evidence.summary import build_summary, draw_summary
from coread.evidence.writing import Writing, part10


def build_evidence(
    reading: Reading,
    card: ReaderCard,
    sources: Sequence[Path],
    kinds: Collection[EvidenceKind] = DEFAULT_KINDS,
    revision: Revision | None = None,
) -> tuple[EncodedObject, ...]:
    """Write and prove all objects of a result; refusals and failures leave no object, so the answer is empty.

    The result of a triage reader leaves no segmentation and no image with outlines: viewers lay both over diagnostic
    images (21 CFR 892.2080). Its measurements stand in the report.
    ``kinds`` adds images with outlines (OVERLAY) and probabilities (PROBABILITY), which are made only where somebody
    takes them. ``revision`` says that a person has corrected the result: its objects follow those before.
    Raises EvidenceError (Failed): SourceUnreadable, NotBuilt, or NotProven when an object, read back, does
    not say what the result says.
    """
    if not isinstance(reading.ending, ReadResult):
        return ()
    images = read_sources(sources)
    writing = Writing(reading.ending, reading.provenance, card, images, copied_header(images), revision=revision)
    writing = with_derived(writing)
    try:
        objects = _written(writing, reading.outcome(), kinds)
    except (ValueError, TypeError, AttributeError, KeyError, IndexError) as problem:
        raise NotBuilt(f"the result of {card.reader_id} cannot be written as DICOM: {problem}") from problem
    proof = prove_writing(objects, writing)
    return tuple(replace(item, proof=proof) for item in objects)


def _written(writing: Writing, outcome: Outcome, kinds: Collection[EvidenceKind]) -> tuple[EncodedObject, ...]:
    marks = shows_marks(writing)
    segmentations = build_segmentations(writing) if marks else Segmentations((), (), ())
    overlays = build_overlays(writing) if EvidenceKind.OVERLAY in kinds else Overlays((), ())
    wanted = marks and EvidenceKind.PROBABILITY in kinds
    likely, unlikely = (
        build_fractional(writing, first_index=len(segmentations.datasets) + 1) if wanted else ((), ())
    )  # fmt: skip
    maps = build_maps(writing)
    computed = build_derived(writing)
    notes = (*computed.notes, *segmentations.notes, *unlikely, *maps.notes, *overlays.notes)
    writing = replace(writing, notes=notes)
    report = build_sr(writing, segmentations.places)
    page = draw_summary(writing)
    summary = build_summary(writing, page)
    datasets = [(EvidenceKind.SR, report)]
    datasets += [(EvidenceKind.DERIVED_IMAGES, dataset) for dataset in computed.datasets]
    datasets += [(EvidenceKind.SEG, dataset) for dataset in segmentations.datasets]
    datasets += [(EvidenceKind.PROBABILITY, dataset) for dataset in likely]
    datasets += [(EvidenceKind.PARAMETRIC_MAP, dataset) for dataset in maps.datasets]
    datasets.append((EvidenceKind.SECONDARY_CAPTURE, summary))
    datasets.append((EvidenceKind.PDF, build_pdf(writing, page)))
    datasets += [(EvidenceKind.OVERLAY, dataset) for dataset in overlays.datasets]
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
        **(_shown(dataset) if kind is EvidenceKind.DERIVED_IMAGES else {}),
    )


def _shown(dataset: Dataset) -> dict[str, Any]:
    """Return what an index has to know of an image that is leafed through with its series."""
    return {
        "series_description": str(dataset.SeriesDescription),
        "instance_number": int(dataset.InstanceNumber),
        "rows": int(dataset.Rows),
        "columns": int(dataset.Columns),
    }
