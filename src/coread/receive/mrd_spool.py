"""Streams of raw MR data on their way in: kept on disk as they come, so that memory stays small and nothing is lost.

A spool is called ``<name>.open`` while its stream runs and ``<name>.closed`` once the peer has said that it is
complete and its bytes are synced. What a killed process leaves is found by its name at the next start.
"""

import fcntl
import json
import logging
import os
import struct
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from coread.domain.study import Origin
from coread.imaging.errors import BadHeader, Truncated
from coread.imaging.mr.files.ismrmrd_writing import Acquisition
from coread.imaging.mr.files.layout import ACQUISITION_HEADER, Message
from coread.receive.errors import BadSettings

_LOG = logging.getLogger(__name__)
OPEN, CLOSED = ".open", ".closed"
_NUMBER = struct.Struct("<H")
_LENGTH = struct.Struct("<I")
_SIZES = struct.Struct("<H2xH")
_DIMENSIONS = struct.Struct("<H")
_BUFFER_BYTES = 1 << 20


def body_bytes(head: bytes) -> tuple[int, int]:
    """Return how many bytes of trajectory and of samples follow a fixed acquisition header."""
    samples, channels = _SIZES.unpack_from(head, 34)
    (dimensions,) = _DIMENSIONS.unpack_from(head, 176)
    return samples * dimensions * 4, samples * channels * 8


class SpoolFolder:
    """The folder of one receiver process, held by a lock that dies with it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder = folder
        self._descriptor = os.open(folder / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._descriptor)
            raise BadSettings("another process receives raw MR data into this folder; stop it first") from error
        for unfinished in folder.glob("*.work*"):
            unfinished.unlink(missing_ok=True)

    def left(self, ending: str) -> list[Path]:
        """Return the spools of an earlier process."""
        return sorted(self.folder.glob(f"*{ending}"))

    def work_path(self, ending: str) -> Path:
        """Return the name of a file that means nothing once this process is gone."""
        return self.folder / f"{uuid.uuid4().hex}.work{ending}"

    def close(self) -> None:
        """Give the folder up."""
        os.close(self._descriptor)


class Spool:
    """One stream being written: the messages that make up an acquisition, as they came."""

    def __init__(self, folder: SpoolFolder, origin: Origin) -> None:
        self.path = folder.folder / f"{uuid.uuid4().hex}{OPEN}"
        self.size = 0
        self._stream: BinaryIO = self.path.open("xb", buffering=_BUFFER_BYTES)
        self._stream.write(json.dumps({"peer": origin.peer, "address": origin.address}).encode() + b"\n")

    def header(self, xml: bytes) -> None:
        """Take the XML header."""
        self._write(_NUMBER.pack(Message.HEADER) + _LENGTH.pack(len(xml)))
        self._write(xml)

    def acquisition(self, head: bytes) -> None:
        """Take the fixed header of an acquisition; what follows comes by ``more``."""
        self._write(_NUMBER.pack(Message.ACQUISITION) + head)

    def more(self, view: memoryview) -> None:
        """Take the next bytes of an acquisition."""
        self._write(view)

    def complete(self, *, durable: bool) -> Path:
        """The stream is whole: make it safe, say so by its name, and return that."""
        self._stream.flush()
        if durable:
            os.fdatasync(self._stream.fileno())
        self._stream.close()
        self.path = self.path.rename(self.path.with_suffix(CLOSED))
        return self.path

    def stop(self) -> Path:
        """The stream broke: close the file as it is."""
        self._stream.close()
        return self.path

    def discard(self) -> None:
        """Nothing of an acquisition came, or there is no room for it."""
        try:
            self._stream.close()
        except OSError:
            _LOG.debug("what was not written yet is given up")
        self.path.unlink(missing_ok=True)

    def _write(self, data: bytes | memoryview) -> None:
        self.size += len(data)
        self._stream.write(data)


@dataclass(frozen=True, slots=True)
class SpooledStream:
    """A spool for reading."""

    path: Path

    def origin(self) -> Origin:
        """Return where the stream came from."""
        with self.path.open("rb") as stream:
            try:
                about = json.loads(stream.readline(4096))
                return Origin("mrd", str(about["peer"]), str(about["address"]))
            except (ValueError, KeyError, TypeError):
                return Origin("mrd")  # the process died before the first line was written

    def xml(self) -> bytes:
        """Return the XML header; raises BadHeader where none came."""
        with self.path.open("rb") as stream:
            stream.readline()
            kind = stream.read(_NUMBER.size)
            if len(kind) < _NUMBER.size or _NUMBER.unpack(kind)[0] != Message.HEADER:
                raise BadHeader("the stream holds no header")
            return _exactly(stream, _LENGTH.unpack(_exactly(stream, _LENGTH.size))[0])

    def acquisitions(self) -> Iterator[Acquisition]:
        """Yield the acquisitions in their order; raises Truncated when the file ends inside one."""
        with self.path.open("rb", buffering=_BUFFER_BYTES) as stream:
            stream.readline()
            _exactly(stream, _NUMBER.size)
            stream.seek(_LENGTH.unpack(_exactly(stream, _LENGTH.size))[0], os.SEEK_CUR)
            while kind := stream.read(_NUMBER.size):
                if len(kind) < _NUMBER.size or _NUMBER.unpack(kind)[0] != Message.ACQUISITION:
                    raise Truncated("the spooled stream is damaged")
                yield _acquisition(stream)


def _acquisition(stream: BinaryIO) -> Acquisition:
    head = _exactly(stream, ACQUISITION_HEADER.itemsize)
    way, samples = (_exactly(stream, size) for size in body_bytes(head))
    fixed = np.frombuffer(head, ACQUISITION_HEADER)[0]
    return Acquisition(
        np.asarray(fixed),
        np.frombuffer(way, np.float32),
        np.frombuffer(samples, np.complex64).reshape(1, -1),
    )


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise Truncated("the spooled stream ends inside a message")
    return data
