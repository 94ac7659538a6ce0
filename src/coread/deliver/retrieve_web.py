"""Asking an archive by QIDO-RS and fetching by WADO-RS, instance by instance (PS3.18 sections 10.4 and 10.6)."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from email.message import Message
from typing import TYPE_CHECKING, Any

from coread.deliver.errors import ObjectRefused, PeerAborted
from coread.deliver.retrieve import Archive, Drop, OpenArchive, WantedInstance
from coread.deliver.web import WebService, check_status, client

if TYPE_CHECKING:
    import httpx

_PAGE = 200
_ACCEPT = 'multipart/related; type="application/dicom"; transfer-syntax=*'
_STUDY, _SERIES, _INSTANCE = "0020000D", "0020000E", "00080018"


def web_archive(service: WebService) -> OpenArchive:
    """Return what opens an archive that speaks DICOMweb."""

    @contextmanager
    def opened(drop: Drop) -> Iterator[Archive]:
        yield _WebArchive(service, drop)

    return opened


class _WebArchive:
    def __init__(self, service: WebService, drop: Drop) -> None:
        self._service, self._drop = service, drop

    def studies(self, filters: Mapping[str, str]) -> tuple[str, ...]:
        return tuple(_value(item, _STUDY) for item in self._search("/studies", filters))

    def instances(self, study_instance_uid: str) -> tuple[WantedInstance, ...]:
        found = self._search(f"/studies/{study_instance_uid}/instances", {})
        return tuple(
            WantedInstance(study_instance_uid, _value(item, _SERIES), _value(item, _INSTANCE)) for item in found
        )

    def fetch_study(self, wanted: Sequence[WantedInstance]) -> None:
        """Fetch one by one all the same: what came before a failure is kept."""
        self.fetch(wanted)

    def fetch(self, wanted: Sequence[WantedInstance]) -> None:
        with client(self._service) as opened:
            for item in wanted:
                path = f"/studies/{item.study_instance_uid}/series/{item.series_instance_uid}"
                url = self._service.url(f"{path}/instances/{item.sop_instance_uid}")
                answer = opened.get(url, headers={"Accept": _ACCEPT})
                check_status(self._service, answer.status_code)
                data = _only_part(self._service, answer)
                self._drop.write(item.study_instance_uid, item.sop_instance_uid, [data])

    def _search(self, path: str, parameters: Mapping[str, str]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        with client(self._service) as opened:
            while True:
                page = {"limit": str(_PAGE), "offset": str(len(found))}
                answer = opened.get(
                    self._service.url(path), params={**parameters, **page}, headers={"Accept": "application/dicom+json"}
                )
                entries = _entries(self._service, answer)
                known = {_value(item, _INSTANCE) or _value(item, _STUDY) for item in found}
                fresh = [item for item in entries if (_value(item, _INSTANCE) or _value(item, _STUDY)) not in known]
                found += fresh
                # An archive that does not know paging sends everything, again and again.
                if len(entries) < _PAGE or not fresh:
                    return found


def _entries(service: WebService, answer: "httpx.Response") -> list[dict[str, Any]]:
    if answer.status_code == 204:
        return []
    try:
        check_status(service, answer.status_code)
        document = answer.json()
    except (ObjectRefused, ValueError) as problem:
        raise PeerAborted(f"{service} did not answer the query: {problem}") from problem
    return document if isinstance(document, list) else []


def _only_part(service: WebService, answer: "httpx.Response") -> bytes:
    """Return the DICOM file out of a multipart answer with one part, or out of a plain one."""
    kind = Message()
    kind["Content-Type"] = answer.headers.get("Content-Type", "")
    body = answer.content
    if kind.get_content_type() == "application/dicom":
        return body
    boundary = str(kind.get_param("boundary", ""))
    mark = b"--" + boundary.encode("ascii", "replace")
    begin = body.find(mark)
    head_end = body.find(b"\r\n\r\n", begin)
    end = body.find(b"\r\n" + mark, head_end)
    if not boundary or begin < 0 or head_end < 0 or end < 0 or body[head_end + 4 + 128 : head_end + 4 + 132] != b"DICM":
        raise PeerAborted(f"{service} answered WADO-RS with something that is no DICOM file in one part")
    return body[head_end + 4 : end]


def _value(item: Mapping[str, Any], tag: str) -> str:
    values = item.get(tag, {}).get("Value", [])
    return str(values[0]) if values else ""
