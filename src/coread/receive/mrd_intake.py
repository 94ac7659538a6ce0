"""A complete stream of raw MR data becomes an ISMRMRD file inside a DICOM Raw Data object, and goes to the store."""

import contextlib
import errno
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from coread.domain.reasons import Reason, ReasonCode
from coread.domain.study import Origin, Received, ReceiveStatus
from coread.imaging.errors import ImagingRefused, NotRawData
from coread.imaging.mr.files import raw_object
from coread.imaging.mr.files.ismrmrd_writing import Acquisition, write_table
from coread.receive.errors import ObjectRefused
from coread.receive.files import FileDoor, IncomingFile
from coread.receive.mrd_spool import CLOSED, OPEN, SpooledStream, SpoolFolder
from coread.receive.staging import BytesInFlight, StagingArea
from coread.store import StagedFile, Store

_LOG = logging.getLogger(__name__)
_COPY_BYTES = 1 << 20
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True, slots=True)
class StreamFate:
    """What became of a stream."""

    kept: bool
    detail: str
    """For the peer and the log: identifiers and reasons, nobody's name."""
    received: Received | None = None


class MrdIntake:
    """Hands complete streams in; shared by all connections of one process."""

    def __init__(self, store: Store, folder: SpoolFolder, *, durable: bool = True, most_bytes: int = 8 << 30) -> None:
        self.store = store
        self.folder = folder
        self._durable = durable
        self._most_bytes = most_bytes

    def take(self, spool: Path) -> StreamFate:
        """Keep a closed spool as an object; the spool goes once the object is safe, or to quarantine with a reason."""
        stream = SpooledStream(spool)
        origin = stream.origin()
        try:
            receipt = self._keep(stream, origin)
        except ImagingRefused as refusal:
            return self.put_aside(spool, refusal.reason, origin)
        except ObjectRefused as refusal:
            if refusal.reason is None:  # no room now: the spool stays, and is tried again at the next start
                _LOG.warning("a complete stream waits in the spool folder: %s", refusal)
                return StreamFate(False, f"not kept yet: {refusal}")
            return self.put_aside(spool, refusal.reason, origin)
        except (OSError, RuntimeError) as error:  # HDF5 tells of a full disk by a RuntimeError when it closes a file
            _LOG.warning("a complete stream waits in the spool folder: %s", type(error).__name__)
            told = "the disk is full" if getattr(error, "errno", None) in _FULL else "it could not be written"
            return StreamFate(False, f"not kept yet: {told}")
        spool.unlink(missing_ok=True)
        return fate_of(receipt)

    def put_aside(self, spool: Path, reason: Reason, origin: Origin) -> StreamFate:
        """Keep the bytes of a stream that cannot be used, with the reason, where people can look at them."""
        self.store.quarantine(spool, reason, origin)
        _LOG.warning("a stream of raw MR data was put aside: %s", reason.code)
        return StreamFate(False, f"refused: {reason.text()}")

    def recover(self) -> list[StreamFate]:
        """Deal with what an earlier process left: complete streams are kept, others put aside with a record."""
        cut = Reason(ReasonCode.TRUNCATED, "the receiver was stopped before the stream of raw data was complete")
        fates = [self.put_aside(path, cut, SpooledStream(path).origin()) for path in self.folder.left(OPEN)]
        fates += [self.take(path) for path in self.folder.left(CLOSED)]
        if fates:
            _LOG.warning("%d streams of an earlier run: %s", len(fates), "; ".join(fate.detail for fate in fates))
        return fates

    def _keep(self, stream: SpooledStream, origin: Origin) -> Received:
        area = StagingArea(self.store.staging_folder(), BytesInFlight(self._most_bytes))
        try:
            with self._object(stream) as path:
                staged = stage_file(FileDoor(self.store, area, origin, self._durable, self._most_bytes), path)
            return self.store.add_files([staged])[0]
        finally:
            area.close()

    @contextlib.contextmanager
    def _object(self, stream: SpooledStream) -> Iterator[Path]:
        raw, dicom = self.folder.work_path(".h5"), self.folder.work_path(".dcm")
        try:
            try:
                write_stream(raw, stream.xml(), stream.acquisitions())
                raw_object.write_wrapped(raw, dicom)
            except (ValueError, TypeError, LookupError) as problem:
                # Put aside for people to look at: raised on, it would end the receiver, now and at every start.
                raise NotRawData(f"the stream makes no file ({type(problem).__name__})") from problem
            raw.unlink()
            yield dicom
        finally:
            raw.unlink(missing_ok=True)
            dicom.unlink(missing_ok=True)


def write_stream(path: Path, xml: bytes, rows: Iterator[Acquisition]) -> None:
    """Write the messages of a stream as an ISMRMRD file, unchanged; raises NotRawData when no acquisition came."""
    import h5py

    with h5py.File(path, "w") as file:
        group = file.create_group("dataset")
        text = group.create_dataset("xml", shape=(1,), dtype=h5py.string_dtype("ascii"))
        text[0] = xml.rstrip(b"\0")
        if not write_table(group, rows):
            raise NotRawData("the stream holds no acquisition")


def stage_file(door: FileDoor, path: Path) -> StagedFile:
    """Bring a Part 10 file that we wrote through the door that all files take; raises ObjectRefused."""
    incoming = IncomingFile(door)
    try:
        with path.open("rb") as stream:
            while chunk := stream.read(_COPY_BYTES):
                incoming.add(chunk)
        return incoming.finish()
    finally:
        incoming.abandon()


def fate_of(receipt: Received) -> StreamFate:
    """Say in words what the store did; what contradicts the study (another patient, other bytes) is not kept in it."""
    kept = receipt.status in (ReceiveStatus.STORED, ReceiveStatus.DUPLICATE)
    if receipt.status is ReceiveStatus.CONFLICT:
        return StreamFate(kept, f"put aside for people to look at: {receipt.detail}", receipt)
    text = f"{receipt.status.value} as Raw Data object {receipt.sop_instance_uid} of study {receipt.study_instance_uid}"
    return StreamFate(kept, f"{text}: {receipt.detail}" if receipt.detail else text, receipt)
