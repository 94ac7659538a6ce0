"""Faults made on purpose end as this room says they end: read, or refused with the right reason."""

from pathlib import Path

import pytest

from coread.domain.reasons import ReasonCode
from coread.imaging.errors import ImagingRefused
from coread.imaging.header import scan_header
from coread.imaging.planar import check_varied, load_planar
from coread.imaging.volume import load_volume
from coread.phantoms.faults import FAULTS, SERIES_FAULTS

ENDINGS: dict[str, ReasonCode | None] = {
    "truncated": ReasonCode.TRUNCATED,
    "truncated_header": ReasonCode.TRUNCATED,
    "not_dicom": ReasonCode.NOT_DICOM,
    "empty": ReasonCode.NOT_DICOM,
    "missing_study_uid": ReasonCode.MISSING_UID,
    "empty_series_uid": ReasonCode.MISSING_UID,
    "missing_sop_uid": ReasonCode.MISSING_UID,
    "missing_patient_id": None,
    "hostile_uid": ReasonCode.BAD_UID,
    "long_uid": ReasonCode.BAD_UID,
    "unknown_transfer_syntax": ReasonCode.UNKNOWN_SYNTAX,
    "broken_transfer_syntax": ReasonCode.PIXELS_UNREAD,
    "zero_size": ReasonCode.NO_PIXELS,
    "no_pixels": ReasonCode.NO_PIXELS,
    "all_equal": ReasonCode.PIXELS_CONSTANT,
    "not_a_number": ReasonCode.PIXELS_NOT_FINITE,
    "sixty_thousand_square": ReasonCode.IMAGE_TOO_LARGE,
    "deflate_bomb": ReasonCode.BAD_HEADER,
    "wrong_charset": None,
    "unknown_charset": None,
    "future_dates": None,
    "lossy_8_bit": None,
}
REFUSED_AT_THE_DOOR = {
    ReasonCode.TRUNCATED, ReasonCode.NOT_DICOM, ReasonCode.MISSING_UID, ReasonCode.BAD_UID, ReasonCode.BAD_HEADER,
}  # fmt: skip


def test_every_fault_has_an_ending() -> None:
    assert set(ENDINGS) == set(FAULTS)


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_a_fault_ends_with_its_reason(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{name}.dcm"
    path.write_bytes(FAULTS[name]())
    expected = ENDINGS[name]
    if expected in REFUSED_AT_THE_DOOR:
        with pytest.raises(ImagingRefused) as refusal:
            scan_header(path)
        assert refusal.value.reason.code is expected
        return
    header = scan_header(path)
    assert header.patient_name.startswith("SYNTHETIC")
    if expected is None:
        check_varied(load_planar(path, header))
        return
    with pytest.raises(ImagingRefused) as refusal:
        check_varied(load_planar(path, header))
    assert refusal.value.reason.code is expected


@pytest.mark.parametrize(
    ("name", "reason"),
    [("same_position_twice", ReasonCode.SAME_POSITION), ("missing_slice", ReasonCode.MISSING_SLICE)],
)
def test_a_spoiled_series_is_refused_as_a_volume(tmp_path: Path, name: str, reason: ReasonCode) -> None:
    instances = []
    for file_name, data in SERIES_FAULTS[name]().items():
        (tmp_path / file_name).write_bytes(data)
        instances.append((tmp_path / file_name, scan_header(tmp_path / file_name)))
    with pytest.raises(ImagingRefused) as refusal:
        load_volume(instances)
    assert refusal.value.reason.code is reason


def test_two_patients_and_two_contents_are_what_they_say(tmp_path: Path) -> None:
    headers = {}
    for name in ("two_patients_in_one_study", "same_uid_other_bytes"):
        for file_name, data in SERIES_FAULTS[name]().items():
            path = tmp_path / f"{name}-{file_name}"
            path.write_bytes(data)
            headers[path.stem] = scan_header(path)
    first, second = headers["two_patients_in_one_study-first"], headers["two_patients_in_one_study-second"]
    assert first.study_instance_uid == second.study_instance_uid
    assert first.patient_id != second.patient_id
    assert first.sop_instance_uid != second.sop_instance_uid
    first, second = headers["same_uid_other_bytes-first"], headers["same_uid_other_bytes-second"]
    assert first.sop_instance_uid == second.sop_instance_uid
