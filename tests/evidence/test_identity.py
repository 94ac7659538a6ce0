"""Whatever stands in the header of a source, the objects are legal and the identity is the source's or empty."""

import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from coread.domain.results import ReadResult
from coread.evidence import legal
from coread.evidence.build import build_evidence
from coread.evidence.sources import copied_header, read_sources
from tests.evidence.build_sources import card, findings, radiograph, reading, reference, save
from tests.evidence.conftest import parse

_BYTES = st.binary(max_size=90)
_NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=40)


def save_raw(dataset: Dataset, path: Path, values: dict[str, bytes]) -> Path:
    """Write a source whose header holds these bytes as they are: no library would write them."""
    for keyword in values:
        setattr(dataset, keyword, None)
    data = save(dataset, path).read_bytes()
    for keyword, value in values.items():
        tag = Tag(keyword)
        empty = struct.pack("<HH", tag.group, tag.element) + dictionary_VR(tag).encode() + b"\0\0"
        padded = value + b" " * (len(value) % 2)
        filled = empty[:6] + struct.pack("<H", len(padded)) + padded
        head, found, tail = data.partition(empty)
        if not found:
            raise AssertionError(keyword)
        data = head + filled + tail
    path.write_bytes(data)
    return path


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(name=b"", patient_id=b"", birth=b"", sex=b"", age=b"", study_id=b"", accession=b"\x1c!")
@given(
    name=_BYTES,
    patient_id=_BYTES,
    birth=_BYTES,
    sex=_BYTES,
    age=_BYTES,
    study_id=_BYTES,
    accession=_BYTES,
)
def test_any_bytes_in_the_patient_module_give_legal_objects(tmp_path: Path, **values: bytes) -> None:
    keywords = {
        "name": "PatientName",
        "patient_id": "PatientID",
        "birth": "PatientBirthDate",
        "sex": "PatientSex",
        "age": "PatientAge",
        "study_id": "StudyID",
        "accession": "AccessionNumber",
    }
    dataset = radiograph(rows=64, columns=64)
    path = save_raw(dataset, tmp_path / "odd.dcm", {keywords[name]: value for name, value in values.items()})
    copied = copied_header(read_sources([path]))
    assert legal.is_person_name(copied.value("PatientName"))
    objects = build_evidence(reading(ReadResult(findings(reference(dataset)))), card(), [path])
    for item in objects:
        written = parse(item)
        assert str(written.PatientID) == copied.value("PatientID")
        assert str(written.PatientBirthDate) == copied.value("PatientBirthDate")


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(family=_NAMES, given_name=_NAMES)
def test_any_name_arrives_as_it_was(tmp_path: Path, family: str, given_name: str) -> None:
    name = f"{family}^{given_name}".translate({ord(c): None for c in "\\=^"})
    dataset = radiograph(rows=64, columns=64)
    path = save_raw(dataset, tmp_path / "name.dcm", {"PatientName": name.encode()})
    copied = copied_header(read_sources([path]))
    if legal.is_person_name(name.strip(" ")):
        assert copied.value("PatientName") == name.strip(" ")
    report = build_evidence(reading(ReadResult(findings(reference(dataset)))), card(), [path])[0]
    assert str(parse(report).PatientName) == copied.value("PatientName")


def test_a_source_with_almost_no_identity_still_has_evidence(tmp_path: Path) -> None:
    dataset = radiograph()
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "PatientAge", "AccessionNumber"):
        del dataset[keyword]
    for keyword in ("StudyID", "StudyDate", "StudyTime", "StudyDescription", "ReferringPhysicianName"):
        del dataset[keyword]
    path = save(dataset, tmp_path / "bare.dcm")
    for item in build_evidence(reading(ReadResult(findings(reference(dataset)))), card(), [path]):
        written = parse(item)
        assert (written.PatientID, written.AccessionNumber, written.StudyID) == ("", "", "")
        assert "PatientAge" not in written


def test_an_illegal_value_is_left_empty_and_said(tmp_path: Path) -> None:
    dataset = radiograph()
    path = save_raw(dataset, tmp_path / "date.dcm", {"PatientBirthDate": b"1970-02-3X"})
    objects = build_evidence(reading(ReadResult(findings(reference(dataset)))), card(), [path])
    assert parse(objects[0]).PatientBirthDate == ""
    assert b"PatientBirthDate of the source image is not legal DICOM" in objects[0].data


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_a_study_uid_with_leading_zeros_is_kept_as_it_is(tmp_path: Path) -> None:
    dataset = radiograph()
    path = save_raw(dataset, tmp_path / "zeros.dcm", {"StudyInstanceUID": b"1.2.840.003.07"})
    objects = build_evidence(reading(ReadResult(findings(reference(dataset)))), card(), [path])
    assert b"1.2.840.003.07" in objects[0].data


@pytest.mark.parametrize(
    ("value", "expected"),
    [("20240229", True), ("20230229", False), ("", True), ("2024", False), ("２０２４０１０１", False)],
)
def test_dates_must_be_real_days(value: str, expected: bool) -> None:
    assert legal.is_date(value) is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("A^B^C^D^E", True),
        ("A^B^C^D^E^F", False),
        ("a=b=c", True),
        ("a=b=c=d", False),
        ("x" * 65, False),
        ("a\\b", False),
    ],
)
def test_names_have_at_most_three_groups_of_five_parts(value: str, expected: bool) -> None:
    assert legal.is_person_name(value) is expected
