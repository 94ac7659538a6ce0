"""Headers: equal answers of the fast walk and pydicom, and the right refusal for everything that is no header."""

import contextlib
import io
import os
import zlib
from pathlib import Path

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from coread.domain.reasons import ReasonCode
from coread.domain.study import InstanceHeader
from coread.imaging.errors import BadHeader, BadUid, HeadTooShort, ImagingRefused, MissingUid, NotDicom, Truncated
from coread.imaging.fields import LAST_TAG, WANTED, instance_header
from coread.imaging.header import scan_header, scan_header_bytes, scan_part10_bytes
from coread.imaging.objects import Encoding, pydicom_header, raw_header, read_meta
from tests.imaging.objects import SYNTAXES, as_bytes, datasets, minimal


def slow(data: bytes, encoding: Encoding) -> InstanceHeader:
    return instance_header(pydicom_header(data, encoding, WANTED, LAST_TAG + 1))


def answer_of(data: bytes, encoding: Encoding, *, fast: bool) -> InstanceHeader | ReasonCode:
    try:
        if fast:
            return instance_header(raw_header(data, len(data), encoding, WANTED, LAST_TAG + 1))
        return slow(data, encoding)
    except ImagingRefused as refusal:
        return refusal.reason.code


def text(dataset: Dataset, keyword: str) -> str:
    value = dataset.get(keyword)
    return "" if value is None else str(value).strip()


@given(dataset=datasets(), syntax=st.sampled_from(SYNTAXES))
@settings(max_examples=60, deadline=None)
def test_the_scan_finds_what_pydicom_finds_in_any_encoding(dataset: Dataset, syntax: str) -> None:
    data = as_bytes(dataset, syntax)
    header = scan_part10_bytes(data)
    read = pydicom.dcmread(io.BytesIO(data))
    assert header.patient_name == text(read, "PatientName")
    assert header.study_description == text(read, "StudyDescription")
    assert header.series_description == text(read, "SeriesDescription")
    assert header.station_name == text(read, "StationName")
    assert header.sop_instance_uid == read.SOPInstanceUID
    assert header.instance_number == (None if read.get("InstanceNumber") is None else int(read.InstanceNumber))
    assert (header.rows, header.columns) == (read.get("Rows"), read.get("Columns"))
    assert header.image_position_patient == tuple(float(v) for v in read.get("ImagePositionPatient") or ())
    assert header.requested_procedure_priority == text(read, "RequestedProcedurePriority")
    assert header.patient_orientation == tuple(read.get("PatientOrientation") or ())
    assert header.transfer_syntax_uid == syntax


@given(dataset=datasets(), syntax=st.sampled_from(SYNTAXES[:2]))
@settings(max_examples=40, deadline=None)
def test_the_fast_walk_and_pydicom_give_equal_headers(dataset: Dataset, syntax: str) -> None:
    data = as_bytes(dataset, syntax)
    encoding = read_meta(data, len(data))
    assert answer_of(data, encoding, fast=True) == answer_of(data, encoding, fast=False)


@given(dataset=datasets(), syntax=st.sampled_from(SYNTAXES[:2]), cut=st.floats(0.1, 1.0))
@settings(max_examples=60, deadline=None)
def test_a_prefix_gives_the_same_answer_or_refusal_on_both_paths(dataset: Dataset, syntax: str, cut: float) -> None:
    data = as_bytes(dataset, syntax)
    encoding = read_meta(data, len(data))
    prefix = data[: encoding.start + int((len(data) - encoding.start) * cut)]
    assert answer_of(prefix, encoding, fast=True) == answer_of(prefix, encoding, fast=False)


@given(
    dataset=datasets(),
    syntax=st.sampled_from(SYNTAXES[:2]),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 7)), min_size=1, max_size=4),
)
@settings(max_examples=80, deadline=None)
def test_flipped_bits_give_the_same_answer_or_refusal_on_both_paths(
    dataset: Dataset, syntax: str, flips: list[tuple[float, int]]
) -> None:
    data = bytearray(as_bytes(dataset, syntax))
    encoding = read_meta(bytes(data), len(data))
    for place, bit in flips:
        data[encoding.start + int((len(data) - encoding.start) * place)] ^= 1 << bit
    spoiled = bytes(data)
    assert answer_of(spoiled, encoding, fast=True) == answer_of(spoiled, encoding, fast=False)


@given(data=st.binary(max_size=600), prefix=st.booleans())
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_a_header_or_a_refusal(data: bytes, prefix: bool) -> None:
    whole = b"\0" * 128 + b"DICM" + data if prefix else data
    with contextlib.suppress(ImagingRefused):
        assert scan_part10_bytes(whole).sop_instance_uid


def test_a_file_that_is_no_dicom_is_refused(tmp_path: Path) -> None:
    for content in (b"", b"hello " * 100, os.urandom(16), b"\x89PNG\r\n\x1a\n" + bytes(500)):
        path = tmp_path / "file"
        path.write_bytes(content)
        with pytest.raises(NotDicom):
            scan_header(path)


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"])
@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_or_empty_uid_is_refused(keyword: str, value: str | None) -> None:
    dataset = minimal()
    if value is None:
        del dataset[keyword]
    else:
        setattr(dataset, keyword, value)
    with pytest.raises(MissingUid):
        scan_part10_bytes(as_bytes(dataset))


@pytest.mark.parametrize("uid", ["../../etc/passwd", "1.2/3", "1" * 200, "a.b", "1.2 3", ".", "-1"])
def test_a_uid_that_is_not_digits_and_dots_is_refused(uid: str) -> None:
    data = as_bytes(minimal(SeriesInstanceUID="7" * 60))
    padded = uid.encode().ljust(60, b"\0")
    if len(padded) > 60:
        at = data.index(b"7" * 60)
        data = data[: at - 2] + len(padded).to_bytes(2, "little") + padded + data[at + 60 :]
    else:
        data = data.replace(b"7" * 60, padded)
    with pytest.raises(BadUid):
        scan_part10_bytes(data)


def test_an_unknown_transfer_syntax_is_no_reason_to_refuse_the_header() -> None:
    data = as_bytes(minimal(PatientID="P1")).replace(b"1.2.840.10008.1.2.1\0", b"1.9.999.99999.9.9.9\0")
    header = scan_part10_bytes(data)
    assert (header.patient_id, header.transfer_syntax_uid) == ("P1", "1.9.999.99999.9.9.9")


def test_a_file_without_preamble_or_meta_information_is_read() -> None:
    data = as_bytes(minimal(PatientID="P1"), ImplicitVRLittleEndian)
    start = read_meta(data, len(data)).start
    assert scan_part10_bytes(data[start:]).patient_id == "P1"
    assert scan_part10_bytes(data[132:]).patient_id == "P1"


def test_a_declared_length_beyond_the_file_is_refused_without_allocating() -> None:
    data = as_bytes(minimal(PatientID="P1", BitsAllocated=8, PixelData=b"\0\0"))
    for length in (b"\xfe\xff\xff\xff", b"\x00\x00\x00\x7f"):
        spoiled = data.replace(b"\x10\x00\x20\x00LO\x02\x00P1", b"\x10\x00\x20\x00UN\0\0" + length + b"P1")
        with pytest.raises(Truncated):
            scan_part10_bytes(spoiled)


def test_pixel_data_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    dataset = minimal(Rows=64, Columns=64, BitsAllocated=8, PixelData=bytes(4096))
    dataset["PixelData"].VR = "OB"
    data = as_bytes(dataset)
    path = tmp_path / "cut.dcm"
    path.write_bytes(data[:-100])
    with pytest.raises(Truncated):
        scan_header(path)
    path.write_bytes(data)
    assert scan_header(path).rows == 64


def test_deeply_nested_items_are_refused_and_do_not_exhaust_the_stack() -> None:
    nest = b"\x08\x00\x10\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" * 5000
    data = as_bytes(minimal())
    start = read_meta(data, len(data)).start
    with pytest.raises((BadHeader, Truncated)):
        scan_part10_bytes(data[:start] + nest)


def test_a_deflate_bomb_in_the_header_is_refused() -> None:
    data = as_bytes(minimal(), DeflatedExplicitVRLittleEndian)
    start = read_meta(data, len(data)).start
    plain = zlib.decompress(data[start:], wbits=-15)
    size = 80 * 1024 * 1024
    bomb = plain + b"\x09\x00\x10\x10OB\0\0" + size.to_bytes(4, "little") + bytes(size)
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    with pytest.raises(BadHeader):
        scan_part10_bytes(data[:start] + squeeze.compress(bomb) + squeeze.flush())


def test_a_wrong_character_set_loses_characters_and_not_the_object() -> None:
    data = as_bytes(minimal(SpecificCharacterSet="ISO_IR 192", PatientName="MXLLER^A"))
    header = scan_part10_bytes(data.replace(b"MXLLER", b"M\xdcLLER"))
    assert header.patient_name == "M\ufffdLLER^A"
    unknown = scan_part10_bytes(data.replace(b"ISO_IR 192", b"ISO_IR 999"))
    assert unknown.patient_name == "MXLLER^A"


def test_the_head_of_a_data_set_is_enough_for_the_receiver() -> None:
    dataset = minimal(PatientID="P1", Rows=512, Columns=512, BitsAllocated=16, PixelData=bytes(512 * 1024))
    data = as_bytes(dataset)
    bare = data[read_meta(data, len(data)).start :]
    header = scan_header_bytes(bare[:16384], ExplicitVRLittleEndian, total=len(bare))
    assert (header.patient_id, header.rows) == ("P1", 512)
    with pytest.raises(HeadTooShort):
        scan_header_bytes(bare[:60], ExplicitVRLittleEndian, total=len(bare))
    with pytest.raises(Truncated):
        scan_header_bytes(bare[:59], ExplicitVRLittleEndian)


def test_a_header_longer_than_the_head_is_read_all_the_same(tmp_path: Path) -> None:
    dataset = minimal(PatientID="P1", Rows=7)
    dataset.private_block(0x0009, "COREAD TEST", create=True).add_new(1, "OB", bytes(200_000))
    path = tmp_path / "long.dcm"
    path.write_bytes(as_bytes(dataset))
    header = scan_header(path)
    assert (header.patient_id, header.rows) == ("P1", 7)


def test_numbers_that_are_none_and_values_that_are_multiple_are_read_as_absent_or_first() -> None:
    data = as_bytes(minimal(InstanceNumber=1234, ImageType=["DERIVED", "SECONDARY"], SeriesNumber=None))
    header = scan_part10_bytes(data.replace(b"1234", b"12x4"))
    assert header.instance_number is None
    assert header.series_number is None
    assert header.image_type == ("DERIVED", "SECONDARY")


@pytest.mark.shared
def test_every_real_object_gives_equal_answers_on_both_paths(real_objects: list[Path]) -> None:
    for path in real_objects:
        data = path.read_bytes()
        encoding = read_meta(data, len(data))
        if encoding.transfer_syntax_uid != DeflatedExplicitVRLittleEndian:
            assert answer_of(data, encoding, fast=True) == answer_of(data, encoding, fast=False), path.name
        assert scan_header(path).modality
