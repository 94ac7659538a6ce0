"""Rows to records and back."""

import json
from dataclasses import fields
from typing import Any

from sqlalchemy import Row

from coread.domain.reasons import Reason, ReasonCode
from coread.domain.study import Instance, InstanceHeader, Origin, Series, SettledReason, Study, StudyState
from coread.domain.work import (
    Delivery,
    DeliveryState,
    EvidenceKind,
    EvidenceRecord,
    Priority,
    RoutingDecision,
    WorkItem,
    WorkState,
)

_DEFAULTS = tuple((item.name, item.default) for item in fields(InstanceHeader))
"""A field without a default is never left out of the document."""
_TUPLES = ("image_type", "image_position_patient", "image_orientation_patient", "patient_orientation")


def header_document(header: InstanceHeader) -> str:
    """Return a header as compact JSON: only what differs from "absent"."""
    values = {name: value for name, default in _DEFAULTS if (value := getattr(header, name)) != default}
    return json.dumps(values, separators=(",", ":"), ensure_ascii=False)


def header_record(document: str) -> InstanceHeader:
    """Return the header of such a document."""
    values = json.loads(document)
    for name in _TUPLES:
        if name in values:
            values[name] = tuple(values[name])
    return InstanceHeader(**values)


def origin_document(origin: Origin) -> str:
    """Return an origin as JSON."""
    return json.dumps(
        {"door": origin.door, "peer": origin.peer, "address": origin.address, "association_id": origin.association_id}
    )


def origin_record(document: str) -> Origin:
    """Return the origin of such a document."""
    return Origin(**json.loads(document))


def folded(text: str) -> str:
    """Return a person name as it is compared: no case, no trailing empty components (PS3.4 C.2.2.2.1)."""
    return text.casefold().rstrip("^= ")


def split_modalities(stored: str) -> tuple[str, ...]:
    """Return the modalities of a study, which are stored in one column."""
    return tuple(stored.split("\\")) if stored else ()


def study_record(row: Row[Any], series: tuple[Series, ...] = ()) -> Study:
    """Return the study of a row of ``studies``."""
    return Study(
        study_instance_uid=row.study_uid,
        patient_id=row.patient_id,
        issuer_of_patient_id=row.issuer_of_patient_id,
        patient_name=row.patient_name,
        patient_birth_date=row.patient_birth_date,
        patient_sex=row.patient_sex,
        accession_number=row.accession_number,
        study_id=row.study_id,
        study_date=row.study_date,
        study_time=row.study_time,
        study_description=row.study_description,
        referring_physician_name=row.referring_physician_name,
        modalities=split_modalities(row.modalities),
        series_count=row.series_count,
        instance_count=row.instance_count,
        state=StudyState(row.state),
        settled_reason=SettledReason(row.settled_reason) if row.settled_reason else None,
        generation=row.generation,
        first_received_at=row.first_received_at,
        last_received_at=row.last_received_at,
        settled_at=row.settled_at,
        stat=row.stat,
        series=series,
    )


def series_record(row: Row[Any], instances: tuple[Instance, ...] = ()) -> Series:
    """Return the series of a row of ``series``."""
    return Series(
        study_instance_uid=row.study_uid,
        series_instance_uid=row.series_uid,
        modality=row.modality,
        series_number=row.series_number,
        series_description=row.series_description,
        body_part_examined=row.body_part_examined,
        instance_count=row.instance_count,
        instances=instances,
    )


def instance_record(row: Row[Any]) -> Instance:
    """Return the instance of a row of ``instances``."""
    return Instance(
        header=header_record(row.header),
        path=row.path,
        size=row.size,
        sha256=row.sha256,
        received_at=row.received_at,
        origin=Origin(row.door, row.peer, row.address, row.association_id),
    )


def reason_record(code: str | None, detail: str) -> Reason | None:
    """Return a coded reason, or ``None`` where none is stored."""
    return Reason(ReasonCode(code), detail) if code else None


def decision_record(row: Row[Any]) -> RoutingDecision:
    """Return the decision of a row of ``decisions``."""
    return RoutingDecision(
        study_instance_uid=row.study_uid,
        generation=row.generation,
        reader_id=row.reader_id,
        reader_version=row.reader_version,
        accepted=row.accepted,
        sop_instance_uids=tuple(json.loads(row.sop_uids)),
        reason=reason_record(row.reason, row.reason_detail),
        decided_at=row.decided_at,
    )


def work_record(row: Row[Any]) -> WorkItem:
    """Return the work item of a row of ``work``."""
    return WorkItem(
        work_id=row.id,
        study_instance_uid=row.study_uid,
        generation=row.generation,
        reader_id=row.reader_id,
        reader_version=row.reader_version,
        sop_instance_uids=tuple(json.loads(row.sop_uids)),
        priority=Priority(row.priority),
        state=WorkState(row.state),
        attempts=row.attempts,
        created_at=row.created_at,
        lease_owner=row.lease_owner,
        lease_expires_at=row.lease_expires_at,
        not_before=row.not_before,
    )


def evidence_record(row: Row[Any]) -> EvidenceRecord:
    """Return the evidence of a row of ``evidence``."""
    return EvidenceRecord(
        evidence_id=row.id,
        work_id=row.work_id,
        kind=EvidenceKind(row.kind),
        sop_class_uid=row.sop_class_uid,
        sop_instance_uid=row.sop_uid,
        series_instance_uid=row.series_uid,
        study_instance_uid=row.study_uid,
        path=row.path,
        sha256=row.sha256,
        size=row.size,
        created_at=row.created_at,
        proof=row.proof,
    )


def delivery_record(row: Row[Any]) -> Delivery:
    """Return the delivery of a row of ``deliveries``."""
    return Delivery(
        delivery_id=row.id,
        evidence_id=row.evidence_id,
        destination=row.destination,
        state=DeliveryState(row.state),
        attempts=row.attempts,
        created_at=row.created_at,
        next_attempt_at=row.next_attempt_at,
        finished_at=row.finished_at,
        last_error=row.last_error,
    )
