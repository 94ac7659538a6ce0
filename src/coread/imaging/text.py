"""Text of DICOM headers to Python text, tolerantly: a wrong character set loses characters, never the object.

Specific Character Set (0008,0005) with ISO 2022 code extensions as in PS3.5 section 6.1.2.5.
"""

from pydicom.charset import CODES_TO_ENCODINGS, handled_encodings, python_encoding

_ESCAPE = b"\x1b"
_DELIMITERS = b"\\^=\r\n\x0c\t"
"""Code extensions end at these (PS3.5 section 6.1.2.5.3); ``^`` and ``=`` count in person names."""
_FALLBACK = "latin_1"
_PADDING = " \t\n\r\v\f"
"""What is stripped at both ends. Python's own ``strip`` also takes control characters such as FS, which would turn an
illegal identifier into a legal other one."""


def encodings_of(charset: bytes) -> tuple[str, ...]:
    """Return the Python codecs of a Specific Character Set value; unknown terms count as Latin-1."""
    names: list[str] = []
    for term in charset.split(b"\\"):
        text = term.decode("ascii", "replace").strip(" \0").upper().replace("ISO-IR", "ISO_IR")
        names.append(python_encoding.get(text, _FALLBACK) if text else "iso8859")
    return tuple(names)


def decode_text(value: bytes, encodings: tuple[str, ...]) -> str:
    """Decode a header value; undecodable bytes become U+FFFD, NULs go, outer spaces are stripped."""
    if _ESCAPE not in value:
        if value.isascii():
            return value.decode("ascii").replace("\0", "").strip(_PADDING)
        return _decode(value, encodings[0] if encodings else _FALLBACK).replace("\0", "").strip(_PADDING)
    first, *rest = value.split(_ESCAPE)
    base = encodings[0] if encodings else _FALLBACK
    parts = [_decode(first, base)] + [_decode_escaped(_ESCAPE + part, base) for part in rest]
    return "".join(parts).replace("\0", "").strip(_PADDING)


def _decode_escaped(fragment: bytes, base: str) -> str:
    size = 4 if fragment[1:3] in (b"$)", b"$(") else 3
    encoding = CODES_TO_ENCODINGS.get(fragment[:size])
    if encoding is None:
        return _decode(fragment, base)
    start = 0 if encoding in handled_encodings else size
    end = next((i for i in range(size, len(fragment)) if fragment[i] in _DELIMITERS), len(fragment))
    if encoding.startswith("iso2022_jp") or encoding == "iso_ir_58":
        end = _end_of_two_byte_run(fragment, size)
    return _decode(fragment[start:end], encoding) + _decode(fragment[end:], base)


def _end_of_two_byte_run(fragment: bytes, start: int) -> int:
    """Return where a run of two-byte characters ends: delimiters are looked for at character borders only."""
    for position in range(start, len(fragment), 2):
        if fragment[position] in b"\r\n\x0c\t":
            return position
    return len(fragment)


def _decode(value: bytes, encoding: str) -> str:
    try:
        return value.decode(encoding, "replace")
    except (LookupError, UnicodeError):
        # Some codecs (e.g. iso2022) raise on broken escape sequences even with "replace".
        return value.decode(_FALLBACK, "replace")
