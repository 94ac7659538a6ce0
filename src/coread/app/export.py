"""Results and their objects out of the store into a folder: one JSON document, one CSV table, DICOM files."""

import csv
import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from coread.app.errors import AppError
from coread.app.scope import front_readers
from coread.app.why import ReaderStory, Story, study_story
from coread.domain.results import ReadResult
from coread.store import Store, StudyQuery

PAGE = 500
NOTICE = "Research use only. Not a medical device. Holds patient data."


class ExportRefused(AppError):
    """The target folder is in use."""


@dataclass(frozen=True, slots=True)
class ResultRow:
    """One study and one reader, as a line of the table."""

    study_instance_uid: str
    accession_number: str
    reader_id: str
    reader_version: str
    outcome: str
    text: str
    in_scope: bool = True
    """False where the reader reads another kind of study and another reader has more to say."""


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """What was written."""

    studies: int
    objects: int
    images: int
    rows: tuple[ResultRow, ...]

    def document(self) -> dict[str, Any]:
        """Return the summary as plain JSON values."""
        return asdict(self)


def export_studies(store: Store, out: Path, identifiers: Sequence[str], *, images: bool) -> ExportSummary:
    """Write the named studies (accession number or UID), or all, below ``out``.

    ``out`` must be new or empty (ExportRefused otherwise): an export never mixes with an older one.
    """
    if out.exists() and any(out.iterdir()):
        raise ExportRefused(f"{out} is not empty; name a new folder")
    out.mkdir(parents=True, exist_ok=True)
    uids = identifiers or list(_all_studies(store))
    summaries = [_write_audited(store, uid, out, images=images) for uid in uids]
    rows = tuple(row for summary in summaries for row in summary.rows)
    write_table(out, rows)
    return ExportSummary(
        studies=len(summaries),
        objects=sum(summary.objects for summary in summaries),
        images=sum(summary.images for summary in summaries),
        rows=rows,
    )


def _write_audited(store: Store, identifier: str, out: Path, *, images: bool) -> ExportSummary:
    """Every study that leaves is a line of the audit trail, written first."""
    story = study_story(store, identifier)
    what = "results and images" if images else "results"
    store.audit("command line", "study.exported", story.study.study_instance_uid, detail=what)
    return write_story(store, story, out, images=images)


def write_story(store: Store, story: Story, out: Path, *, images: bool) -> ExportSummary:
    """Write one study's results and objects to a folder of its own; returns what was written."""
    uid = story.study.study_instance_uid
    folder = out / uid
    folder.mkdir(parents=True, exist_ok=True)
    objects = 0
    for reader in story.readers:
        for sent in reader.objects:
            name = f"{reader.reader_id}_{sent.evidence.kind.value}_{sent.evidence.sop_instance_uid[-12:]}.dcm"
            shutil.copyfile(store.path_of(sent.evidence.path), folder / name)
            objects += 1
    copied = _copy_images(store, uid, folder) if images else 0
    rows = tuple(result_row(story, reader) for reader in story.readers)
    document = {
        "notice": NOTICE,
        "study_instance_uid": uid,
        "readers": [reader_document(reader) for reader in story.readers],
        "corrections": [asdict(correction) for correction in store.corrections.of_study(uid)],
    }
    (folder / "results.json").write_text(json.dumps(document, indent=2, ensure_ascii=False, default=str) + "\n")
    return ExportSummary(1, objects, copied, rows)


def write_table(out: Path, rows: Iterable[ResultRow]) -> None:
    """Write results.csv: one line per study and reader."""
    with (out / "results.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(ResultRow.__dataclass_fields__)
        for row in rows:
            writer.writerow(_plain_cell(value) for value in asdict(row).values())


def result_row(story: Story, reader: ReaderStory) -> ResultRow:
    """Return one line of the table."""
    return ResultRow(
        study_instance_uid=story.study.study_instance_uid,
        accession_number=story.study.accession_number,
        reader_id=reader.reader_id,
        reader_version=reader.reader_version,
        outcome=reader.outcome.value if reader.outcome else "under way",
        text=reader.explanation,
        in_scope=reader not in front_readers(story)[1],
    )


def reader_document(reader: ReaderStory) -> dict[str, Any]:
    """Return one reader's result as plain JSON values, without arrays."""
    document: dict[str, Any] = {
        "reader_id": reader.reader_id,
        "reader_version": reader.reader_version,
        "outcome": reader.outcome.value if reader.outcome else None,
        "explanation": reader.explanation,
        "reason": reason.code.value if (reason := reader.reason()) is not None else None,
    }
    if reader.reading is not None:
        document["provenance"] = asdict(reader.reading.provenance)
        if isinstance(reader.reading.ending, ReadResult):
            document["findings"] = [
                {
                    "key": finding.key,
                    "concept": asdict(finding.concept),
                    "presence": finding.presence.value,
                    "probability": finding.probability,
                    "threshold": finding.threshold,
                    "operating_point": finding.operating_point,
                    "locations": [asdict(location) for location in finding.locations],
                }
                for finding in reader.reading.ending.findings
            ]
    return document


def _all_studies(store: Store) -> Iterable[str]:
    offset = 0
    while True:
        page = store.find_studies(StudyQuery(limit=PAGE, offset=offset)).items
        yield from (study.study_instance_uid for study in page)
        if len(page) < PAGE:
            return
        offset += PAGE


def _copy_images(store: Store, uid: str, folder: Path) -> int:
    study = store.study(uid, with_instances=True)
    if study is None:
        return 0
    target = folder / "images"
    target.mkdir(exist_ok=True)
    copied = 0
    for series in study.series:
        for instance in series.instances:
            if instance.origin.door != "own":
                shutil.copyfile(store.path_of(instance.path), target / f"{instance.header.sop_instance_uid}.dcm")
                copied += 1
    return copied


def _plain_cell(value: Any) -> str:
    """A cell that begins like a formula is quoted, so that a spreadsheet does not run it."""
    text = str(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text
