"""STOW-RS (PS3.18 10.5) without a web framework: bytes in, receipts and the response data set out."""

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from coread.domain.study import Origin, Received, ReceiveStatus
from coread.receive import statuses
from coread.receive.errors import MultipartBroken, ObjectRefused
from coread.receive.files import FileDoor, IncomingFile
from coread.receive.multipart import MultipartReader
from coread.receive.staging import BytesInFlight, StagingArea
from coread.store import StagedFile, Store

_BATCH = 64
"""So many sealed parts are indexed together; the rest at the end of the body."""
_SYNC_THREADS = 8
"""So many sealed parts are synced at the same time, while the next ones come in: one journal commit serves many."""
DUPLICATE_INSTANCE = 0x0111
"""Another object with this SOP Instance UID is kept (PS3.7 C.4.2)."""


@dataclass(frozen=True, slots=True)
class StowLimits:
    """What one request may hold."""

    max_parts: int = 20000
    max_part_bytes: int = 8 << 30
    max_body_bytes: int = 64 << 30


@dataclass(frozen=True, slots=True)
class StowPart:
    """What became of one part: ``failure`` is 0 when it is kept."""

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    failure: int
    detail: str
    received: Received | None = None


@dataclass(frozen=True, slots=True)
class StowOutcome:
    """What became of one request."""

    parts: tuple[StowPart, ...]

    @property
    def http_status(self) -> int:
        """200 all kept, 202 some, 409 none (PS3.18 table 10.5.3-1), 503 when only room is missing."""
        failures = [part.failure for part in self.parts if part.failure]
        if not failures:
            return 200
        if len(failures) < len(self.parts):
            return 202
        return 503 if all(failure & 0xFF00 == statuses.OUT_OF_RESOURCES for failure in failures) else 409

    def response(self, retrieve_url: Callable[[StowPart], str] | None = None) -> dict[str, Any]:
        """Return the Store Instances Response Module as DICOM JSON (PS3.18 annex I.2)."""
        kept = [_item(part, retrieve_url) for part in self.parts if not part.failure]
        failed = [_item(part, None) for part in self.parts if part.failure]
        data_set: dict[str, Any] = {}
        if kept:
            data_set["00081199"] = {"vr": "SQ", "Value": kept}
        if failed:
            data_set["00081198"] = {"vr": "SQ", "Value": failed}
        return data_set


class StowIntake:
    """One STOW-RS request: ``feed`` the body as it comes, then ``finish``; ``abandon`` when it breaks off.

    Blocking file and database work happens inside ``feed`` and ``finish``: call them from a thread.
    """

    def __init__(
        self,
        store: Store,
        origin: Origin,
        boundary: str,
        *,
        study_instance_uid: str = "",
        limits: StowLimits | None = None,
        durable: bool = True,
    ) -> None:
        self._limits = limits or StowLimits()
        self._store = store
        self._study = study_instance_uid
        self._reader = MultipartReader(boundary, self)
        self._area = StagingArea(store.staging_folder(), BytesInFlight(self._limits.max_body_bytes))
        # The answer comes at the end of the request: parts are synced in groups while others come in.
        self._door = FileDoor(store, self._area, origin, False, self._limits.max_part_bytes)
        self._durable = durable
        self._current: IncomingFile | None = None
        self._body_bytes = 0
        self._count = 0
        self._sealed: list[StagedFile] = []
        self._unsynced: list[Path] = []
        self._pool = ThreadPoolExecutor(_SYNC_THREADS, "coread-stow-sync")
        self._syncs: list[Future[None]] = []
        self._parts: list[StowPart] = []

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body; raise MultipartBroken when it is not what it claims to be."""
        self._body_bytes += len(chunk)
        if self._body_bytes > self._limits.max_body_bytes:
            raise MultipartBroken(f"the body is longer than {self._limits.max_body_bytes} bytes")
        self._reader.feed(chunk)

    def finish(self) -> StowOutcome:
        """The body is over: index the rest and return what became of every part."""
        try:
            if not self._reader.complete:
                raise MultipartBroken("the body ends before its closing boundary")
            self._index()
            return StowOutcome(tuple(self._parts))
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Remove a half-received part and let go of the staging folder. Parts already sealed are indexed."""
        if self._current is not None:
            self._current.abandon()
            self._current = None
        try:
            self._index()
        finally:
            self._pool.shutdown()
            self._area.close()

    def part_begins(self, headers: dict[str, str]) -> None:
        """Called by the multipart reader."""
        self._count += 1
        if self._count > self._limits.max_parts:
            raise MultipartBroken(f"more than {self._limits.max_parts} parts")
        kind = headers.get("content-type", "application/dicom").split(";")[0].strip().lower()
        self._current = IncomingFile(self._door) if kind == "application/dicom" else None
        if self._current is None:
            self._parts.append(StowPart("", "", "", statuses.CANNOT_UNDERSTAND, f"a part of type {kind[:40]}"))

    def part_data(self, data: memoryview) -> None:
        """Called by the multipart reader."""
        if self._current is not None:
            self._current.add(data)

    def part_ends(self) -> None:
        """Called by the multipart reader."""
        current, self._current = self._current, None
        if current is None:
            return
        try:
            item = current.finish(study_instance_uid=self._study)
            self._sealed.append(item)
            self._unsynced.append(item.path)
        except ObjectRefused as refusal:
            given = current.given
            names = (given.sop_class_uid, given.sop_instance_uid) if given is not None else ("", "")
            self._parts.append(StowPart(*names, self._study, refusal.status, str(refusal)))
        if len(self._unsynced) >= _SYNC_THREADS:
            self._begin_sync()
        if len(self._sealed) >= _BATCH:
            self._index()

    def _begin_sync(self) -> None:
        paths, self._unsynced = self._unsynced, []
        if self._durable:
            self._syncs += [self._pool.submit(_sync, path) for path in paths]

    def _index(self) -> None:
        items, self._sealed = self._sealed, []
        if not items:
            return
        self._begin_sync()
        syncs, self._syncs = self._syncs, []
        for done in syncs:
            done.result()
        if self._durable:
            items = [replace(item, durable_already=True) for item in items]
        for item, receipt in zip(items, self._store.add_files(items), strict=True):
            self._parts.append(_part(item, receipt))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


def _part(item: StagedFile, receipt: Received) -> StowPart:
    failure = {ReceiveStatus.CONFLICT: DUPLICATE_INSTANCE, ReceiveStatus.REFUSED: statuses.PROCESSING_FAILURE}
    header = item.header
    return StowPart(
        header.sop_class_uid,
        header.sop_instance_uid,
        header.study_instance_uid,
        failure.get(receipt.status, statuses.SUCCESS),
        receipt.detail,
        receipt,
    )


def _item(part: StowPart, retrieve_url: Callable[[StowPart], str] | None) -> dict[str, Any]:
    item: dict[str, Any] = {}
    if part.sop_class_uid:
        item["00081150"] = {"vr": "UI", "Value": [part.sop_class_uid]}
        item["00081155"] = {"vr": "UI", "Value": [part.sop_instance_uid]}
    if part.failure:
        item["00081197"] = {"vr": "US", "Value": [part.failure]}
    elif retrieve_url is not None:
        item["00081190"] = {"vr": "UR", "Value": [retrieve_url(part)]}
    return item
