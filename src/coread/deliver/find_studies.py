"""Which studies of a patient an archive has, and whose they are: C-FIND (PS3.4 annex C) or QIDO-RS (PS3.18 10.6)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from coread.deliver.association import ProposedContext, associated
from coread.deliver.errors import ObjectRefused, PeerAborted, PeerTimedOut
from coread.deliver.peer import Peer
from coread.deliver.web import WebService, check_status, client

_STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
_PLAIN = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2")
_PENDING = (0xFF00, 0xFF01)
_RETURNED = {
    "StudyInstanceUID": "0020000D", "StudyDate": "00080020", "PatientID": "00100020", "IssuerOfPatientID": "00100021",
    "PatientBirthDate": "00100030", "PatientSex": "00100040", "NumberOfStudyRelatedInstances": "00201208",
}  # fmt: skip
_MOST = 200


@dataclass(frozen=True, slots=True)
class FoundStudy:
    """What the archive says of one study; empty where it says nothing."""

    study_instance_uid: str
    study_date: str
    patient_id: str
    issuer_of_patient_id: str
    patient_birth_date: str
    patient_sex: str
    instances: int | None


def find_studies(source: Peer | WebService, keys: Mapping[str, str]) -> tuple[FoundStudy, ...]:
    """Return the studies that match keys by DICOM keyword, at most 200.

    Raises PeerFailed when the archive cannot be asked.
    """
    return _by_find(source, keys) if isinstance(source, Peer) else _by_qido(source, keys)


def _by_find(peer: Peer, keys: Mapping[str, str]) -> tuple[FoundStudy, ...]:
    from pydicom import Dataset

    query = Dataset()
    query.QueryRetrieveLevel = "STUDY"
    for keyword in _RETURNED:
        setattr(query, keyword, "" if keyword != "NumberOfStudyRelatedInstances" else None)
    for keyword, value in keys.items():
        setattr(query, keyword, value)
    found: list[FoundStudy] = []
    try:
        with associated(peer, [ProposedContext(_STUDY_ROOT_FIND, _PLAIN)]) as association:
            for status, match in association.send_c_find(query, _STUDY_ROOT_FIND):
                if "Status" not in status:
                    raise PeerTimedOut(f"{peer} did not answer C-FIND in {peer.timeout_seconds:g} s")
                if status.Status in _PENDING and match is not None:
                    found.append(_found({word: str(match.get(word) or "") for word in _RETURNED}))
                elif status.Status not in (*_PENDING, 0):
                    raise PeerAborted(f"{peer} answered C-FIND with status 0x{status.Status:04X}")
    except ObjectRefused as refused:
        raise PeerAborted(f"{peer} does not answer queries: {refused}") from refused
    return tuple(found[:_MOST])


def _by_qido(service: WebService, keys: Mapping[str, str]) -> tuple[FoundStudy, ...]:
    parameters = {**keys, "limit": str(_MOST), "includefield": ",".join(_RETURNED.values())}
    with client(service) as opened:
        answer = opened.get(service.url("/studies"), params=parameters, headers={"Accept": "application/dicom+json"})
        if answer.status_code == 204:
            return ()
        try:
            check_status(service, answer.status_code)
            document = answer.json()
        except (ObjectRefused, ValueError) as problem:
            raise PeerAborted(f"{service} did not answer the query: {problem}") from problem
    entries = document if isinstance(document, list) else []
    return tuple(_found({word: _value(item, tag) for word, tag in _RETURNED.items()}) for item in entries[:_MOST])


def _value(item: Mapping[str, Any], tag: str) -> str:
    values = item.get(tag, {}).get("Value", [])
    return str(values[0]) if values else ""


def _found(said: Mapping[str, str]) -> FoundStudy:
    count = said["NumberOfStudyRelatedInstances"]
    return FoundStudy(
        said["StudyInstanceUID"], said["StudyDate"], said["PatientID"], said["IssuerOfPatientID"],
        said["PatientBirthDate"], said["PatientSex"], int(count) if count.isdigit() else None,
    )  # fmt: skip
