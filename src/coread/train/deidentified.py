"""De-identifies the images of a data set while it is built, holds suspicious ones back, and reports what risk remains.

The de-identified copies lie in the data set's own folder, ``images/``; nothing in that folder knows the originals. What
was held back is listed beside it, in ``FOLDER.held_back.json``, which stays in the hospital.
"""

import json
import os
import secrets
import threading
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from coread.imaging.deidentification.identity import Pseudonymizer, is_uid
from coread.imaging.deidentification.profile import Findings, Profile, deidentify
from coread.imaging.deidentification.rules import METHODS, Option
from coread.imaging.deidentification.suspicion import suspicions
from coread.imaging.header import scan_header
from coread.train.adapters.dicom_table import row_of_header
from coread.train.datasets import OWN, ImageRow
from coread.train.errors import BadPlan, CorruptImage, DataMissing, is_of_the_machine

if TYPE_CHECKING:
    from pydicom import Dataset

IMAGES = "images"
REPORT = "residual_risk.json"
REPORT_PAGE = "residual_risk.html"
_KEY = ".key"
_KEY_BYTES = 32
_SHOWN_VALUES = 20
_SMALL = 5
"""Groups of patients who share age, sex and year with fewer than this are counted as findable."""


class HeldBack(DataMissing):
    """An image is suspected of showing text or a face: somebody must look at it first."""


@dataclass(frozen=True, slots=True)
class DeidentifyPlan:
    """Options of the profile, and the key: without a file a random one is made and forgotten with the build."""

    options: frozenset[Option] = frozenset()
    key_file: Path | None = None
    accept: frozenset[str] = frozenset()
    """SOP Instance UIDs that somebody has looked at and released although they look suspicious."""

    @property
    def settings(self) -> dict[str, object]:
        """Return what the record keeps: never the key."""
        return {
            "profile": [f"{code} {meaning}" for _, (code, meaning) in _chosen(self.options)],
            "key": "file" if self.key_file else "random, forgotten",
            "accepted_by_hand": len(self.accept),
        }


def read_rules(path: Path) -> DeidentifyPlan:
    """Read ``retain = ["dates", "patient", ...]``, ``key_file`` and ``accept_file`` (UIDs by line) from TOML."""
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as problem:
        raise BadPlan(f"{path} cannot be read: {problem}") from problem
    unknown = set(given) - {"retain", "key_file", "accept_file"}
    retain = given.get("retain", [])
    if unknown or not isinstance(retain, list) or not set(map(str, retain)) <= set(Option):
        raise BadPlan(
            f"{path}: known are retain (a list of {', '.join(Option)}), key_file and accept_file; "
            f"got {', '.join(sorted(unknown)) or retain}"
        )
    key_file, accept_file = (
        path.parent / given[name] if given.get(name) else None for name in ("key_file", "accept_file")
    )
    try:
        accepted = accept_file.read_text(encoding="utf-8").split() if accept_file else []
    except OSError as problem:
        raise BadPlan(f"{accept_file} cannot be read: {problem}") from problem
    return DeidentifyPlan(frozenset(map(Option, retain)), key_file, frozenset(accepted))


def _chosen(options: frozenset[Option]) -> list[tuple[Option | None, tuple[str, str]]]:
    return [(option, method) for option, method in METHODS.items() if option is None or option in options]


@dataclass(slots=True)
class Deidentifier:
    """Writes de-identified copies into the folder of a set that is being built, and remembers what was left."""

    plan: DeidentifyPlan
    source: Path
    folder: Path
    profile: Profile
    held_back: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Reasons by the identifier of the row that was held back; not for the data set's own folder."""
    held_paths: dict[str, str] = field(default_factory=dict)
    findings: Findings = field(default_factory=Findings)
    objects: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of(cls, plan: DeidentifyPlan, source: Path, folder: Path) -> "Deidentifier":
        """Make the key ready: from its file, or a random one that lives as long as the build."""
        path = plan.key_file if plan.key_file is not None else folder / _KEY
        if plan.key_file is None and not path.is_file():
            path.touch(mode=0o600)
            path.write_bytes(secrets.token_bytes(_KEY_BYTES))
        try:
            key = path.read_bytes()
        except OSError as problem:
            raise BadPlan(f"the key file {path} cannot be read: {problem}") from problem
        if len(key) < 16:
            raise BadPlan(f"the key file {path} holds {len(key)} bytes; 16 are the least, 32 random ones are good")
        return cls(plan, source, folder, Profile(Pseudonymizer(key), plan.options))

    def forget_key(self) -> None:
        """Remove the random key: from now on nobody can make these pseudonyms again."""
        (self.folder / _KEY).unlink(missing_ok=True)

    def row(self, row: ImageRow) -> ImageRow:
        """Write the de-identified copy of a row's image and return its row; raises HeldBack, CorruptImage."""
        import pydicom

        path = self.source / row.path
        if "!" in row.path or "#" in row.path:
            raise CorruptImage(f"{row.path} is no DICOM file; only those can be de-identified")
        try:
            dataset = pydicom.dcmread(path)
            reasons = suspicions(dataset, _some_frames(path, dataset))
            if reasons and str(dataset.SOPInstanceUID) not in self.plan.accept:
                raise HeldBack("held back: " + "; ".join(reasons))
            made, findings = deidentify(dataset, self.profile)
            if not is_uid(str(made.SOPInstanceUID)):
                raise CorruptImage(f"{row.path} has no SOP Instance UID that could name its copy")
            target = self.folder / IMAGES / made.PatientID / f"{made.SOPInstanceUID}.dcm"
            target.parent.mkdir(parents=True, exist_ok=True)
            beside = target.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
            made.save_as(beside, enforce_file_format=True)
            beside.replace(target)
        except DataMissing as problem:
            if isinstance(problem, HeldBack):
                with self._lock:
                    self.held_back[row.image_id] = reasons
                    self.held_paths[row.image_id] = row.path
            raise
        except Exception as problem:
            if is_of_the_machine(problem):
                raise
            raise CorruptImage(f"{row.path} cannot be de-identified: {type(problem).__name__}: {problem}") from problem
        self._remember(findings)
        return self._described(row, target)

    def _remember(self, findings: Findings) -> None:
        with self._lock:
            self.objects += 1
            self.findings.kept_text.update(findings.kept_text)
            self.findings.swept.update(findings.swept)
            self.findings.retained.update(findings.retained)

    def _described(self, row: ImageRow, target: Path) -> ImageRow:
        """Take everything about the patient from the new header, and only labels and regions from the old row."""
        path = OWN + target.relative_to(self.folder).as_posix()
        known = row_of_header(path, scan_header(target))
        return replace(
            known,
            group_id=self.profile.pseudonyms.name("group", row.group),
            source=row.source,
            labels=row.labels,
            label_source=row.label_source,
            label_uncertainty=row.label_uncertainty,
            boxes=row.boxes,
            mask=row.mask if row.mask.startswith(OWN) else "",
            part=row.part,
        )

    def write_held_back(self, beside: Path) -> None:
        """List what was held back, by its original identifiers: for the people who look at it, and for nobody else."""
        listed = [
            {"sop_instance_uid": image, "path": self.held_paths[image], "reasons": list(reasons)}
            for image, reasons in sorted(self.held_back.items())
        ]
        beside.touch(mode=0o600)
        beside.write_text(json.dumps(listed, indent=2) + "\n", encoding="utf-8")

    def write_reports(self, rows: Sequence[ImageRow]) -> None:
        """Write the residual-risk report as JSON and as a page."""
        document = residual_risk(rows, self)
        (self.folder / REPORT).write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        (self.folder / REPORT_PAGE).write_text(_page(document), encoding="utf-8")


def _some_frames(path: Path, dataset: "Dataset") -> list[NDArray[Any]]:
    """Return the first, the middle and the last frame; none where the object has no pixels."""
    from coread.imaging.decode import decode_frames

    if "PixelData" not in dataset:
        return []
    count = int(dataset.get("NumberOfFrames", 1) or 1)
    return [decode_frames(path, [frame])[0] for frame in sorted({1, (count + 1) // 2, count})]


def residual_risk(rows: Sequence[ImageRow], done: Deidentifier) -> dict[str, Any]:
    """Say what was kept, held back and swept, and how many patients share age, sex and year with few others."""
    sizes = Counter(_quasi_identifiers(rows).values())
    texts: dict[str, Counter[str]] = {}
    for (keyword, value), count in done.findings.kept_text.items():
        texts.setdefault(keyword, Counter())[value] += count
    return {
        "profile": [
            {"code": code, "scheme": "DCM", "meaning": meaning} for _, (code, meaning) in _chosen(done.plan.options)
        ],
        "objects": done.objects,
        "patients": len({row.patient_id for row in rows}),
        "retained_by_option": dict(done.findings.retained.most_common()),
        "patient_found_and_removed_in": dict(done.findings.swept.most_common()),
        "held_back": {
            "objects": len(done.held_back),
            "reasons": dict(Counter(reason for reasons in done.held_back.values() for reason in reasons).most_common()),
        },
        "free_text": {
            keyword: {"distinct": len(values), "values": [text for text, _ in values.most_common(_SHOWN_VALUES)]}
            for keyword, values in sorted(texts.items())
        },
        "k_anonymity": {
            "of": ["age in years", "sex", "year of the (moved) study date"],
            "smallest_group": min(sizes.values(), default=0),
            f"patients_in_groups_below_{_SMALL}": sum(size for size in sizes.values() if size < _SMALL),
            "groups": len(sizes),
        },
        "head_volumes": sum(_shows_a_face(row) for row in rows),
        "not_examined": [
            "pixels are not changed: text that was not suspected, small or faint, is still there",
            "comments inside compressed pixel streams are not read",
            "the surface of a head can be rendered as a face from thin slices of CT and MR",
            "rare diseases and implants can tell who a patient is",
        ],
    }


def _quasi_identifiers(rows: Iterable[ImageRow]) -> Mapping[str, tuple[str, str, str]]:
    """Return age, sex and year of the first image of each patient."""
    found: dict[str, tuple[str, str, str]] = {}
    for row in rows:
        age = "" if row.age is None else str(int(row.age))
        found.setdefault(row.patient_id, (age, row.sex, row.date[:4]))
    return found


def _shows_a_face(row: ImageRow) -> bool:
    return str(row.covariates.get("body_part", "")).upper() in ("HEAD", "BRAIN", "SKULL", "FACE", "NECK", "HEADNECK")


def _page(document: Mapping[str, Any]) -> str:
    """Return the report as one page without scripts or links."""
    rows = "".join(
        f"<h2>{escape(name.replace('_', ' '))}</h2><pre>{escape(json.dumps(value, indent=2, ensure_ascii=False))}</pre>"
        for name, value in document.items()
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Residual risk</title>'
        "<style>body{font:16px system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem}pre{background:#f4f4f4;"
        "padding:.8rem;overflow:auto}</style><h1>Residual risk after de-identification</h1>"
        "<p>What was left on purpose, what was held back, and what nobody looked at. A person must read this before "
        f"the data leave the hospital.</p>{rows}</html>\n"
    )
