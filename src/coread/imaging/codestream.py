"""The size that a compressed frame itself states, read before any decoder allocates for it."""

from dataclasses import dataclass

_SOI = b"\xff\xd8"
_J2K = b"\xff\x4f\xff\x51"
_JP2_BOX = b"\x00\x00\x00\x0cjP  "
_NOT_FRAMES = {0xC4, 0xC8, 0xCC}
_JPEG_LS_FRAME = 0xF7


@dataclass(frozen=True, slots=True)
class StreamSize:
    """Rows, columns, components and bits per component in a JPEG or JPEG 2000 header."""

    rows: int
    columns: int
    components: int
    precision: int


def stream_size(data: bytes) -> StreamSize | None:
    """Return what the codestream header states; ``None`` where there is no such header."""
    if data.startswith(_SOI):
        return _jpeg_size(data)
    start = 0
    if data.startswith(_JP2_BOX):
        start = data.find(_J2K)
    return _jpeg2000_size(data, start) if start >= 0 and data.startswith(_J2K, start) else None


def _jpeg_size(data: bytes) -> StreamSize | None:
    """Find the frame header SOFn (ITU-T T.81 B.2.2) or SOF55 (T.87 C.2.2)."""
    position = 2
    while position + 10 <= len(data):
        if data[position] != 0xFF:
            return None
        marker = data[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        if marker == _JPEG_LS_FRAME or (0xC0 <= marker <= 0xCF and marker not in _NOT_FRAMES):
            number = int.from_bytes
            body = data[position + 4 : position + 10]
            return StreamSize(number(body[1:3], "big"), number(body[3:5], "big"), body[5], body[0])
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return None


def _jpeg2000_size(data: bytes, start: int) -> StreamSize | None:
    """Read the SIZ marker segment (ITU-T T.800 A.5.1)."""
    siz = data[start + 4 : start + 4 + 39]
    if len(siz) < 39:
        return None
    numbers = [int.from_bytes(siz[at : at + 4], "big") for at in range(4, 20, 4)]
    components = int.from_bytes(siz[36:38], "big")
    return StreamSize(numbers[1] - numbers[3], numbers[0] - numbers[2], components, (siz[38] & 0x7F) + 1)
