"""The DICOM JSON model of real objects equals what pydicom makes of them, element by element."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import DataElement, Dataset, Sequence, dcmread, dcmwrite
from pydicom.filebase import DicomBytesIO

from coread.app.web.dicomweb.elements import data_set_item
from coread.app.web.dicomweb.metadata import instance_document
from tests.dicomweb.archive import unzipped


def _read_back(dataset: Dataset) -> Dataset:
    buffer = DicomBytesIO()
    dcmwrite(buffer, dataset, implicit_vr=False, little_endian=True)
    buffer.seek(0)
    return dcmread(buffer, force=True)


def _bulk(path: str) -> str:
    return f"bulk/{path}"


@pytest.mark.shared
@pytest.mark.parametrize(
    "archive",
    ["dcm_one_ct_16_transfer_syntaxes", "dcm_chest_ct_10_scanners", "dcm_seg_sr_objects", "mr_brain_siemens_2_series"],
)
def test_real_objects_give_what_pydicom_gives(shared_data: Path, tmp_path: Path, archive: str) -> None:
    compared = 0
    for path in unzipped(shared_data / "dicom" / f"{archive}.zip", tmp_path)[:40]:
        if path.read_bytes()[128:132] != b"DICM":
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ours = json.loads(instance_document(path, "bulk/"))
            for element in dcmread(path, stop_before_pixels=True):
                name = f"{int(element.tag):08X}"
                if name not in ("00080005", "00083002") and element.tag.element != 0:
                    _compare(ours[name], _theirs(element), f"{path.name} {name}")
                    compared += 1
    assert compared > 100


def _theirs(element: DataElement) -> dict[str, Any] | None:
    try:
        item: dict[str, Any] = element.to_json_dict(_bulk_of, 4096)
    except (ValueError, TypeError, AttributeError, UnicodeError):
        return None
    return item


def _bulk_of(_: DataElement) -> str:
    return "bulk"


def _compare(ours: dict[str, Any], theirs: dict[str, Any] | None, where: str) -> None:
    if theirs is None or "BulkDataURI" in ours or "BulkDataURI" in theirs or ours["vr"] in ("SQ", "UN"):
        return  # of private elements stored as UN pydicom guesses the VR; the bytes are as good
    assert ours["vr"] == theirs["vr"], where
    assert _lean(ours) == _lean(theirs), where


def _lean(item: dict[str, Any]) -> Any:
    """Leave out what means nothing: empty values, and blanks at the ends of text."""
    if "InlineBinary" in item:
        return item["InlineBinary"]
    values = [value.strip() if isinstance(value, str) else value for value in item.get("Value", [])]
    return [value for value in values if value not in (None, "", {})]


@given(
    st.lists(st.floats(width=64), min_size=1, max_size=4),
    st.lists(st.integers(0, 65535), min_size=1, max_size=4),
    st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=16),
)
def test_numbers_and_text_survive_the_json_model(doubles: list[float], shorts: list[int], text: str) -> None:
    inner = Dataset()
    inner.add_new(0x00181068, "DS", "1.5")
    dataset = Dataset()
    dataset.add_new(0x00080060, "CS", "CT")
    dataset.add_new(0x00100020, "LO", text)
    dataset.add_new(0x00189087, "FD", doubles)
    dataset.add_new(0x00280106, "US", shorts)
    dataset.add_new(0x00081140, "SQ", Sequence([inner]))
    item = json.loads(json.dumps(data_set_item(_read_back(dataset), _bulk), allow_nan=False))
    assert item["00100020"]["Value"] == [text]
    assert item["00280106"]["Value"] == shorts
    assert item["00081140"]["Value"][0]["00181068"]["Value"] == [1.5]
    back = [float(value) for value in item["00189087"]["Value"]]
    assert [repr(value) for value in back] == [repr(value) for value in doubles]


def test_a_long_binary_value_is_named_and_a_short_one_is_there() -> None:
    dataset = Dataset()
    dataset.add_new(0x00091001, "OB", b"x" * 5000)
    dataset.add_new(0x00091002, "OB", b"ab")
    item = data_set_item(_read_back(dataset), _bulk)
    assert item["00091001"] == {"vr": "OB", "BulkDataURI": "bulk/00091001"}
    assert item["00091002"] == {"vr": "OB", "InlineBinary": "YWI="}


def test_names_of_three_writings_come_out_as_unicode() -> None:
    dataset = Dataset()
    dataset.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
    dataset.PatientName = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    item = data_set_item(_read_back(dataset), _bulk)
    assert item["00100010"]["Value"] == [
        {"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎", "Phonetic": "やまだ^たろう"}
    ]
    assert item["00080005"]["Value"] == ["ISO_IR 192"]
