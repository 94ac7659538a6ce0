"""Wrapped pictures as file bytes, fast: what is the same for all pictures of a set is encoded once and kept.

The bytes are those that pydicom writes for ``wrapped_picture``; a test holds the two against each other.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from pydicom.charset import convert_encodings
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element
from pydicom.tag import Tag

from coread.domain.identifiers import derived_uid
from coread.phantoms.picture import Picture, Subject, Wrapping, age_text, wrapped_picture

_PREAMBLE = b"\0" * 128 + b"DICM"
_PIXEL_DATA = 0x7FE00010
_OWN: Mapping[str, tuple[int, str]] = {
    "instance": (0x00080018, "UI"), "accession": (0x00080050, "SH"), "site": (0x00080080, "LO"),
    "scanner": (0x00081090, "LO"), "patient": (0x00100020, "LO"), "sex": (0x00100040, "CS"),
    "age": (0x00101010, "AS"), "study": (0x0020000D, "UI"), "series": (0x0020000E, "UI"), "number": (0x00200013, "IS"),
}  # fmt: skip
"""Elements that each picture has for itself."""
_META_INSTANCE = 0x00020003


@dataclass(frozen=True, slots=True)
class _Kind:
    """Everything that pictures with the same shared elements have in common."""

    wrapping: Wrapping
    shape: tuple[int, ...]
    dtype: str
    lossy: bool
    view: str
    laterality: str


def picture_file(picture: Picture, subject: Subject, wrapping: Wrapping, *, number: int = 1) -> bytes:
    """Return the bytes of a DICOM file (PS3.10, Explicit VR Little Endian) around a picture."""
    if subject.extra or wrapping.slice_mm is not None:
        stream = DicomBytesIO()
        wrapped_picture(picture, subject, wrapping, number=number).save_as(stream, enforce_file_format=True)
        return stream.getvalue()
    pixels = picture.pixels
    kind = _Kind(wrapping, pixels.shape, pixels.dtype.str, picture.lossy, subject.view, subject.laterality)
    meta, shared = _shared(kind)
    elements = dict(shared)
    texts = _texts(subject, number)
    for name, (tag, vr) in _OWN.items():
        elements[tag] = _element(tag, vr, texts[name])
    body = b"".join(elements[tag] for tag in sorted(elements))
    header = dict(meta) | {_META_INSTANCE: _element(_META_INSTANCE, "UI", texts["instance"])}
    head = b"".join(header[tag] for tag in sorted(header))
    length = struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(head))
    return b"".join((_PREAMBLE, length, head, body, _pixel_element(picture)))


@lru_cache(maxsize=256)
def _shared(kind: _Kind) -> tuple[tuple[tuple[int, bytes], ...], tuple[tuple[int, bytes], ...]]:
    """Return the encoded elements of the file meta information and of the data set that are not a picture's own."""
    empty = Picture(np.zeros(kind.shape, dtype=np.dtype(kind.dtype)), kind.lossy)
    subject = Subject("", "", "", view=kind.view, laterality=kind.laterality)
    dataset = wrapped_picture(empty, subject, kind.wrapping)
    own = {tag for tag, _ in _OWN.values()} | {_PIXEL_DATA}
    meta = _encoded(dataset.file_meta, {0x00020000, _META_INSTANCE})
    return meta, _encoded(dataset, own)


def _encoded(dataset: Dataset, without: set[int]) -> tuple[tuple[int, bytes], ...]:
    encodings = convert_encodings("ISO_IR 192")
    parts = []
    for element in dataset:
        if int(element.tag) in without:
            continue
        stream = DicomBytesIO()
        stream.is_little_endian, stream.is_implicit_VR = True, False
        write_data_element(stream, element, encodings)
        parts.append((int(element.tag), stream.getvalue()))
    return tuple(parts)


def _texts(subject: Subject, number: int) -> dict[str, str]:
    return {
        "instance": derived_uid("picture", subject.uid_seed, str(number)),
        "accession": subject.case_id[:16],
        "site": subject.site[:64],
        "scanner": subject.scanner[:64],
        "patient": subject.patient_id,
        "sex": subject.sex,
        "age": age_text(subject.age_years),
        "study": derived_uid("phantom-study", subject.uid_seed),
        "series": derived_uid("phantom-series", subject.uid_seed),
        "number": str(number),
    }


def _element(tag: int, vr: str, text: str) -> bytes:
    """Encode a text element of the short form (PS3.5 section 7.1.2), padded to an even length (section 6.2)."""
    value = text.encode("utf-8")
    value += (b"\0" if vr == "UI" else b" ") * (len(value) % 2)
    number = Tag(tag)
    return struct.pack("<HH2sH", number.group, number.element, vr.encode(), len(value)) + value


def _pixel_element(picture: Picture) -> bytes:
    pixels = np.ascontiguousarray(picture.pixels)
    raw = pixels.astype(pixels.dtype.newbyteorder("<"), copy=False).tobytes()
    raw += b"\0" * (len(raw) % 2)
    vr = b"OB" if pixels.dtype.itemsize == 1 else b"OW"
    return struct.pack("<HH2sHI", 0x7FE0, 0x0010, vr, 0, len(raw)) + raw
