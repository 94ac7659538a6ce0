"""One Part 10 file on its way in over STOW-RS or from a folder: streamed, checked, sealed.

Preamble and File Meta Information are written anew, so that the same object gives the same bytes
over every door; the data set is kept as it comes.
"""

import logging
from dataclasses import dataclass

from coread.domain.errors import CoreadError
from coread.domain.identifiers import is_tolerable_uid
from coread.domain.reasons import Reason, ReasonCode
from coread.domain.study import InstanceHeader, Origin
from coread.imaging.errors import ImagingRefused
from coread.imaging.header import scan_header
from coread.receive import statuses
from coread.receive.errors import ObjectRefused
from coread.receive.part10 import GivenHead, file_head, read_given_head
from coread.receive.staging import StagingArea, StagingFile
from coread.store import DiskLevel, StagedFile, Store

_LOG = logging.getLogger(__name__)
_HEAD_LIMIT = 16384
"""File Meta Information longer than this is kept as it came."""


@dataclass(frozen=True, slots=True)
class FileDoor:
    """What all files of one request or folder share."""

    store: Store
    area: StagingArea
    origin: Origin
    durable: bool = True
    max_bytes: int = 8 << 30


class IncomingFile:
    """Takes the bytes of one file as they come; nothing but its first kilobytes is held in memory."""

    def __init__(self, door: FileDoor) -> None:
        self._door = door
        self.given: GivenHead | None = None
        """What the file's own meta information says it is, once that was read."""
        self._held = b""
        self._staging: StagingFile | None = None
        self._refusal: ObjectRefused | None = None
        if door.store.disk_state().level is DiskLevel.REFUSE:
            self._refusal = ObjectRefused(statuses.OUT_OF_RESOURCES, "disk nearly full")

    def add(self, data: memoryview | bytes) -> None:
        """Take the next bytes of the file."""
        if self._refusal is not None:
            return
        try:
            self._take(data)
        except ObjectRefused as refusal:
            self._refuse(refusal)

    def finish(self, *, study_instance_uid: str = "") -> StagedFile:
        """Check and seal the file; raise ObjectRefused (bytes in quarantine where they can be understood)."""
        try:
            if self._refusal is not None:
                raise self._refusal
            return self._seal(study_instance_uid)
        except ObjectRefused as refusal:
            self._refuse(refusal)
            raise

    def abandon(self) -> None:
        """The rest will not come: remove the file."""
        if self._staging is not None:
            self._staging.discard()
            self._staging = None

    def _take(self, data: memoryview | bytes) -> None:
        if self._staging is not None:
            self._staging.add(data)
            return
        self._held += bytes(data)
        if (given := read_given_head(self._held)) is not None:
            self.given = given
            head = file_head(given.sop_class_uid, given.sop_instance_uid, given.transfer_syntax_uid)
            self._open(head, self._held[given.end :])
        elif len(self._held) > _HEAD_LIMIT:
            self._open(b"", self._held)

    def _open(self, head: bytes, rest: bytes) -> None:
        self._held = b""
        self._staging = StagingFile(self._door.area, head, max_bytes=self._door.max_bytes)
        self._staging.add(rest)

    def _seal(self, study_instance_uid: str) -> StagedFile:
        if self._staging is None:
            self._open(b"", self._held)
        staging = self._staging
        if staging is None or staging.size == 0:
            raise _refused(Reason(ReasonCode.NOT_DICOM, "the file is empty"))
        staging.flush()
        try:
            header = scan_header(staging.path)
        except ImagingRefused as refusal:
            raise _refused(refusal.reason) from refusal
        _check(header, study_instance_uid)
        path = staging.seal(durable=self._door.durable)
        self._staging = None
        return StagedFile(path, header, staging.size, staging.sha256, self._door.origin, self._door.durable)

    def _refuse(self, refusal: ObjectRefused) -> None:
        self._refusal = refusal
        staging, self._staging = self._staging, None
        if staging is None:
            return
        if refusal.reason is None or refusal.reason.code in (ReasonCode.TOO_LARGE, ReasonCode.NOT_DICOM):
            staging.discard()
            return
        try:
            self._door.store.quarantine(staging.close(), refusal.reason, self._door.origin)
        except (CoreadError, OSError) as error:
            # The refusal is told all the same; only the bytes are not kept for study.
            _LOG.warning("a refused object cannot be kept in quarantine: %s", type(error).__name__)
            staging.discard()


def _refused(reason: Reason) -> ObjectRefused:
    return ObjectRefused(statuses.status_of(reason.code), reason.text(), reason)


def _check(header: InstanceHeader, study_instance_uid: str) -> None:
    if study_instance_uid and header.study_instance_uid != study_instance_uid:
        reason = Reason(ReasonCode.BAD_HEADER, "the object belongs to another study than the request names")
        raise ObjectRefused(statuses.DATA_SET_MISMATCH, reason.detail, reason)
    if not is_tolerable_uid(header.sop_instance_uid):
        raise _refused(Reason(ReasonCode.BAD_UID, "SOP Instance UID"))
