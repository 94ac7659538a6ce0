"""Bad input, made on purpose: each function returns the bytes (or bytes by name) of objects that go wrong.

For acceptance tests and for trying what a site's installation does with them. All are phantoms.
"""

import io
import zlib
from collections.abc import Callable

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from coread.phantoms.ct import CtRecipe, ct_series
from coread.phantoms.dx import Acquisition, Identity, radiograph

_PATIENT = Identity(
    patient_name="SYNTHETIC^FAULT",
    patient_id="SYN-FAULT",
    study_description="SYNTHETIC fault",
    series_description="SYNTHETIC fault",
    uid_seed="fault",
)
HOSTILE_UID = "../../../../etc/passwd"
LONG_UID = "1." + "2" * 198
UNKNOWN_SYNTAX = "1.2.3.4.5.6.7.8.9"


def part10_bytes(dataset: Dataset) -> bytes:
    """Return a data set as a Part 10 file, even when the standard would forbid it."""
    out = io.BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    return out.getvalue()


def plain_radiograph(name: str = "fault", *, rows: int = 256) -> Dataset:
    """Return a small, sound radiograph to spoil; ``name`` goes into its UIDs."""
    ramp = np.add.outer(np.arange(rows), np.arange(rows)).astype(np.uint16) * 4
    identity = Identity(**{**_fields(_PATIENT), "uid_seed": f"fault-{name}", "accession_number": f"F-{name}"[:16]})
    return radiograph(ramp, identity, Acquisition())


def _fields(identity: Identity) -> dict[str, str]:
    return {name: getattr(identity, name) for name in Identity.__dataclass_fields__}


def truncated() -> bytes:
    """End in the middle of the pixels."""
    whole = part10_bytes(plain_radiograph("truncated"))
    return whole[: len(whole) * 2 // 3]


def truncated_header() -> bytes:
    """End in the middle of the header."""
    return part10_bytes(plain_radiograph("truncated-header"))[:700]


def not_dicom() -> bytes:
    """Return a text file."""
    return b"SYNTHETIC: this is a letter, not an image.\n" * 20


def empty() -> bytes:
    """Return nothing at all."""
    return b""


def missing_study_uid() -> bytes:
    """Leave Study Instance UID out."""
    dataset = plain_radiograph("no-study")
    del dataset.StudyInstanceUID
    return part10_bytes(dataset)


def empty_series_uid() -> bytes:
    """Leave Series Instance UID empty."""
    dataset = plain_radiograph("no-series")
    dataset.SeriesInstanceUID = ""
    return part10_bytes(dataset)


def missing_sop_uid() -> bytes:
    """Leave SOP Instance UID out of the data set."""
    dataset = plain_radiograph("no-sop")
    del dataset.SOPInstanceUID
    return part10_bytes(dataset)


def missing_patient_id() -> bytes:
    """Leave Patient ID out: kept, but visibly without one."""
    dataset = plain_radiograph("no-patient")
    del dataset.PatientID
    return part10_bytes(dataset)


def hostile_uid() -> bytes:
    """Put a path into Study Instance UID."""
    return _with_raw_uid(HOSTILE_UID)


def long_uid() -> bytes:
    """Put 200 characters into Study Instance UID."""
    return _with_raw_uid(LONG_UID)


def _with_raw_uid(uid: str) -> bytes:
    dataset = plain_radiograph("bad-uid")
    placeholder = "1." + "9" * (len(uid) - 2)
    with_placeholder = _write_unchecked(dataset, placeholder)
    return with_placeholder.replace(placeholder.encode(), uid.encode())


def _write_unchecked(dataset: Dataset, uid: str) -> bytes:
    """Write a UID of any length; pydicom validates values when they are set, so the bytes are spliced."""
    whole = part10_bytes(dataset)
    old = dataset.StudyInstanceUID.encode()
    old += b"\0" * (len(old) % 2)
    new = uid.encode() + b"\0" * (len(uid) % 2)
    tag = b"\x20\x00\x0d\x00UI"
    at = whole.index(tag)
    return whole[:at] + tag + len(new).to_bytes(2, "little") + new + whole[at + 8 + len(old) :]


def two_patients_in_one_study() -> dict[str, bytes]:
    """Return two objects of one study that name two patients."""
    first, second = plain_radiograph("two"), plain_radiograph("two")
    second.PatientID, second.PatientName = "SYN-OTHER", "SYNTHETIC^OTHER"
    second.SOPInstanceUID = second.file_meta.MediaStorageSOPInstanceUID = first.SOPInstanceUID + "1"
    return {"first.dcm": part10_bytes(first), "second.dcm": part10_bytes(second)}


def same_uid_other_bytes() -> dict[str, bytes]:
    """Return two objects with one SOP Instance UID and different pixels."""
    first, second = plain_radiograph("conflict"), plain_radiograph("conflict")
    second.PixelData = bytes(reversed(second.PixelData))
    return {"first.dcm": part10_bytes(first), "second.dcm": part10_bytes(second)}


def same_position_twice() -> dict[str, bytes]:
    """Return a CT series in which one slice comes twice."""
    return _series(CtRecipe(slices=8, rows=32, columns=32, doubled=(3,)))


def missing_slice() -> dict[str, bytes]:
    """Return a CT series with a hole."""
    return _series(CtRecipe(slices=8, rows=32, columns=32, missing=(4,)))


def _series(recipe: CtRecipe) -> dict[str, bytes]:
    return {f"{number:03d}.dcm": part10_bytes(dataset) for number, dataset in enumerate(ct_series(recipe))}


def unknown_transfer_syntax() -> bytes:
    """State a transfer syntax that nobody knows."""
    dataset = plain_radiograph("unknown-syntax")
    return part10_bytes(dataset).replace(
        _syntax_element(ExplicitVRLittleEndian), _syntax_element(UNKNOWN_SYNTAX, len(ExplicitVRLittleEndian))
    )


def broken_transfer_syntax() -> bytes:
    """State JPEG 2000 over pixels that are not compressed."""
    stated = "1.2.840.10008.1.2.4.90"
    whole = part10_bytes(plain_radiograph("broken-syntax"))
    old, new = _syntax_element(ExplicitVRLittleEndian), _syntax_element(stated)
    return _with_group_length(whole.replace(old, new), len(new) - len(old))


def _syntax_element(uid: str, length: int = 0) -> bytes:
    value = uid.encode().ljust(length or len(uid), b"\0")
    value += b"\0" * (len(value) % 2)
    return b"\x02\x00\x10\x00UI" + len(value).to_bytes(2, "little") + value


def _with_group_length(whole: bytes, more: int) -> bytes:
    at = whole.index(b"\x02\x00\x00\x00UL\x04\x00") + 8
    length = int.from_bytes(whole[at : at + 4], "little") + more
    return whole[:at] + length.to_bytes(4, "little") + whole[at + 4 :]


def zero_size() -> bytes:
    """State a matrix of 0 x 0 without pixels."""
    dataset = plain_radiograph("zero")
    dataset.Rows = dataset.Columns = 0
    dataset.PixelData = b""
    return part10_bytes(dataset)


def no_pixels() -> bytes:
    """Leave the pixel data out."""
    dataset = plain_radiograph("no-pixels")
    del dataset.PixelData
    return part10_bytes(dataset)


def all_equal() -> bytes:
    """Make every pixel the same."""
    dataset = plain_radiograph("constant", rows=512)
    dataset.PixelData = b"\x00\x04" * (512 * 512)
    return part10_bytes(dataset)


def not_a_number() -> bytes:
    """Store floating point pixels with NaN among them."""
    dataset = plain_radiograph("nan")
    values = np.linspace(0, 1, 256 * 256, dtype="<f4")
    values[100] = np.nan
    del dataset.PixelData, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation
    dataset.BitsAllocated = 32
    dataset.FloatPixelData = values.tobytes()
    return part10_bytes(dataset)


def sixty_thousand_square() -> bytes:
    """State 60,000 x 60,000 pixels over a few bytes."""
    dataset = plain_radiograph("huge")
    dataset.Rows = dataset.Columns = 60000
    return part10_bytes(dataset)


def deflate_bomb(megabytes: int = 256) -> bytes:
    """Deflate a private element of zeros: a few hundred kilobytes that unfold to ``megabytes``."""
    dataset = plain_radiograph("bomb")
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    whole = part10_bytes(dataset)
    start = len(whole) - len(_deflated_part(whole))
    plain = zlib.decompress(whole[start:], wbits=-zlib.MAX_WBITS)
    at = plain.index(b"\x10\x00\x10\x00PN")
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    size = megabytes * 1024 * 1024
    parts = [squeeze.compress(plain[:at] + b"\x09\x00\x10\x10OB\0\0" + size.to_bytes(4, "little"))]
    block = bytes(1024 * 1024)
    parts += [squeeze.compress(block) for _ in range(megabytes)]
    parts += [squeeze.compress(plain[at:]), squeeze.flush()]
    return whole[:start] + b"".join(parts)


def _deflated_part(whole: bytes) -> bytes:
    at = whole.index(b"\x02\x00\x00\x00UL\x04\x00")
    length = int.from_bytes(whole[at + 8 : at + 12], "little")
    return whole[at + 12 + length :]


def wrong_charset() -> bytes:
    """State UTF-8 and write Latin-1."""
    dataset = plain_radiograph("charset")
    dataset.PatientName = "SYNTHETIC^MXLLER"
    return part10_bytes(dataset).replace(b"MXLLER", "MÜLLER".encode("latin-1"))


def unknown_charset() -> bytes:
    """State a character set that does not exist."""
    return part10_bytes(plain_radiograph("charset-name")).replace(b"ISO_IR 192", b"ISO_IR 999")


def future_dates() -> bytes:
    """Date the study far ahead."""
    dataset = plain_radiograph("future")
    dataset.StudyDate = dataset.SeriesDate = dataset.ContentDate = dataset.AcquisitionDate = "29991231"
    return part10_bytes(dataset)


def lossy_8_bit() -> bytes:
    """Return a radiograph of 8 bits that says it was compressed with loss."""
    dataset = plain_radiograph("lossy")
    picture = (np.add.outer(np.arange(256), np.arange(256)) // 2).astype(np.uint8)
    identity = Identity(**{**_fields(_PATIENT), "uid_seed": "fault-lossy"})
    dataset = radiograph(picture, identity, Acquisition(bits=8, lossy_method="ISO_10918_1"))
    return part10_bytes(dataset)


FAULTS: dict[str, Callable[[], bytes]] = {
    "truncated": truncated,
    "truncated_header": truncated_header,
    "not_dicom": not_dicom,
    "empty": empty,
    "missing_study_uid": missing_study_uid,
    "empty_series_uid": empty_series_uid,
    "missing_sop_uid": missing_sop_uid,
    "missing_patient_id": missing_patient_id,
    "hostile_uid": hostile_uid,
    "long_uid": long_uid,
    "unknown_transfer_syntax": unknown_transfer_syntax,
    "broken_transfer_syntax": broken_transfer_syntax,
    "zero_size": zero_size,
    "no_pixels": no_pixels,
    "all_equal": all_equal,
    "not_a_number": not_a_number,
    "sixty_thousand_square": sixty_thousand_square,
    "deflate_bomb": deflate_bomb,
    "wrong_charset": wrong_charset,
    "unknown_charset": unknown_charset,
    "future_dates": future_dates,
    "lossy_8_bit": lossy_8_bit,
}
"""Faults that are one object each."""

SERIES_FAULTS: dict[str, Callable[[], dict[str, bytes]]] = {
    "two_patients_in_one_study": two_patients_in_one_study,
    "same_uid_other_bytes": same_uid_other_bytes,
    "same_position_twice": same_position_twice,
    "missing_slice": missing_slice,
}
"""Faults that take several objects, by file name."""
