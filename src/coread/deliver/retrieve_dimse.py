"""Asking an archive by C-FIND and having it send by C-MOVE to a storage SCP that lives as long as the retrieval."""

import logging
import ssl
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from coread.deliver.association import ProposedContext, associated
from coread.deliver.errors import BadDestination, FolderFailed, ObjectRefused, PeerAborted, PeerRefused, PeerTimedOut
from coread.deliver.peer import Peer
from coread.deliver.retrieve import Archive, Drop, OpenArchive, WantedInstance
from coread.domain.errors import CoreadError
from coread.imaging.header import scan_header_bytes

_STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
_STUDY_ROOT_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
_PLAIN = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2")
_PENDING = (0xFF00, 0xFF01)
_UNKNOWN_DESTINATION = 0xA801
_SOME_FAILED = 0xB000
_AT_ONCE = 500
"""SOP Instance UIDs in one C-MOVE: some archives do not take more in one list."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Listener:
    """Where the archive sends to: it must know our AE title with this host and port."""

    ae_title: str
    port: int
    host: str = ""
    """Address to listen on; empty: all."""
    tls: ssl.SSLContext | None = None
    """For archives that send encrypted."""


def move_archive(peer: Peer, listener: Listener) -> OpenArchive:
    """Return what opens an archive that is asked with C-FIND and C-MOVE (PS3.4 annex C)."""

    @contextmanager
    def opened(drop: Drop) -> Iterator[Archive]:
        with storage_scp(listener, drop):
            yield _MoveArchive(peer, listener, drop)

    return opened


class _MoveArchive:
    def __init__(self, peer: Peer, listener: Listener, drop: Drop) -> None:
        self._peer, self._listener, self._drop = peer, listener, drop

    def studies(self, filters: Mapping[str, str]) -> tuple[str, ...]:
        found = self._find("STUDY", {"StudyInstanceUID": "", **filters})
        return tuple(str(match.StudyInstanceUID) for match in found if match.get("StudyInstanceUID"))

    def instances(self, study_instance_uid: str) -> tuple[WantedInstance, ...]:
        wanted = []
        for series in self._find("SERIES", {"StudyInstanceUID": study_instance_uid, "SeriesInstanceUID": ""}):
            keys = {"StudyInstanceUID": study_instance_uid, "SeriesInstanceUID": str(series.SeriesInstanceUID)}
            for match in self._find("IMAGE", {**keys, "SOPInstanceUID": ""}):
                uid = str(match.SOPInstanceUID)
                wanted.append(WantedInstance(study_instance_uid, keys["SeriesInstanceUID"], uid))
        return tuple(wanted)

    def fetch_study(self, wanted: Sequence[WantedInstance]) -> None:
        self._move({"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": wanted[0].study_instance_uid})

    def fetch(self, wanted: Sequence[WantedInstance]) -> None:
        by_series: dict[tuple[str, str], list[str]] = {}
        for item in wanted:
            key = (item.study_instance_uid, item.series_instance_uid)
            by_series.setdefault(key, []).append(item.sop_instance_uid)
        for (study, series), uids in by_series.items():
            for start in range(0, len(uids), _AT_ONCE):
                keys = {"StudyInstanceUID": study, "SeriesInstanceUID": series}
                self._move({"QueryRetrieveLevel": "IMAGE", **keys, "SOPInstanceUID": uids[start : start + _AT_ONCE]})

    def _find(self, level: str, keys: Mapping[str, str]) -> list[Any]:
        query = _identifier({"QueryRetrieveLevel": level, **keys})
        matches = []
        with _asked(self._peer, _STUDY_ROOT_FIND) as association:
            for status, match in association.send_c_find(query, _STUDY_ROOT_FIND):
                if _status(self._peer, status, "C-FIND") in _PENDING and match is not None:
                    matches.append(match)
                elif status.Status not in (*_PENDING, 0):
                    raise PeerAborted(f"{self._peer} answered C-FIND with status 0x{status.Status:04X}")
        return matches

    def _move(self, keys: Mapping[str, Any]) -> None:
        title = self._listener.ae_title
        with _asked(self._peer, _STUDY_ROOT_MOVE) as association:
            for status, _ in association.send_c_move(_identifier(keys), title, _STUDY_ROOT_MOVE):
                code = _status(self._peer, status, "C-MOVE")
                if code == _UNKNOWN_DESTINATION:
                    raise PeerRefused(
                        f"{self._peer} does not know where {title!r} is: enter this AE title with our address and port "
                        f"{self._listener.port} in the archive"
                    )
                if code not in (*_PENDING, 0, _SOME_FAILED):
                    raise PeerAborted(f"{self._peer} answered C-MOVE with status 0x{code:04X}")


@contextmanager
def _asked(peer: Peer, sop_class: str) -> Iterator[Any]:
    try:
        with associated(peer, [ProposedContext(sop_class, _PLAIN)]) as association:
            yield association
    except ObjectRefused as refused:
        raise PeerAborted(f"{peer} does not answer queries: {refused}") from refused


def _status(peer: Peer, status: Any, what: str) -> int:
    if "Status" not in status:
        raise PeerTimedOut(f"{peer} did not answer {what} in {peer.timeout_seconds:g} s")
    return int(status.Status)


def _identifier(keys: Mapping[str, Any]) -> Any:
    from pydicom import Dataset
    from pydicom.datadict import tag_for_keyword

    dataset = Dataset()
    for keyword, value in keys.items():
        if tag_for_keyword(keyword) is None:
            raise BadDestination(f"{keyword!r} is no DICOM keyword; write e.g. StudyDate or ModalitiesInStudy")
        setattr(dataset, keyword, value)
    return dataset


@contextmanager
def storage_scp(listener: Listener, drop: Drop) -> Iterator[None]:
    """Take what the archive sends, in any storage SOP class and transfer syntax that pynetdicom knows."""
    from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, evt

    entity = AE(ae_title=listener.ae_title)
    for context in AllStoragePresentationContexts:
        entity.add_supported_context(str(context.abstract_syntax), ALL_TRANSFER_SYNTAXES)
    entity.add_supported_context("1.2.840.10008.1.1")
    lock = threading.Lock()

    def store(event: Any) -> int:
        return _kept(event, drop, lock)

    try:
        server: Any = entity.start_server(
            (listener.host, listener.port),
            block=False,
            ssl_context=listener.tls,
            evt_handlers=[(evt.EVT_C_STORE, store)],
        )
    except OSError as problem:
        raise BadDestination(f"port {listener.port}, where the archive sends to, is not free: {problem}") from problem
    try:
        yield
    finally:
        server.shutdown()


def _kept(event: Any, drop: Drop, lock: threading.Lock) -> int:
    """Write one object that the archive sends; any trouble is an answer other than success, and is logged."""
    body = event.encoded_dataset(include_meta=False)
    try:
        header = scan_header_bytes(body, str(event.context.transfer_syntax))
        with lock:
            drop.write(header.study_instance_uid, header.sop_instance_uid, [event.encoded_dataset()])
    except FolderFailed as problem:
        log.error("%s", problem)
        return 0xA700
    except (CoreadError, ValueError) as problem:
        log.warning("an object of the archive was refused: %s", problem)
        return 0xC000
    return 0
