"""One object on its way to disk: streamed into the staging folder, then sealed or thrown away.

A sealed file is called ``<owner>-<name>.<size>.ready``: its bytes were complete when it got that name, so
after a crash everything called so can be indexed (and a power cut that lost bytes shows in the size).
The owner holds a lock as long as it lives, so that nobody indexes the files of a living receiver.
"""

import errno
import fcntl
import hashlib
import os
import re
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

from coread.domain.reasons import Reason, ReasonCode
from coread.receive import statuses
from coread.receive.errors import ObjectRefused

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_READY = re.compile(r"[0-9a-f]{12}-[0-9a-f]{32}\.(\d+)\.ready")
_PENDING_BYTES = 1 << 20
_PIECES = 256
"""Views gathered before one writev(): far below IOV_MAX (1024)."""


class BytesInFlight:
    """The sum of half-received objects, shared by all associations of one process."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._total = 0
        self._lock = threading.Lock()

    def grow(self, count: int) -> bool:
        """Add bytes; return False, adding nothing, when the limit forbids it."""
        with self._lock:
            if self._total + count > self._limit:
                return False
            self._total += count
            return True

    def shrink(self, count: int) -> None:
        """Give bytes back when their object is finished or gone."""
        with self._lock:
            self._total -= count


class StagingArea:
    """One owner's part of the staging folder, held by a lock that dies with the process."""

    def __init__(self, folder: Path, in_flight: BytesInFlight) -> None:
        self.folder = folder
        self.in_flight = in_flight
        self._name = uuid.uuid4().hex[:12]
        self._lock_path = folder / f"{self._name}.lock"
        unlocked = folder / f"{self._name}.new"
        self._descriptor = os.open(unlocked, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o640)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        unlocked.rename(self._lock_path)  # visible only once it is locked: nobody can take it for abandoned

    def new_path(self) -> Path:
        """Return the path of a file that does not exist yet."""
        return self.folder / f"{self._name}-{uuid.uuid4().hex}.part"

    def close(self) -> None:
        """Give the area up; sealed files that are still there are for the next recovery."""
        if self._descriptor < 0:
            return
        if not any(self.folder.glob(f"{self._name}-*")):
            self._lock_path.unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = -1


def abandoned_areas(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield (owner, lock path) of areas whose process is gone; each is held while it is yielded."""
    for lock_path in sorted(folder.glob("*.lock")):
        try:
            descriptor = os.open(lock_path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield lock_path.stem, lock_path
        except BlockingIOError:
            continue
        finally:
            os.close(descriptor)


class StagingFile:
    """Collects views of received bytes, writes many with one system call and digests them on the way.

    Digesting here costs less than reading the file again, and the sender sends on meanwhile.
    """

    def __init__(self, area: StagingArea, head: bytes, *, max_bytes: int) -> None:
        self.path = area.new_path()
        self.size = len(head)
        self._head_offset = len(head)
        self._in_flight = area.in_flight
        self._counted = 0
        self._max_bytes = max_bytes
        self._pending: list[memoryview | bytes] = [head]
        self._pending_bytes = len(head)
        self._digest = hashlib.sha256()
        self._descriptor = _open_new(self.path)

    @property
    def data_bytes(self) -> int:
        """How long the data set is so far."""
        return self.size - self._head_offset

    @property
    def sha256(self) -> str:
        """The digest of what was flushed."""
        return self._digest.hexdigest()

    def add(self, view: memoryview | bytes) -> None:
        """Take a piece of the data set; it is written at the next flush."""
        self.size += len(view)
        self._pending.append(view)
        self._pending_bytes += len(view)
        if len(self._pending) >= _PIECES or self._pending_bytes >= _PENDING_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what was taken; raise ObjectRefused when there is no room for it."""
        pieces, count = self._pending, self._pending_bytes
        if not count:
            return
        self._pending, self._pending_bytes = [], 0
        if self.size > self._max_bytes:
            reason = Reason(ReasonCode.TOO_LARGE, f"more than {self._max_bytes} bytes")
            raise ObjectRefused(statuses.status_of(reason.code), reason.text(), reason)
        if not self._in_flight.grow(count):
            raise ObjectRefused(statuses.OUT_OF_RESOURCES, "too many bytes in flight")
        self._counted += count
        try:
            _write_all(self._descriptor, pieces, count)
        except OSError as error:
            raise no_room(error) from error
        for piece in pieces:
            self._digest.update(piece)

    def seal(self, *, durable: bool) -> Path:
        """Make the bytes safe, name the file ready and return its path."""
        self.flush()
        ready = self.path.with_name(f"{self.path.stem}.{self.size}.ready")
        try:
            # Renamed first: the fdatasync that brings the bytes to the disk then also commits the name, because
            # ext4, XFS and btrfs journal in order. Measured: an fsync of the folder here costs 30 % of the rate.
            self.path.rename(ready)
            self.path = ready
            if durable:
                os.fdatasync(self._descriptor)
        except OSError as error:
            raise no_room(error) from error
        self._release()
        return ready

    def close(self) -> Path:
        """Stop writing and leave the file as it is (for quarantine)."""
        if self._descriptor >= 0 and self._pending:
            self.flush()
        self._release()
        return self.path

    def discard(self) -> None:
        """Throw the file away; harmless when it is gone already."""
        self._pending, self._pending_bytes = [], 0
        self._release()
        self.path.unlink(missing_ok=True)

    def _release(self) -> None:
        self._in_flight.shrink(self._counted)
        self._counted = 0
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def no_room(error: OSError) -> ObjectRefused:
    """Translate a failed write into the status that asks the sender to come back later."""
    if error.errno in _FULL:
        return ObjectRefused(statuses.OUT_OF_RESOURCES, "the disk is full")
    return ObjectRefused(statuses.OUT_OF_RESOURCES, f"cannot write: {error.strerror}")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb", buffering=0) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def size_in_name(path: Path) -> int | None:
    """Return the size that a sealed file had when it was acknowledged, or None for other names."""
    match = _READY.fullmatch(path.name)
    return int(match.group(1)) if match else None


def _open_new(path: Path) -> int:
    try:
        return os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise no_room(error) from error


def _write_all(descriptor: int, pieces: list[memoryview | bytes], count: int) -> None:
    written = os.writev(descriptor, pieces)
    if written == count:
        return
    rest = memoryview(b"".join(pieces))[written:]  # a short write: rare, one more try shows why
    while rest:
        rest = rest[os.write(descriptor, rest) :]
