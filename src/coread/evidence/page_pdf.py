"""One drawn page as a PDF file: the picture, and its text above it, invisible, so that it can be searched and copied.

Written by hand (ISO 32000-1): the picture without loss, a standard font for the hidden text, nothing else. The same
page gives the same bytes.
"""

import zlib
from datetime import datetime

from coread.evidence.page import Page
from coread.evidence.writing import offset_text

_WIDTH_POINTS = 595.0
"""A4; the height follows from the page."""


def pdf_of(page: Page, *, title: str, at: datetime) -> bytes:
    """Return the page as a PDF document of one page."""
    width, height = page.image.size
    scale = _WIDTH_POINTS / width
    box = f"0 0 {_WIDTH_POINTS:.2f} {height * scale:.2f}"
    picture = zlib.compress(page.image.tobytes(), 6)
    content = zlib.compress(_content(page, scale))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R /Lang (en) >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        f"<< /Type /Page /Parent 2 0 R /MediaBox [{box}] /Contents 4 0 R "
        "/Resources << /XObject << /Picture 5 0 R >> /Font << /Text 6 0 R >> >> >>".encode(),
        _stream("/Filter /FlateDecode", content),
        _stream(
            f"/Type /XObject /Subtype /Image /Width {width} /Height {height} /ColorSpace /DeviceRGB "
            "/BitsPerComponent 8 /Filter /FlateDecode",
            picture,
        ),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        f"<< /Title {_text(title)} /Producer (Coread) /CreationDate ({_moment(at)}) >>".encode("latin-1"),
    ]
    return _file(objects)


def _content(page: Page, scale: float) -> bytes:
    """Draw the picture over the whole page, then each line of text in rendering mode 3 (neither filled nor stroked)."""
    width, height = page.image.size
    lines = [f"q {width * scale:.3f} 0 0 {height * scale:.3f} 0 0 cm /Picture Do Q", "BT 3 Tr"]
    for x, y, size, text in page.texts:
        baseline = (height - y - size) * scale
        lines.append(f"/Text {size * scale:.2f} Tf 1 0 0 1 {x * scale:.2f} {baseline:.2f} Tm {_text(text)} Tj")
    lines.append("ET")
    return "\n".join(lines).encode("latin-1")


def _text(text: str) -> str:
    """Return a literal string in the encoding of the font; what it does not hold becomes a question mark."""
    plain = text.encode("cp1252", "replace").decode("latin-1")
    escaped = plain.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
    return f"({escaped})"


def _moment(at: datetime) -> str:
    zone = offset_text(at)
    return f"D:{at:%Y%m%d%H%M%S}{zone[:3]}'{zone[3:]}'"


def _stream(entries: str, data: bytes) -> bytes:
    return f"<< {entries} /Length {len(data)} >>\nstream\n".encode() + data + b"\nendstream"


def _file(objects: list[bytes]) -> bytes:
    out = bytearray(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
    places: list[int] = []
    for number, body in enumerate(objects, start=1):
        places.append(len(out))
        out += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
    start = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    out += b"".join(f"{place:010d} 00000 n \n".encode() for place in places)
    out += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R /Info 7 0 R >>\nstartxref\n{start}\n%%EOF\n".encode()
    return bytes(out)
