"""The proof of the encapsulated page: it is one PDF, and its text says every finding and number that fits on a page."""

import re
import zlib
from collections.abc import Iterator

from pydicom.dataset import Dataset

from coread.evidence.summary import MAX_ROWS, rows_of
from coread.evidence.writing import RESEARCH_USE, Writing

_STREAM = re.compile(rb"/Length (\d+) >>\nstream\n")
_SHOWN = re.compile(rb"\(((?:[^()\\]|\\.)*)\) Tj")


def prove_document(document: Dataset, writing: Writing) -> list[str]:
    """Return a line for each thing that the encapsulated page does not say."""
    data = bytes(document.EncapsulatedDocument)[: int(document.EncapsulatedDocumentLength)]
    if not data.startswith(b"%PDF-") or not data.rstrip().endswith(b"%%EOF"):
        return ["the encapsulated document is no whole PDF file"]
    said = _plain(" ".join(page_text(data)))
    wanted = [RESEARCH_USE.upper(), *(part for row in rows_of(writing)[:MAX_ROWS] for part in (row.name, row.word))]
    return [f"the encapsulated page does not say {text!r}" for text in wanted if _plain(_written(text)) not in said]


def page_text(data: bytes) -> Iterator[str]:
    """Yield the lines of text of a PDF that this room wrote."""
    for found in _STREAM.finditer(data):
        stream = data[found.end() : found.end() + int(found.group(1))]
        content = zlib.decompress(stream)
        if content.startswith(b"q ") and b"BT 3 Tr" in content:
            for line in _SHOWN.finditer(content):
                yield re.sub(rb"\\(.)", rb"\1", line.group(1)).decode("cp1252")


def _written(text: str) -> str:
    return text.encode("cp1252", "replace").decode("cp1252")


def _plain(text: str) -> str:
    """Leave the spaces out: lines are broken, and words too long for a line are cut."""
    return re.sub(r"\s+", "", text)
