"""One C-STORE data set: from its first fragment to the status that the sender gets."""

import logging
from dataclasses import dataclass

from coread.domain.errors import CoreadError
from coread.domain.identifiers import is_tolerable_uid
from coread.domain.reasons import Reason, ReasonCode
from coread.domain.study import InstanceHeader, Origin
from coread.imaging.errors import ImagingRefused
from coread.imaging.header import scan_header
from coread.receive import statuses
from coread.receive.dimse import Command
from coread.receive.errors import ObjectRefused
from coread.receive.indexing import Indexer, SealedFile
from coread.receive.part10 import file_head
from coread.receive.settings import ReceiveSettings
from coread.receive.staging import StagingArea, StagingFile
from coread.store import DiskLevel, Store

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Intake:
    """What all associations of one process share."""

    store: Store
    indexer: Indexer
    settings: ReceiveSettings
    area: StagingArea

    def check_room(self) -> None:
        """Raise ObjectRefused when the disk is nearly full or too much waits for the index."""
        if self.store.disk_state().level is DiskLevel.REFUSE:
            raise ObjectRefused(statuses.OUT_OF_RESOURCES, "disk nearly full")
        if self.indexer.backlog >= self.settings.limits.max_backlog:
            raise ObjectRefused(statuses.OUT_OF_RESOURCES, "index is behind, send again later")


class IncomingObject:
    """Takes the fragments of one data set; after a refusal it swallows the rest and says why at the end."""

    def __init__(self, intake: Intake, command: Command, transfer_syntax: str, origin: Origin) -> None:
        self._intake = intake
        self._command = command
        self._origin = origin
        self.kept: SealedFile | None = None
        """The object once it is safe; whoever asked for it hands it to the index."""
        self._staging: StagingFile | None = None
        self._refusal: ObjectRefused | None = None
        try:
            self._staging = self._open(transfer_syntax)
        except ObjectRefused as refusal:
            self._refusal = refusal

    def _open(self, transfer_syntax: str) -> StagingFile:
        command = self._command
        for uid in (command.sop_class_uid, command.sop_instance_uid):
            if not is_tolerable_uid(uid):
                code = ReasonCode.BAD_UID if uid else ReasonCode.MISSING_UID
                raise ObjectRefused(statuses.status_of(code), "UID of the command set is not a UID")
        self._intake.check_room()
        head = file_head(command.sop_class_uid, command.sop_instance_uid, transfer_syntax)
        return StagingFile(self._intake.area, head, max_bytes=self._intake.settings.limits.max_object_bytes)

    def add(self, view: memoryview) -> None:
        """Take one piece; the view must stay valid until ``flush``."""
        if self._staging is None:
            return
        try:
            self._staging.add(view)
        except ObjectRefused as refusal:
            self._refuse(refusal)

    def flush(self) -> None:
        """Write all pieces taken so far."""
        if self._staging is None:
            return
        try:
            self._staging.flush()
        except ObjectRefused as refusal:
            self._refuse(refusal)

    def finish(self) -> tuple[int, str]:
        """Make the object safe; return status and comment for the sender."""
        self.flush()
        if self._staging is not None:
            try:
                self._keep(self._staging)
            except ObjectRefused as refusal:
                self._refuse(refusal)
        if self._refusal is None:
            return statuses.SUCCESS, ""
        _LOG.warning("object refused with %04X: %s", self._refusal.status, self._refusal)
        return self._refusal.status, str(self._refusal)

    def abandon(self) -> None:
        """Remove what came of an object that will never be complete."""
        if self._staging is not None:
            self._staging.discard()
            self._staging = None

    def _keep(self, staging: StagingFile) -> None:
        try:
            header = scan_header(staging.path)
        except ImagingRefused as refusal:
            raise ObjectRefused(statuses.status_of(refusal.reason.code), str(refusal), refusal.reason) from refusal
        _check_identity(header, self._command)
        durable = self._intake.settings.durable
        path = staging.seal(durable=durable)
        self.kept = SealedFile(path, header, staging.size, staging.sha256, self._origin, durable)

    def _refuse(self, refusal: ObjectRefused) -> None:
        """Remember the first refusal; keep the bytes in quarantine when they can tell what was wrong."""
        self._refusal = refusal
        staging, self._staging = self._staging, None
        if staging is None:
            return
        if refusal.reason is None or refusal.reason.code is ReasonCode.TOO_LARGE:
            staging.discard()
            return
        try:
            self._intake.store.quarantine(staging.close(), refusal.reason, self._origin)
        except (CoreadError, OSError) as error:
            # The sender is told of the refusal all the same; only the bytes are not kept for study.
            _LOG.warning("a refused object cannot be kept in quarantine: %s", type(error).__name__)
            staging.discard()


def _check_identity(header: InstanceHeader, command: Command) -> None:
    """The data set must be the object that the command announced (PS3.4 B.2.3, status A9xx)."""
    if header.sop_instance_uid != command.sop_instance_uid:
        reason = Reason(ReasonCode.BAD_HEADER, "SOP Instance UID differs between command and data set")
        raise ObjectRefused(statuses.DATA_SET_MISMATCH, reason.detail, reason)
    if header.sop_class_uid != command.sop_class_uid:
        reason = Reason(ReasonCode.BAD_HEADER, "SOP Class UID differs between command and data set")
        raise ObjectRefused(statuses.DATA_SET_MISMATCH, reason.detail, reason)
