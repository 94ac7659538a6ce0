"""One connection of the MRD streaming protocol: messages in, one text and the closing message out.

Only headers are looked at; what lies between them goes to the spool as it comes. Source: MRD documentation, "Session
Protocol" and "Message Types".
"""

import logging
import socket
import struct
from enum import StrEnum

import numpy as np

from coread.domain.reasons import Reason, ReasonCode
from coread.domain.study import Origin
from coread.imaging.errors import ImagingRefused
from coread.imaging.mr.files.flexible_header import MOST_XML_BYTES, parsed_header
from coread.imaging.mr.files.layout import (
    ACQUISITION_HEADER,
    CONFIG_FILE_BYTES,
    IMAGE_HEADER_BYTES,
    MOST_CHANNELS,
    WAVEFORM_HEADER_BYTES,
    Message,
)
from coread.receive.errors import ConnectionEnded, ObjectRefused, PeerTooSlow, ProtocolBroken
from coread.receive.mrd_intake import MrdIntake, StreamFate
from coread.receive.mrd_settings import MrdSettings
from coread.receive.mrd_spool import Spool, body_bytes
from coread.receive.statuses import OUT_OF_RESOURCES
from coread.receive.wire import Wire
from coread.store import DiskLevel

_LOG = logging.getLogger(__name__)
_NUMBER = struct.Struct("<H")
_LENGTH = struct.Struct("<I")
_LONG = struct.Struct("<Q")
_IMAGE_TYPES = {1: 2, 2: 2, 3: 4, 4: 4, 5: 4, 6: 8, 7: 8, 8: 16}
"""Bytes of one value of an image, by the number of its type."""
_ROOM_EVERY = 64 << 20
"""Whether the disk still has room is asked once in so many bytes of a stream."""


class StreamEnd(StrEnum):
    """How a connection ended."""

    KEPT = "kept"
    REFUSED = "refused"
    EMPTY = "empty"
    """Closed without data: some clients first ask whether anybody is there."""
    BROKEN = "broken"


class MrdStream:
    """Serves one peer; ``run`` returns how it ended."""

    def __init__(self, connection: socket.socket, address: str, intake: MrdIntake, settings: MrdSettings) -> None:
        self._wire = Wire(connection, write_seconds=settings.write_seconds)
        self._intake = intake
        self._settings = settings
        self._origin = Origin("mrd", peer=f"mrd@{address}", address=address)
        self._spool: Spool | None = None
        self._left_out: dict[str, int] = {}
        self._acquisitions = 0
        self._ask_room_at = _ROOM_EVERY
        self.detail = ""

    def run(self) -> StreamEnd:
        """Take messages until the peer closes its stream; never raises for what a peer does."""
        try:
            self._check_room()
            self._take_messages()
            end, self.detail = self._finished()
        except (ProtocolBroken, ObjectRefused, ImagingRefused) as problem:
            end, self.detail = StreamEnd.REFUSED, self._aside(problem)
        except ConnectionEnded as problem:
            end, self.detail = StreamEnd.BROKEN, self._aside(problem)
        except OSError as problem:
            end, self.detail = StreamEnd.REFUSED, self._aside(problem)
        finally:
            self._let_go()
        self._answer(end)
        return end

    def refuse(self, why: str) -> None:
        """Tell a peer that it cannot be served now."""
        self.detail = why
        self._answer(StreamEnd.REFUSED)

    def cut(self) -> None:
        """End the connection from another thread: a read that waits then returns at once."""
        try:
            self._wire.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            _LOG.debug("the connection was closed already")

    def _check_room(self) -> None:
        if self._intake.store.disk_state().level is DiskLevel.REFUSE:
            raise ObjectRefused(OUT_OF_RESOURCES, "disk nearly full")

    def _take_messages(self) -> None:
        while True:
            self._wire.patience(self._settings.idle_seconds)
            (number,) = self._wire.struct(_NUMBER)
            self._wire.patience(self._settings.read_seconds)
            self._wire.expect_pace(self._settings.read_seconds, self._settings.min_bytes_per_second)
            if number == Message.CLOSE:
                return
            self._take(number)
            self._check_size()

    def _take(self, number: int) -> None:
        match number:
            case Message.CONFIG_FILE:
                self._skip(CONFIG_FILE_BYTES)
            case Message.CONFIG_TEXT | Message.TEXT:
                self._skip(self._text_length())
            case Message.HEADER:
                self._header()
            case Message.ACQUISITION:
                self._acquisition()
            case Message.IMAGE:
                self._image()
            case Message.WAVEFORM:
                self._waveform()
            case _:
                raise ProtocolBroken(f"message {number} is not one of this protocol")

    def _text_length(self) -> int:
        (length,) = self._wire.struct(_LENGTH)
        if length > MOST_XML_BYTES:
            raise ProtocolBroken(f"a text of {length} bytes; at most {MOST_XML_BYTES} are taken")
        return int(length)

    def _header(self) -> None:
        if self._spool is not None:
            raise ProtocolBroken("a second header in one stream")
        xml = bytearray()
        left = self._text_length()
        while left:
            view = self._wire.some(left)
            xml += view
            left -= len(view)
        parsed_header(bytes(xml))  # what cannot be read at the end is refused at the beginning
        self._spool = Spool(self._intake.folder, self._origin)
        self._spool.header(bytes(xml))

    def _acquisition(self) -> None:
        if self._spool is None:
            raise ProtocolBroken("an acquisition before the header")
        head = self._wire.exactly(ACQUISITION_HEADER.itemsize)
        fixed = np.frombuffer(head, ACQUISITION_HEADER)[0]
        if not 1 <= int(fixed["active_channels"]) <= MOST_CHANNELS or int(fixed["trajectory_dimensions"]) > 16:
            raise ProtocolBroken(f"an acquisition of {int(fixed['active_channels'])} coils")
        self._spool.acquisition(head)
        left = sum(body_bytes(head))
        while left:
            view = self._wire.some(left)
            self._spool.more(view)
            left -= len(view)
        self._acquisitions += 1

    def _image(self) -> None:
        """Read over an image: only samples are received here."""
        head = self._wire.exactly(IMAGE_HEADER_BYTES)
        (kind,) = _NUMBER.unpack_from(head, 2)
        x, y, z, channels = (*struct.unpack_from("<3H", head, 16), _NUMBER.unpack_from(head, 34)[0])
        (attributes,) = self._wire.struct(_LONG)
        if kind not in _IMAGE_TYPES or attributes > MOST_XML_BYTES:
            raise ProtocolBroken("an image whose header cannot be read")
        self._skip(attributes + x * y * z * channels * _IMAGE_TYPES[kind])
        self._count("images")

    def _waveform(self) -> None:
        head = self._wire.exactly(WAVEFORM_HEADER_BYTES)
        samples, channels = struct.unpack_from("<HH", head, 28)
        self._skip(samples * channels * 4)
        self._count("waveforms")

    def _count(self, what: str) -> None:
        self._left_out[what] = self._left_out.get(what, 0) + 1

    def _skip(self, size: int) -> None:
        while size:
            size -= len(self._wire.some(size))

    def _check_size(self) -> None:
        if self._spool is None:
            return
        if self._spool.size >= self._ask_room_at:
            self._ask_room_at = self._spool.size + _ROOM_EVERY
            self._check_room()
        if self._spool.size > self._settings.max_stream_bytes:
            reason = Reason(ReasonCode.TOO_LARGE, f"a stream of more than {self._settings.max_stream_bytes} bytes")
            raise ObjectRefused(OUT_OF_RESOURCES, reason.text(), reason)

    def _finished(self) -> tuple[StreamEnd, str]:
        """The stream is whole: keep it."""
        spool, self._spool = self._spool, None
        if spool is None:
            return StreamEnd.EMPTY, "nothing was sent"
        if not self._acquisitions:
            spool.discard()
            return StreamEnd.EMPTY, "a header without acquisitions"
        fate: StreamFate = self._intake.take(spool.complete(durable=self._settings.durable))
        left_out = "".join(f"; {count} {what} left out" for what, count in self._left_out.items())
        return (StreamEnd.KEPT if fate.kept else StreamEnd.REFUSED), fate.detail + left_out

    def _aside(self, problem: Exception) -> str:
        """Put what came of a broken stream aside with the reason; return what the peer is told."""
        spool, self._spool = self._spool, None
        told = f"cannot write: {problem.strerror}" if isinstance(problem, OSError) else str(problem)
        if spool is None:
            return told
        if isinstance(problem, (OSError, ObjectRefused)):
            spool.discard()  # too large, or no room: such bytes tell nobody anything
            self._intake.store.add_history("", "receive.refused", told, actor=self._origin.peer)
            return told
        if not self._acquisitions:
            spool.discard()
            return told
        code = ReasonCode.TRUNCATED if isinstance(problem, ConnectionEnded) else ReasonCode.BAD_HEADER
        reason = Reason(code, f"{told}; {self._acquisitions} acquisitions had come")
        try:
            return self._intake.put_aside(spool.stop(), reason, self._origin).detail
        except OSError as error:
            _LOG.warning("a broken stream cannot be kept aside: %s", error.strerror)
            return told

    def _let_go(self) -> None:
        if self._spool is not None:
            self._spool.stop()

    def _answer(self, end: StreamEnd) -> None:
        text = f"Coread: {self.detail}".encode()[:4000]
        told = b"" if end is StreamEnd.EMPTY else _NUMBER.pack(Message.TEXT) + _LENGTH.pack(len(text)) + text
        try:
            self._wire.send(told + _NUMBER.pack(Message.CLOSE))
            self._wire.drain()
        except (ConnectionEnded, PeerTooSlow):
            _LOG.debug("the peer was gone before it was answered")
        finally:
            self._wire.close()
