"""A finished reference object: its series, its truth, and how both are written into a folder."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray
from pydicom.dataset import Dataset

from coread.phantoms.reference.errors import BadTruth
from coread.phantoms.reference.objects import COMMENT, Examination
from coread.phantoms.reference.scan import Setup
from coread.phantoms.reference.truth import Structure, parameters

TRUTH_FILE = "truth.json"
SCHEMA = "coread-phantom-truth-1"


class Series(Protocol):
    """What becomes the files of one series."""

    @property
    def examination(self) -> Examination:
        """Return whose it is."""
        ...

    @property
    def modality(self) -> str:
        """Return the DICOM modality."""
        ...

    @property
    def description(self) -> str:
        """Return the series description."""
        ...

    @property
    def number(self) -> int:
        """Return the series number."""
        ...

    @property
    def series_instance_uid(self) -> str:
        """Return the UID."""
        ...

    def datasets(self) -> Iterator[Dataset]:
        """Yield the images."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Visit:
    """One examination: its series and what is true on that date."""

    examination: Examination
    series: tuple[Series, ...]
    structures: tuple[Structure, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What else is known exactly, as JSON values; names carry their units."""

    def structure(self, name: str) -> Structure:
        """Return a structure by name."""
        for structure in self.structures:
            if structure.name == name:
                return structure
        raise BadTruth(f"no structure {name!r} on {self.examination.identity.study_date}")


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """A reference object with one or more examinations."""

    name: str
    truth: Any
    setup: Setup
    visits: tuple[Visit, ...]
    changes: Mapping[str, Any] = field(default_factory=dict)
    """What happened between the examinations, as JSON values."""

    def document(self) -> dict[str, Any]:
        """Return the truth file as JSON values."""
        return {
            "schema": SCHEMA,
            "note": COMMENT,
            "phantom": self.name,
            "truth": parameters(self.truth),
            "setup": {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self.setup).items()},
            "coordinates": "LPS, mm; volumes in ml",
            "examinations": [_visit_document(visit) for visit in self.visits],
            "changes": dict(self.changes),
        }

    def write(self, folder: Path) -> dict[str, Any]:
        """Write ``DATE/SERIES/NNNN.dcm`` and ``truth.json``; the folder must be empty or new. Returns the truth."""
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise BadTruth(f"{folder} is not an empty folder")
        document = self.document()
        for visit, entry in zip(self.visits, document["examinations"], strict=True):
            for series, listed in zip(visit.series, entry["series"], strict=True):
                place = Path(visit.examination.identity.study_date) / f"{series.number:02d}-{series.modality}"
                (folder / place).mkdir(parents=True)
                listed["folder"] = place.as_posix()
                listed["images"] = _saved(series, folder / place)
        (folder / TRUTH_FILE).write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return document


def _saved(series: Series, folder: Path) -> int:
    count = 0
    for count, dataset in enumerate(series.datasets(), start=1):
        dataset.save_as(folder / f"{count:04d}.dcm", enforce_file_format=True)
    return count


def _visit_document(visit: Visit) -> dict[str, Any]:
    identity = visit.examination.identity
    return {
        "date": identity.study_date,
        "patient_id": identity.patient_id,
        "accession_number": identity.accession_number,
        "study_instance_uid": visit.examination.study_instance_uid,
        "frame_of_reference_uid": visit.examination.frame_of_reference_uid,
        "series": [
            {"series_instance_uid": s.series_instance_uid, "modality": s.modality, "description": s.description}
            for s in visit.series
        ],
        "structures": [structure.document() for structure in visit.structures],
        **visit.facts,
    }


def digest_for(name: str, truth: Any, setup: Setup, *more: str) -> str:
    """Return the name of one phantom with one truth and one set-up; all its identifiers come from it."""
    text = json.dumps([name, parameters(truth), repr(setup), *more], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def rounded_rows(rows: NDArray[Any]) -> list[list[float]]:
    """Return a matrix as JSON numbers."""
    return [[round(float(v), 9) for v in row] for row in rows]
