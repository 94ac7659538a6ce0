"""Answers in parts (multipart/related, RFC 2387): streamed from the files, with their length known beforehand."""

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from starlette.responses import Response, StreamingResponse

_CHUNK = 1 << 20
_SMALL = 8 << 20
"""Up to this size an answer is one piece: a single write is much faster than a stream of them."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part: its media type, and a file (from an offset), bytes, or what makes the bytes when they are sent."""

    content_type: str
    source: Path | bytes | Callable[[], bytes]
    offset: int = 0
    size: int = 0
    location: str = ""

    def length(self) -> int | None:
        """Return the length of the content, or None while it is not made yet."""
        if isinstance(self.source, bytes):
            return len(self.source)
        return self.size if isinstance(self.source, Path) else None

    def chunks(self) -> Iterator[bytes]:
        """Yield the content."""
        if isinstance(self.source, bytes):
            yield self.source
            return
        if not isinstance(self.source, Path):
            yield self.source()
            return
        with self.source.open("rb") as file:
            file.seek(self.offset)
            left = self.size
            while left > 0 and (chunk := file.read(min(_CHUNK, left))):
                left -= len(chunk)
                yield chunk


def whole_file(path: Path, content_type: str, location: str = "") -> Part:
    """Return a part that is one file."""
    return Part(content_type, path, 0, path.stat().st_size, location)


def single(part: Part) -> Response:
    """Answer with one part, not in a multipart message."""
    return _answer(part.chunks(), part.length(), part.content_type)


def multipart(parts: Sequence[Part], part_type: str) -> Response:
    """Answer with parts of this media type."""
    boundary = uuid.uuid4().hex
    heads = [_head(part, boundary) for part in parts]
    tail = f"\r\n--{boundary}--\r\n".encode()
    lengths = [part.length() for part in parts]
    known = [length for length in lengths if length is not None]
    total = sum(known) + sum(len(head) for head in heads) + len(tail) if len(known) == len(lengths) else None

    def body() -> Iterator[bytes]:
        for head, part in zip(heads, parts, strict=True):
            yield head
            yield from part.chunks()
        yield tail

    return _answer(body(), total, f'multipart/related; type="{part_type}"; boundary={boundary}')


def _head(part: Part, boundary: str) -> bytes:
    location = f"Content-Location: {part.location}\r\n" if part.location else ""
    return f"\r\n--{boundary}\r\nContent-Type: {part.content_type}\r\n{location}\r\n".encode()


def _answer(body: Iterator[bytes], length: int | None, content_type: str) -> Response:
    if length is not None and length <= _SMALL:
        return Response(b"".join(body), media_type=content_type)
    headers = {} if length is None else {"Content-Length": str(length)}
    return StreamingResponse(_gathered(body), media_type=content_type, headers=headers)


def _gathered(body: Iterator[bytes]) -> Iterator[bytes]:
    """Join small pieces: every piece costs a change of thread."""
    pieces: list[bytes] = []
    held = 0
    for piece in body:
        pieces.append(piece)
        held += len(piece)
        if held >= _CHUNK:
            yield b"".join(pieces)
            pieces, held = [], 0
    if pieces:
        yield b"".join(pieces)
