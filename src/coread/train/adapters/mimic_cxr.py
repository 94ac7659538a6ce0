"""MIMIC-CXR (DICOM) and MIMIC-CXR-JPG (PhysioNet): metadata, CheXpert labels, official split and reports."""

import zipfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from coread.train.adapters.chexpert import FINDINGS, stated_labels
from coread.train.adapters.contract import Adapter, Draft, ReadOptions
from coread.train.adapters.dicom_table import iso_date
from coread.train.adapters.files import first_file, optional_file
from coread.train.adapters.tables import TableRow, read_table
from coread.train.datasets import ImageRow
from coread.train.errors import BadTable

_VERSIONS = ("2.0.0", "2.1.0")


def _names(table: str) -> tuple[str, ...]:
    return tuple(f"mimic-cxr-{version}-{table}.csv{end}" for version in _VERSIONS for end in (".gz", ""))


def read_mimic_cxr(source: Path, _options: ReadOptions) -> Iterator[Draft]:
    """Join the tables by study and image; reports are read where they are present, unpacked or not."""
    metadata = first_file(source, *_names("metadata"))
    labeler, studies = _studies(source)
    splits = _splits(source)
    base = metadata.parent.relative_to(source).as_posix()
    with closing(_Reports(source, metadata.parent)) as reports:
        for row in read_table(metadata, ("dicom_id", "subject_id", "study_id", "ViewPosition")):
            study, split = studies.get(row.needed("study_id")), splits.get(row.needed("dicom_id"), "")
            known = _row(row, metadata.parent, reports, study=study, split=split)
            known = replace(known, label_source=f"report text ({labeler} labeler)" if study is not None else "")
            yield Draft(known if base == "." else replace(known, path=f"{base}/{known.path}"))


def _studies(source: Path) -> tuple[str, dict[str, TableRow]]:
    """Return which labeler read the reports, and what it says by study: CheXpert's where both tables are there."""
    for labeler in ("CheXpert", "NegBio"):
        table = optional_file(source, *_names(labeler.lower()))
        if table is not None:
            return labeler, {row.needed("study_id"): row for row in read_table(table, ("subject_id", "study_id"))}
    return "", {}


def _splits(source: Path) -> dict[str, str]:
    table = optional_file(source, *_names("split"))
    if table is None:
        return {}
    rows = read_table(table, ("dicom_id", "study_id", "subject_id", "split"))
    return {row.needed("dicom_id"): row.choice("split", ("train", "validate", "test")) for row in rows}


class _Reports:
    """Reads reports from beside the images, from the unpacked ``mimic-cxr-reports``, or out of its zip archive."""

    def __init__(self, source: Path, base: Path) -> None:
        self._folders = (base, base / "mimic-cxr-reports", source / "mimic-cxr-reports")
        archive = optional_file(source, "mimic-cxr-reports.zip")
        try:
            self._archive = zipfile.ZipFile(archive) if archive is not None else None
        except zipfile.BadZipFile as problem:
            raise BadTable(f"{archive} is no zip archive: {problem}") from problem
        self._members = frozenset(self._archive.namelist()) if self._archive is not None else frozenset[str]()

    def text(self, path: str) -> str:
        """Return a report, or empty where there is none."""
        for folder in self._folders:
            if (folder / path).is_file():
                return (folder / path).read_text(encoding="utf-8")
        if self._archive is not None and path in self._members:
            return self._archive.read(path).decode("utf-8")
        return ""

    def close(self) -> None:
        """Close the archive."""
        if self._archive is not None:
            self._archive.close()


def _row(row: TableRow, source: Path, reports: _Reports, *, study: TableRow | None, split: str) -> ImageRow:
    subject, study_id, image = (row.needed(name) for name in ("subject_id", "study_id", "dicom_id"))
    folder = f"files/p{subject[:2]}/p{subject}/s{study_id}"
    dicom = (source / folder / f"{image}.dcm").is_file()
    labels, uncertainty = stated_labels(study) if study is not None else (dict.fromkeys(FINDINGS), {})
    return ImageRow(
        image_id=image,
        path=f"{folder}/{image}.{'dcm' if dicom else 'jpg'}",
        patient_id=subject,
        group_id=subject,
        study_id=study_id,
        site="Beth Israel Deaconess Medical Center",
        view=row.text("ViewPosition"),
        date=iso_date(row.text("StudyDate").removesuffix(".0")),
        dates_moved="yes",
        source="mimic_cxr",
        labels=labels,
        label_uncertainty=uncertainty,
        text=reports.text(f"{folder}.txt"),
        covariates={"official_split": split} if split else {},
    )


MIMIC_CXR = Adapter(
    title="MIMIC-CXR and MIMIC-CXR-JPG: 377,110 chest radiographs of 65,379 patients with reports",
    licence="PhysioNet Credentialed Health Data License 1.5.0",
    citation="Johnson AEW et al. MIMIC-CXR, a de-identified publicly available database of chest radiographs with "
    "free-text reports. Sci Data 2019;6:317.",
    read=read_mimic_cxr,
    layout="mimic-cxr-2.0.0-metadata.csv.gz, -chexpert.csv.gz, -split.csv.gz, files/p10/p*/s*/*.jpg or *.dcm, s*.txt",
)
