"""The index's header of an object that we made: what is known of it without a DICOM library."""

import struct
from typing import Any

from sqlalchemy import Row

from coread.domain.study import InstanceHeader
from coread.domain.work import EncodedObject, EvidenceKind

_MODALITY = {
    EvidenceKind.SR: "SR",
    EvidenceKind.SEG: "SEG",
    EvidenceKind.KEY_OBJECT: "KO",
    EvidenceKind.SECONDARY_CAPTURE: "OT",
    EvidenceKind.PDF: "DOC",
    EvidenceKind.OVERLAY: "OT",
    EvidenceKind.PARAMETRIC_MAP: "OT",
    EvidenceKind.DERIVED_IMAGES: "MR",
    EvidenceKind.PROBABILITY: "SEG",
}
_PREFIX = 132
_LONG = (b"OB", b"OW", b"UN", b"SQ", b"UT", b"OF")


def evidence_header(item: EncodedObject, study: Row[Any]) -> InstanceHeader:
    """Return patient and study as indexed for the source, with the object's own series and instance."""
    return InstanceHeader(
        study_instance_uid=study.study_uid,
        series_instance_uid=item.series_instance_uid,
        sop_instance_uid=item.sop_instance_uid,
        sop_class_uid=item.sop_class_uid,
        transfer_syntax_uid=transfer_syntax_of(item.data),
        patient_id=study.patient_id,
        issuer_of_patient_id=study.issuer_of_patient_id,
        patient_name=study.patient_name,
        patient_birth_date=study.patient_birth_date,
        patient_sex=study.patient_sex,
        accession_number=study.accession_number,
        study_id=study.study_id,
        study_date=study.study_date,
        study_time=study.study_time,
        study_description=study.study_description,
        referring_physician_name=study.referring_physician_name,
        modality=_MODALITY[item.kind],
        manufacturer="Coread",
        series_description=item.series_description,
        instance_number=item.instance_number,
        rows=item.rows,
        columns=item.columns,
        photometric_interpretation="MONOCHROME2" if item.kind is EvidenceKind.DERIVED_IMAGES else "",
    )


def transfer_syntax_of(data: bytes) -> str:
    """Return Transfer Syntax UID (0002,0010) of Part 10 bytes (PS3.10 section 7.1), "" where there is none."""
    at = _PREFIX
    while data[128:132] == b"DICM" and at + 12 <= len(data):
        group, element = struct.unpack_from("<HH", data, at)
        if group != 2:
            break
        if data[at + 4 : at + 6] in _LONG:
            length, start = struct.unpack_from("<I", data, at + 8)[0], at + 12
        else:
            length, start = struct.unpack_from("<H", data, at + 6)[0], at + 8
        if element == 0x10:
            return data[start : start + length].rstrip(b"\0 ").decode("ascii", "replace")
        at = start + length
    return ""
