"""What the index knows of received objects: Patient, Study, Series, Instance (PS3.3 A.1.2)."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class StudyState(StrEnum):
    """Whether a study is still growing. The moves are in ``states.py``."""

    RECEIVING = "receiving"
    SETTLED = "settled"


class SettledReason(StrEnum):
    """Why a study was thought complete; recorded, shown, never guessed afterwards."""

    EXPECTED_COUNT = "expected_count"
    """The PACS said how many instances there are (C-FIND or QIDO) and that many are here."""
    ASSOCIATION_COMPLETE = "association_complete"
    """The sender closed its association and every series is geometrically complete."""
    SILENCE = "silence"
    """Nothing arrived for the configured time and no association is open."""
    MANUAL = "manual"
    """A user or a command (``coread read``) said so."""
    GIVEN_UP = "given_up"
    """Looking at it broke again and again: it ends as not analysed instead of waiting for ever."""


@dataclass(frozen=True, slots=True)
class InstanceHeader:
    """The attributes of one received object that the index keeps, as found in its header.

    Strings are stripped and decoded with Specific Character Set; absent is ``""`` (never ``None``)
    and absent numbers are ``None``. Dates are DICOM DA text (``YYYYMMDD``).
    """

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    patient_id: str = ""
    issuer_of_patient_id: str = ""
    patient_name: str = ""
    patient_birth_date: str = ""
    patient_sex: str = ""
    patient_age: str = ""
    accession_number: str = ""
    study_id: str = ""
    study_date: str = ""
    study_time: str = ""
    study_description: str = ""
    referring_physician_name: str = ""
    modality: str = ""
    series_number: int | None = None
    series_description: str = ""
    series_date: str = ""
    series_time: str = ""
    body_part_examined: str = ""
    laterality: str = ""
    view_position: str = ""
    protocol_name: str = ""
    manufacturer: str = ""
    manufacturer_model_name: str = ""
    station_name: str = ""
    institution_name: str = ""
    instance_number: int | None = None
    acquisition_number: int | None = None
    rows: int | None = None
    columns: int | None = None
    number_of_frames: int | None = None
    bits_allocated: int | None = None
    photometric_interpretation: str = ""
    image_type: tuple[str, ...] = ()
    image_position_patient: tuple[float, ...] = ()
    image_orientation_patient: tuple[float, ...] = ()
    frame_of_reference_uid: str = ""
    requested_procedure_priority: str = ""
    patient_orientation: tuple[str, ...] = ()
    """Where rows and columns run to (PS3.3 C.7.6.1.1.1), such as ``("L", "F")``; empty where it is not stated."""
    kvp: float | None = None
    """Tube voltage KVP (0018,0060), kV; attenuation of bone depends on it."""


@dataclass(frozen=True, slots=True)
class Origin:
    """How an object came in: over which door, from whom, in which association."""

    door: str
    """``c-store``, ``stow-rs``, ``folder``, ``mrd`` (raw MR data), ``command``, ``canary``, ``own`` (evidence)."""
    peer: str = ""
    """Calling AE title, user name or folder."""
    address: str = ""
    association_id: str = ""


@dataclass(frozen=True, slots=True)
class Instance:
    """One stored object: header, place and digest of its bytes."""

    header: InstanceHeader
    path: str
    """Relative to the store's folder, with forward slashes."""
    size: int
    sha256: str
    received_at: datetime
    origin: Origin


@dataclass(frozen=True, slots=True)
class Series:
    """One series as indexed, with its instances when they were asked for."""

    study_instance_uid: str
    series_instance_uid: str
    modality: str
    series_number: int | None
    series_description: str
    body_part_examined: str
    instance_count: int
    instances: tuple[Instance, ...] = ()


@dataclass(frozen=True, slots=True)
class Study:
    """One study as indexed, with its series when they were asked for."""

    study_instance_uid: str
    patient_id: str
    issuer_of_patient_id: str
    patient_name: str
    patient_birth_date: str
    patient_sex: str
    accession_number: str
    study_id: str
    study_date: str
    study_time: str
    study_description: str
    referring_physician_name: str
    modalities: tuple[str, ...]
    series_count: int
    instance_count: int
    state: StudyState
    settled_reason: SettledReason | None
    generation: int
    """Counts how often the study settled: a late image re-opens it and the next settling is a new generation."""
    first_received_at: datetime
    last_received_at: datetime
    settled_at: datetime | None
    stat: bool = False
    """Ordered with high priority (STAT or HIGH in Requested Procedure Priority (0040,1003))."""
    series: tuple[Series, ...] = ()


class ReceiveStatus(StrEnum):
    """What became of one object that was handed in."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    """Same SOP Instance UID, same bytes: acknowledged, counted, not stored again."""
    CONFLICT = "conflict"
    """Same SOP Instance UID, other bytes: kept aside, flagged, never overwrites."""
    REFUSED = "refused"
    """Not kept as an instance (not DICOM, no UIDs, two patients in one study, ...); the bytes are in quarantine."""


@dataclass(frozen=True, slots=True)
class Received:
    """The receipt for one object."""

    status: ReceiveStatus
    sop_instance_uid: str
    study_instance_uid: str
    detail: str = ""
