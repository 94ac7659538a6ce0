"""An incremental reader of multipart/related bodies (RFC 2046, PS3.18 8.6.1.2.1) that never holds a part."""

from enum import Enum, auto
from typing import Protocol

from coread.receive.errors import MultipartBroken

_MAX_HEADER_BYTES = 8192
_MAX_BOUNDARY = 200
"""RFC 2046 5.1.1 allows 70; Orthanc sends 73."""
_MAX_PREAMBLE_BYTES = 65536


class PartSink(Protocol):
    """Where parts go."""

    def part_begins(self, headers: dict[str, str]) -> None:
        """A part starts; header names are in lower case."""

    def part_data(self, data: memoryview) -> None:
        """Some bytes of the part."""

    def part_ends(self) -> None:
        """The part is complete."""


class _Place(Enum):
    PREAMBLE = auto()
    AFTER_BOUNDARY = auto()
    HEADERS = auto()
    BODY = auto()
    EPILOGUE = auto()


class MultipartReader:
    """Feed it chunks of any size; it calls the sink."""

    def __init__(self, boundary: str, sink: PartSink) -> None:
        raw = boundary.encode("ascii", "replace")
        if not 1 <= len(raw) <= _MAX_BOUNDARY:
            raise MultipartBroken(f"the boundary must have 1 to {_MAX_BOUNDARY} characters")
        self._delimiter = b"\r\n--" + raw
        self._sink = sink
        self._place = _Place.PREAMBLE
        self._held = b"\r\n"  # the first boundary may stand at the very beginning of the body
        self._skipped = 0

    @property
    def complete(self) -> bool:
        """Say whether the closing boundary was seen."""
        return self._place is _Place.EPILOGUE

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body."""
        data = self._held + chunk if self._held else chunk
        self._held = b""
        position = 0
        while True:
            before, place = position, self._place
            position = self._step(data, position)
            if position == before and place is self._place:
                break
        self._held = data[position:]

    def _step(self, data: bytes, position: int) -> int:
        """Consume what can be consumed at this place; the same position means: more bytes are needed."""
        if self._place is _Place.BODY or self._place is _Place.PREAMBLE:
            return self._to_delimiter(data, position)
        if self._place is _Place.AFTER_BOUNDARY:
            return self._after_boundary(data, position)
        if self._place is _Place.HEADERS:
            return self._headers(data, position)
        return len(data)

    def _to_delimiter(self, data: bytes, position: int) -> int:
        found = data.find(self._delimiter, position)
        stop = found if found >= 0 else max(position, len(data) - len(self._delimiter) + 1)
        if self._place is _Place.BODY:
            if stop > position:
                self._sink.part_data(memoryview(data)[position:stop])
        else:
            self._skipped += stop - position
            if self._skipped > _MAX_PREAMBLE_BYTES:
                raise MultipartBroken("no boundary in the first 64 KiB of the body")
        if found < 0:
            return stop
        if self._place is _Place.BODY:
            self._sink.part_ends()
        self._place = _Place.AFTER_BOUNDARY
        return found + len(self._delimiter)

    def _after_boundary(self, data: bytes, position: int) -> int:
        if data.startswith(b"--", position):
            self._place = _Place.EPILOGUE
            return len(data)
        end = data.find(b"\r\n", position)
        if end < 0:
            if len(data) - position > 128:
                raise MultipartBroken("a boundary line that does not end")
            return position
        if data[position:end].strip(b" \t"):
            raise MultipartBroken("text behind a boundary")
        self._place = _Place.HEADERS
        return end  # its CRLF stays: a part without headers then shows as an empty line

    def _headers(self, data: bytes, position: int) -> int:
        end = data.find(b"\r\n\r\n", position)
        if end < 0:
            if len(data) - position > _MAX_HEADER_BYTES:
                raise MultipartBroken("part headers of more than 8 KiB")
            return position
        self._sink.part_begins(_parse_headers(data[position:end]))
        self._place = _Place.BODY
        # An empty part may be closed right here: the last CRLF can belong to the delimiter.
        return end + 4 if not data.startswith(self._delimiter, end + 2) else end + 2


def _parse_headers(raw: bytes) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in raw.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if colon:
            headers[name.strip().lower().decode("ascii", "replace")] = value.strip().decode("latin-1")
    return headers
