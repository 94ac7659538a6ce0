"""A part of a data set as a cohort for validation: the rows that nothing was learned from or chosen on."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coread.app.errors import AppError
from coread.domain.errors import Misconfigured

if TYPE_CHECKING:
    from coread.train.datasets import ImageIndex, ImageRow
    from coread.validate.cohort import Cohort

_ENTRY = re.compile(r"^(?P<file>.*\.np[yz])(!(?P<name>[^#]*))?#(?P<entry>\d+)$")


class NoSuchPart(AppError, Misconfigured):
    """The data set has no row in that part, or none with a label that was asked for."""


@dataclass(frozen=True, slots=True)
class CohortPlan:
    """Which rows become cases, and how pictures become DICOM."""

    part: str = "test"
    outputs: Mapping[str, str] | None = None
    """Output key of the reader by label of the data set; ``None``: every label, by its name in lower case."""
    modality: str = "DX"
    body_part: str = ""
    spacing_mm: float | None = None
    split: str = ""
    """How the part was set apart, in words; by default that it was, by group."""


def cohort_of(folder: Path, out: Path, plan: CohortPlan) -> "Cohort":
    """Write the cohort of a part of a data set; raises NoSuchPart, BadCohort, DataMissing."""
    from coread.train.datasets import read_index
    from coread.validate.cohort_writing import write_cohort

    index = read_index(folder)
    rows = [row for row in index.rows if row.part == plan.part]
    if not rows:
        parts = sorted({row.part for row in index.rows if row.part})
        raise NoSuchPart(
            f"{folder} has no row in part {plan.part!r}; it has {', '.join(parts) or 'no parts: split it'}"
        )
    outputs = plan.outputs or {label: label.lower().replace(" ", "_") for label in index.labels}
    if unknown := sorted(set(outputs) - set(index.labels)):
        raise NoSuchPart(f"{folder} has no label {unknown[0]!r}; it has {', '.join(index.labels)}")
    return write_cohort(out, _description(index, rows, plan), [_case(row, outputs) for row in rows])


def _description(index: "ImageIndex", rows: Sequence["ImageRow"], plan: CohortPlan) -> dict[str, Any]:
    wrap: dict[str, Any] = {"modality": plan.modality, "body_part": plan.body_part}
    if plan.spacing_mm is not None:
        wrap["spacing_mm"] = plan.spacing_mm
    sources = sorted({row.label_source for row in index.rows} - {""})
    return {
        "name": f"{index.name} {plan.part}".replace("_", " "),
        "root": str(_root(index, rows)),
        "data": index.name,
        "split": plan.split or f"part {plan.part} of a split by group",
        "licence": index.licence,
        "citation": index.citation,
        "reference_standard": ", ".join(sources) or "not stated",
        "wrap": {key: value for key, value in wrap.items() if value != ""},
    }


def _case(row: "ImageRow", outputs: Mapping[str, str]) -> dict[str, Any]:
    case: dict[str, Any] = {
        "case_id": row.image_id,
        "patient_id": row.patient_id or row.group,
        "files": _file(row.path),
        "site": row.site,
        "scanner": row.scanner,
        "view": row.view,
        "age": row.age,
        "sex": row.sex,
    }
    for label, key in outputs.items():
        value = row.labels.get(label)
        case[f"truth:{key}"] = None if value is None else value >= 0.5
    return case


def _root(index: "ImageIndex", rows: Sequence["ImageRow"]) -> Path:
    """Return the one folder that all images lie below: the source's, or the set's own with its copies."""
    from coread.train.datasets import OWN

    own = [row.path.startswith(OWN) for row in rows]
    if not any(own):
        return index.root.resolve()
    if not all(own) and index.folder.resolve() != index.root.resolve():
        raise NoSuchPart(f"{index.folder} keeps some images itself and points to others: a cohort has one root")
    return index.folder.resolve()


def _file(path: str) -> str:
    """Write the place of an image as cohorts do: below their root, and name and number of entries in another order."""
    from coread.train.datasets import OWN

    path = path.removeprefix(OWN)
    found = _ENTRY.match(path)
    return f"{found['file']}#{found['name'] or ''}[{found['entry']}]" if found else path


def outputs_from(texts: Sequence[str]) -> dict[str, str] | None:
    """Read ``LABEL=KEY`` pairs; ``None`` for none."""
    pairs = dict(text.split("=", 1) for text in texts if "=" in text)
    if len(pairs) < len(texts):
        raise Misconfigured(f"write LABEL=KEY, not {next(text for text in texts if '=' not in text)!r}")
    return pairs or None
