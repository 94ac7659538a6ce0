"""Small, true-to-life inputs for the tests of the store."""

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from coread.domain.codes import Code
from coread.domain.findings import Finding, HeatMap, ImageReference, Presence, Region, TrackingId
from coread.domain.identifiers import derived_uid
from coread.domain.reasons import Reason, ReasonCode
from coread.domain.results import Failure, Provenance, Reading, ReadResult, Refusal
from coread.domain.study import InstanceHeader, Origin, SettledReason
from coread.domain.work import (
    DeliveryProtocol,
    Destination,
    EncodedObject,
    EvidenceKind,
    Priority,
    RoutingDecision,
    WorkItem,
)
from coread.store import StagedFile, Store

DX = "1.2.840.10008.5.1.4.1.1.1.1"
EXPLICIT = "1.2.840.10008.1.2.1"
PACS = Destination("pacs", DeliveryProtocol.C_STORE, "127.0.0.1:104", "PACS")
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def header(study: str = "study", sop: str = "image", **changed: Any) -> InstanceHeader:
    base = InstanceHeader(
        study_instance_uid=derived_uid(study),
        series_instance_uid=derived_uid(study, "series"),
        sop_instance_uid=derived_uid(study, sop),
        sop_class_uid=DX,
        transfer_syntax_uid=EXPLICIT,
        patient_id="P1",
        patient_name="Doe^Jane",
        patient_birth_date="19700101",
        patient_sex="F",
        accession_number="A1",
        study_id="S1",
        study_date="20260301",
        study_time="101500",
        study_description="Chest",
        modality="DX",
        series_number=1,
        instance_number=1,
        image_type=("ORIGINAL", "PRIMARY"),
        image_position_patient=(0.0, -1.5, 2.25),
    )
    return replace(base, **changed)


def staged(store: Store, head: InstanceHeader, data: bytes = b"bytes", origin: Origin | None = None) -> StagedFile:
    path = store.staging_folder() / f"{uuid.uuid4().hex}.{len(data)}.ready"
    path.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    return StagedFile(path, head, len(data), digest, origin or Origin("c-store", "SCANNER", "127.0.0.1", "a1"))


def receive(store: Store, study: str = "study", images: int = 2, **changed: Any) -> str:
    """Store a study and return its UID."""
    heads = [header(study, f"image {k}", instance_number=k, **changed) for k in range(1, images + 1)]
    store.add_files([staged(store, head, f"{study} {head.instance_number}".encode()) for head in heads])
    return heads[0].study_instance_uid


def accepted(uid: str, generation: int = 1, reader: str = "chest_xray") -> RoutingDecision:
    return RoutingDecision(uid, generation, reader, "1.0", True, ("1.2.3",))


def declined(uid: str, generation: int = 1, reader: str = "ct_bleed") -> RoutingDecision:
    reason = Reason(ReasonCode.WRONG_MODALITY, "DX")
    return RoutingDecision(uid, generation, reader, "2.0", False, reason=reason)


def route(store: Store, uid: str, decisions: Sequence[RoutingDecision] = ()) -> tuple[WorkItem, ...]:
    """Settle a study and record decisions for its new generation."""
    generation = store.settle(uid, SettledReason.SILENCE, "60 s").generation
    given = decisions or (accepted(uid), declined(uid))
    return store.record_decisions([replace(item, generation=generation) for item in given], Priority.MEDIUM)


def ready_work(store: Store, study: str = "study") -> WorkItem:
    """Take a study all the way to a claimed work item."""
    route(store, receive(store, study))
    item = store.claim_work("worker", 60)
    if item is None:
        raise LookupError("nothing to claim")
    return item


def provenance() -> Provenance:
    return Provenance("chest_xray", "1.0", "d" * 64, "i" * 64, "0.1", "onnxruntime", NOW, NOW, (("infer", 0.5),))


def finding(key: str = "pneumothorax", presence: Presence = Presence.PRESENT, urgent: bool = True) -> Finding:
    image = ImageReference(DX, "1.2.3", "1.2")
    heat = HeatMap(image, np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4))
    concept = Code("36118008", "SCT", key.capitalize())
    urgent = urgent and presence is Presence.PRESENT
    return Finding(key, concept, presence, 0.9, 0.5, "balanced", images=(image,), heat_maps=(heat,), urgent=urgent)


def positive(urgent: bool = True) -> Reading:
    image = ImageReference(DX, "1.2.3", "1.2")
    mask = np.zeros((4, 4), dtype=np.bool_)
    mask[1:3, 2] = True
    code = Code("36118008", "SCT", "Pneumothorax")
    region = Region("region", code, code, mask, (image,), TrackingId("1", "1.2.9"))
    return Reading(ReadResult((finding(urgent=urgent),), regions=(region,)), provenance())


def negative() -> Reading:
    return Reading(ReadResult((finding(presence=Presence.ABSENT),)), provenance())


def refusal() -> Reading:
    return Reading(Refusal(Reason(ReasonCode.NOT_CHEST, "hand")), provenance())


def failure() -> Reading:
    return Reading(Failure("MemoryError", "no memory"), provenance())


def evidence(name: str = "sr", kind: EvidenceKind = EvidenceKind.SR) -> EncodedObject:
    syntax = EXPLICIT.encode() + b"\0"
    meta = b"\2\0\x10\0UI" + len(syntax).to_bytes(2, "little") + syntax
    data = b"\0" * 128 + b"DICM" + meta + name.encode()
    sop_class = "1.2.840.10008.5.1.4.1.1.88.33"
    return EncodedObject(kind, sop_class, derived_uid(name), derived_uid(name, "series"), data, "pydicom")
