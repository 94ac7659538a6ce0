"""A lesion outlined on a person's word: from what was pointed at to a reading with provenance, its objects, its place
in the store. The command and the web front both come through here."""

import hashlib
import importlib.metadata
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import coread
from coread.app.errors import AppError
from coread.app.outline_methods import Method, Outlined, outlined_by
from coread.domain.cards import InputContract, OperatingPoint, OutputSpec, ReaderCard, ReaderKind, Resources
from coread.domain.errors import Refused
from coread.domain.findings import Finding, Presence, TrackingId
from coread.domain.identifiers import derived_uid, digest_of
from coread.domain.images import Volume
from coread.domain.reasons import Reason
from coread.domain.results import Provenance, Reading, ReadResult, Refusal
from coread.domain.study import InstanceHeader, Study
from coread.domain.work import EncodedObject, EvidenceRecord, RoutingDecision
from coread.engine.loading import load_inputs, reason_of
from coread.engine.run import verified_digests
from coread.imaging.lesion_measuring import LESION, MeasuredLesion, measured_lesion
from coread.imaging.prompts import BoxPrompt, LinePrompt, PointPrompt, Prompt, in_patient
from coread.readers.registry import InstalledReader
from coread.store import Store

TOOL = "lesion_outline"
VERSION = "1"
"""Raised whenever the same prompt would give another outline: it is part of the provenance."""
_LEASE_SECONDS = 600.0
_DOUBTFUL = 0.3
Source = tuple[Path, InstanceHeader]


class StoredMeanwhile(AppError):
    """The outline could not be stored: another process holds the same one."""


@dataclass(frozen=True, slots=True)
class Pointed:
    """What a person pointed at: 3 numbers for a point, 6 for a line or a box."""

    kind: str
    """``point``, ``line`` or ``box``."""
    numbers: tuple[float, ...]
    voxels: bool = False
    """Indices (slice, row, column) of the volume instead of LPS mm."""

    def prompt(self, volume: Volume) -> Prompt:
        """Return the prompt in LPS mm; raises BadPrompt."""
        prompt = self._as_given()
        return in_patient(prompt, volume.geometry) if self.voxels else prompt

    def _as_given(self) -> Prompt:
        one, other = _place(self.numbers[:3]), _place(self.numbers[-3:])
        if self.kind == "point":
            return PointPrompt(one)
        return LinePrompt(one, other) if self.kind == "line" else BoxPrompt(one, other)

    def text(self) -> str:
        """Return the prompt in words, for people and for the record."""
        unit = "voxel" if self.voxels else "LPS mm"
        return f"{self.kind} {', '.join(f'{number:g}' for number in self.numbers)} ({unit})"


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """One lesion that was outlined: the reading, and what is told of it beside."""

    reading: Reading
    lesion: MeasuredLesion
    outlined: Outlined

    def document(self) -> dict[str, Any]:
        """Return what was measured, as plain JSON values."""
        lesion = self.lesion
        values = {
            (one.derivation.meaning if one.derivation else "").casefold().replace(" ", "_"): round(one.value, 2)
            for one in lesion.measurements
            if one.derivation is not None
        }
        return {
            "volume_ml": round(lesion.volume_ml.value, 4),
            "volume_ml_half_width": round(lesion.volume_ml.half_width, 4),
            "long_axis_mm": round(lesion.diameters.long_axis.value, 2),
            "short_axis_mm": round(lesion.diameters.short_axis.value, 2),
            "long_axis_ends_lps_mm": [[round(value, 2) for value in end] for end in lesion.diameters.ends_mm],
            "slices": len(lesion.region.images),
            "hounsfield": values or None,
            "method": self.outlined.method.value,
            "made_by": self.outlined.made_by,
            "package_digest": self.outlined.package_digest,
            "clearness": _rounded(self.outlined.clearness),
            "certainty": _rounded(self.outlined.certainty),
            "tracking_uid": lesion.region.tracking.uid,
            "notes": list(self.result().notes),
        }

    def result(self) -> ReadResult:
        """Return the ending of the reading, which is a result."""
        ending = self.reading.ending
        if not isinstance(ending, ReadResult):  # pragma: no cover - built with a result only
            raise TypeError("an outline is made of a result")
        return ending


def outline_lesion(
    study: Study, sources: Sequence[Source], pointed: Pointed, now: datetime, *, method: Method = Method.AUTO,
    readers: Sequence[InstalledReader] = (),
) -> Outline:  # fmt: skip
    """Outline and measure the lesion in the one volume of these images.

    ``readers``: those whose networks may be asked. Raises LesionRefused with the coded reason where the images are no
    volume, the method does not take the prompt, or nothing can be outlined there.
    """
    began = time.perf_counter()
    digests = verified_digests(study, sources)
    loaded = load_inputs(CARD, study, sources)
    if isinstance(loaded, Refusal):
        raise LesionRefused(loaded.reason)
    volume = loaded.inputs.volumes[0]
    try:
        outlined = outlined_by(method, volume, pointed.prompt(volume), readers)
    except Refused as problem:
        raise LesionRefused(reason_of(problem)) from problem
    input_digest, digest = digest_of(digests), method_digest(pointed, outlined.package_digest)
    tracking = TrackingId("lesion", derived_uid(TOOL, input_digest, digest))
    lesion = measured_lesion(volume, outlined.mask, label="Lesion", type_=LESION, tracking=tracking)
    finding = Finding("lesion", LESION, Presence.PRESENT, tracking=tracking, images=lesion.measurements[1].images)
    result = ReadResult((finding,), lesion.measurements, (lesion.region,), loaded.skipped, _notes(pointed, outlined))
    provenance = Provenance(
        reader_id=tool_id(digest, sources),
        reader_version=VERSION,
        package_digest=outlined.package_digest or digest,
        input_digest=input_digest,
        coread_version=coread.__version__,
        runtime=", ".join([*([outlined.runtime] if outlined.runtime else []), *_libraries()]),
        started_at=now,
        finished_at=now + timedelta(seconds=time.perf_counter() - began),
    )
    return Outline(Reading(result, provenance), lesion, outlined)


class LesionRefused(AppError, Refused):
    """Nothing was outlined; ``reason`` is the coded reason."""

    def __init__(self, reason: Reason) -> None:
        self.reason = reason
        super().__init__(reason.text())


def method_digest(pointed: Pointed, package_digest: str = "") -> str:
    """Return the digest that stands for the method and what was pointed at.

    Of the calculated method it is what a reader's package digest is; a network has that of its package besides.
    """
    network = [package_digest] if package_digest else []
    return hashlib.sha256(json.dumps([TOOL, VERSION, pointed.text(), *network]).encode()).hexdigest()


def tool_id(digest: str, sources: Sequence[Source]) -> str:
    """Return the name under which one outline is stored: each lesion of a study is a result of its own.

    ``digest`` is that of method and prompt.
    """
    uids = sorted({header.series_instance_uid for _, header in sources})
    return f"{TOOL}_{hashlib.sha256(json.dumps([*uids, digest]).encode()).hexdigest()[:12]}"


def encoded(outline: Outline, sources: Sequence[Source]) -> tuple[EncodedObject, ...]:
    """Return the DICOM objects of an outline: SEG, SR with a TID 1411 group, a page, proved."""
    from coread.evidence.build import build_evidence

    return build_evidence(outline.reading, CARD, [path for path, _ in sources])


def store_outline(
    store: Store, study: Study, outline: Outline, sources: Sequence[Source]
) -> tuple[EvidenceRecord, ...]:
    """Store an outline as a finished result of the study with its objects; the same one twice is stored once.

    Nothing is sent anywhere: who wants that sends the objects. Raises StoredMeanwhile.
    """
    provenance = outline.reading.provenance
    uids = tuple(header.sop_instance_uid for _, header in sources)
    decision = RoutingDecision(
        study.study_instance_uid, study.generation, provenance.reader_id, VERSION, accepted=True,
        sop_instance_uids=uids, decided_at=provenance.started_at,
    )  # fmt: skip
    objects = encoded(outline, sources)
    items = store.record_decisions([decision])
    done = next(item for item in items if item.reader_id == provenance.reader_id)
    known = [one for one in store.evidence(study.study_instance_uid) if one.work_id == done.work_id]
    if known:
        return tuple(known)
    claimed = store.claim_work(TOOL, _LEASE_SECONDS, [provenance.reader_id])
    if claimed is None or claimed.work_id != done.work_id:
        raise StoredMeanwhile("this outline is being stored by another process; look again in a moment")
    return store.finish_work(claimed.work_id, TOOL, outline.reading, objects)


def _place(numbers: Sequence[float]) -> tuple[float, float, float]:
    return float(numbers[0]), float(numbers[1]), float(numbers[2])


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _libraries() -> tuple[str, ...]:
    return tuple(f"{name} {importlib.metadata.version(name)}" for name in ("SimpleITK", "scipy"))


def _notes(pointed: Pointed, outlined: Outlined) -> tuple[str, ...]:
    notes = [f"outlined from a {pointed.text()} that a person gave; nothing else in the study was looked at"]
    notes += outlined.notes
    if outlined.clearness is not None and outlined.clearness < _DOUBTFUL:
        notes.append(
            "the lesion looks like what is beside it: the outline follows the shape of the prompt more than the image"
        )
    return tuple(notes)


CARD = ReaderCard(
    reader_id=TOOL,
    name="Lesion outlined from a point, line or box",
    version=VERSION,
    kind=ReaderKind.QUANTIFICATION,
    intended_use="Outlines and measures a lesion that a person points at, for research.",
    not_for="Not a medical device. It finds nothing by itself and does not say what the lesion is.",
    research_use=True,
    input=InputContract(
        modalities=(), sop_class_uids=(), body_parts=(), views=(), min_age_years=None, max_age_years=None, min_rows=2,
        min_columns=2, max_pixels=4_200_000, min_images=2, max_images=3000, presentation="volume",
    ),
    outputs=(
        OutputSpec(
            "lesion", "Lesion that a person pointed at", LESION, None, False, None,
            (OperatingPoint("pointed at", 0.5, "no probability: a person says that it is there", None, None, ""),),
            "pointed at",
        ),
    ),
    training_data=("none: calculated, nothing was learnt from images",),
    training_licence="no training data",
    validation="docs/how-to/measure-a-lesion.md",
    limits=(),
    resources=Resources(memory_mb=8000, seconds=120.0),
)  # fmt: skip
