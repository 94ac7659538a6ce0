"""How many instances a PACS has for a study: C-FIND (PS3.4 annex C) or QIDO-RS (PS3.18 section 10.6)."""

from collections.abc import Iterator
from typing import Any

from coread.deliver.association import ProposedContext, associated
from coread.deliver.errors import ObjectRefused, PeerAborted, PeerTimedOut
from coread.deliver.peer import Peer
from coread.deliver.web import WebService, check_status, client

_STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
_PENDING = (0xFF00, 0xFF01)


def expected_instances(source: Peer | WebService, study_instance_uid: str) -> int | None:
    """Return how many instances the PACS has for this study, or None when it does not know the study or the number.

    Asks the study level first and counts at series, then instance level where the PACS leaves the number out.
    Raises PeerFailed when the PACS cannot be asked.
    """
    if isinstance(source, Peer):
        return _by_find(source, study_instance_uid)
    return _by_qido(source, study_instance_uid)


def _by_find(peer: Peer, study_instance_uid: str) -> int | None:
    contexts = [ProposedContext(_STUDY_ROOT_FIND, ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2"))]
    try:
        with associated(peer, contexts) as association:
            studies = list(_find(peer, association, "STUDY", study_instance_uid, "NumberOfStudyRelatedInstances"))
            if not studies:
                return None
            if studies[0] is not None:
                return studies[0]
            series = list(_find(peer, association, "SERIES", study_instance_uid, "NumberOfSeriesRelatedInstances"))
            counted = [count for count in series if count is not None]
            if series and len(counted) == len(series):
                return sum(counted)
            return len(list(_find(peer, association, "IMAGE", study_instance_uid, ""))) or None
    except ObjectRefused as refused:
        raise PeerAborted(f"{peer} does not answer queries: {refused}") from refused


def _find(peer: Peer, association: Any, level: str, study_instance_uid: str, keyword: str) -> Iterator[int | None]:
    """Yield one number (or None) per match at this level."""
    from pydicom import Dataset

    query = Dataset()
    query.QueryRetrieveLevel = level
    query.StudyInstanceUID = study_instance_uid
    if level != "STUDY":
        query.SeriesInstanceUID = ""
    if level == "IMAGE":
        query.SOPInstanceUID = ""
    if keyword:
        setattr(query, keyword, "")
    for status, match in association.send_c_find(query, _STUDY_ROOT_FIND):
        if "Status" not in status:
            raise PeerTimedOut(f"{peer} did not answer C-FIND in {peer.timeout_seconds:g} s")
        if status.Status in _PENDING and match is not None:
            yield _whole_number(match.get(keyword) if keyword else None)
        elif status.Status not in (*_PENDING, 0):
            raise PeerAborted(f"{peer} answered C-FIND with status 0x{status.Status:04X}")


def _whole_number(value: Any) -> int | None:
    try:
        return int(value) if value not in (None, "") else None
    except (TypeError, ValueError):
        return None


def _by_qido(service: WebService, study_instance_uid: str) -> int | None:
    with client(service) as opened:
        found = _search(
            opened, service, "/studies", {"StudyInstanceUID": study_instance_uid, "includefield": "00201208"}
        )
        if not found:
            return None
        count = _number(found[0], "00201208")
        if count is not None:
            return count
        path = f"/studies/{study_instance_uid}"
        series = [_number(item, "00201209") for item in _search(opened, service, path + "/series", {})]
        counted = [number for number in series if number is not None]
        if series and len(counted) == len(series):
            return sum(counted)
        return len(_search(opened, service, path + "/instances", {})) or None


def _search(opened: Any, service: WebService, path: str, parameters: dict[str, str]) -> list[dict[str, Any]]:
    answer = opened.get(service.url(path), params=parameters, headers={"Accept": "application/dicom+json"})
    if answer.status_code == 204:
        return []
    try:
        check_status(service, answer.status_code)
        document = answer.json()
    except (ObjectRefused, ValueError) as problem:
        raise PeerAborted(f"{service} did not answer the query: {problem}") from problem
    return document if isinstance(document, list) else []


def _number(item: dict[str, Any], tag: str) -> int | None:
    value = item.get(tag, {}).get("Value", [])
    return _whole_number(value[0]) if value else None
