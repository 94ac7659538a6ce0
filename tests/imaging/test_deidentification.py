"""Nothing of the patient is left, at any depth; what belongs together stays together; what was done is stated."""

import io
import logging
import subprocess
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont
from pydicom import DataElement, Dataset, Sequence, dcmread
from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from coread.imaging.decode import decode_frames
from coread.imaging.deidentification.identity import Pseudonymizer, capped_age, clean_words, shifted
from coread.imaging.deidentification.profile import Findings, Profile, deidentify
from coread.imaging.deidentification.rules import Action, Option, action_of, safe_private, safe_words, table
from coread.imaging.deidentification.suspicion import looks_like_text, suspicions
from coread.imaging.errors import ImagingRefused

KEY = Pseudonymizer(b"k" * 32)
UID = "1.2.826.0.1.3680043.8.498."
PLAIN = Profile(KEY)
EVERYTHING = Profile(KEY, frozenset(Option))


@pytest.fixture(scope="module", autouse=True)
def _quiet_pydicom() -> Iterator[None]:
    """Wrong values are put in on purpose; pydicom logs each of them."""
    logger = logging.getLogger("pydicom")
    before = logger.level
    logger.setLevel(logging.ERROR)
    yield
    logger.setLevel(before)


def put(dataset: Dataset, values: Mapping[str, Any]) -> None:
    """Set attributes, also to values that the standard does not allow: real objects have those."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for keyword, value in values.items():
            setattr(dataset, keyword, value)


def image(**attributes: Any) -> Dataset:
    dataset = Dataset()
    given = {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2", "SOPInstanceUID": UID + "1.1.1", "StudyInstanceUID": UID + "1",
        "SeriesInstanceUID": UID + "1.1", "FrameOfReferenceUID": UID + "2", "Modality": "CT",
        "PatientName": "Mustermann^Erika", "PatientID": "MRN-774411", "PatientBirthDate": "19640812",
        "PatientSex": "F", "PatientAge": "061Y", "StudyDate": "20250310", "StudyTime": "101500",
        "AccessionNumber": "ACC-99812", "ReferringPhysicianName": "Weiss^Anna", "InstitutionName": "St. Elsewhere",
        "StudyDescription": "CT Abdomen with contrast for Mustermann", "SeriesDescription": "axial 5mm soft tissue",
        "Manufacturer": "ACME", "ManufacturerModelName": "Tube 3000", "StationName": "CT-ROOM-2",
        "DeviceSerialNumber": "SN-55123", "Rows": 8, "Columns": 8, "BitsAllocated": 16, "BitsStored": 12,
        "HighBit": 11, "PixelRepresentation": 0, "SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2",
        "PixelSpacing": [0.7, 0.7], "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"], "PixelData": b"\x11\x22" * 64,
    } | attributes  # fmt: skip
    put(dataset, given)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.SourceApplicationEntityTitle = "CT-ROOM-2"
    return dataset


def written(dataset: Dataset) -> bytes:
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


words = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=5, max_size=12).map(lambda word: "QX" + word)
dates = st.dates().filter(lambda day: day.year >= 1900).map(lambda day: f"{day:%Y%m%d}")
PATIENT_MODULE = (
    "PatientName", "PatientID", "IssuerOfPatientID", "OtherPatientNames", "OtherPatientIDs", "PatientComments",
    "PatientAddress", "PatientTelephoneNumbers", "PatientMotherBirthName", "MilitaryRank", "CountryOfResidence",
    "RegionOfResidence", "PatientBirthName", "Occupation", "PatientReligiousPreference", "ResponsiblePerson",
)  # fmt: skip
HIDING_PLACES = (
    "SeriesDescription", "ImageComments", "ProtocolName", "ManufacturerModelName", "SoftwareVersions", "FilterType",
    "ConvolutionKernel", "AcquisitionDeviceProcessingDescription", "ContentLabel", "BodyPartExamined",
)  # fmt: skip


@settings(max_examples=60)
@given(
    st.dictionaries(st.sampled_from(PATIENT_MODULE), words, min_size=2), dates, st.data(),
    st.sets(st.sampled_from(list(Option))), st.sampled_from([ExplicitVRLittleEndian, ImplicitVRLittleEndian]),
)  # fmt: skip
def test_no_value_of_the_patient_module_survives_anywhere_in_the_bytes(
    patient: dict[str, str], born: str, data: st.DataObject, options: set[Option], syntax: str
) -> None:
    source = image(PatientBirthDate=born, **patient)
    values = [*patient.values(), born]
    for keyword in data.draw(st.lists(st.sampled_from(HIDING_PLACES), unique=True)):
        put(source, {keyword: f"of {data.draw(st.sampled_from(sorted(patient.values())))} again"})
    inner = Dataset()
    put(inner, patient)
    deeper = Dataset()
    deeper.ReferencedImageSequence = Sequence([inner])
    source.RequestAttributesSequence = Sequence([deeper])
    source.ReferencedStudySequence = Sequence([deeper])
    source.SourceImageSequence = Sequence([deeper])
    block = source.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    block.add_new(0x0C, "IS", "800")
    block.add_new(0x77, "LO", next(iter(patient.values())))
    source.private_block(0x0031, next(iter(patient.values())), create=True).add_new(1, "LO", "x")
    source.add(DataElement(0x60003000, "OW", next(iter(patient.values())).encode() + b"  "))
    put(source.file_meta, {"TransferSyntaxUID": syntax})
    made, _ = deidentify(source, Profile(KEY, frozenset(options)))
    found = written(made)
    for value in values:
        assert value.encode() not in found
    again = dcmread(io.BytesIO(found))
    assert again.PixelData == source.PixelData
    assert (Option.SAFE_PRIVATE in options) == (0x0019100C in again)
    assert 0x00191077 not in again


def test_the_same_patient_study_and_series_stay_the_same_and_another_key_gives_others() -> None:
    one, _ = deidentify(image(), PLAIN)
    other, _ = deidentify(image(SOPInstanceUID=UID + "1.1.2", ReferencedImageSequence=Sequence([_reference()])), PLAIN)
    for keyword in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        assert one[keyword].value == other[keyword].value
    assert one.SOPInstanceUID != other.SOPInstanceUID
    assert other.ReferencedImageSequence[0].ReferencedSOPInstanceUID == one.SOPInstanceUID
    assert other.ReferencedImageSequence[0].ReferencedSOPClassUID == "1.2.840.10008.5.1.4.1.1.2"
    different, _ = deidentify(image(), Profile(Pseudonymizer(b"j" * 32)))
    assert different.StudyInstanceUID != one.StudyInstanceUID
    assert different.PatientID != one.PatientID
    assert one.file_meta.MediaStorageSOPInstanceUID == one.SOPInstanceUID
    assert "SourceApplicationEntityTitle" not in one.file_meta


def _reference() -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    item.ReferencedSOPInstanceUID = UID + "1.1.1"
    return item


def test_the_basic_profile_keeps_what_an_image_needs_and_says_what_was_done() -> None:
    source = image()
    before = written(source)
    made, findings = deidentify(source, PLAIN)
    assert written(source) == before, "the source is not changed"
    assert (made.Modality, made.Rows, made.PixelSpacing, made.Manufacturer) == ("CT", 8, [0.7, 0.7], "ACME")
    assert made.ImageType == ["ORIGINAL", "PRIMARY", "AXIAL"]
    for keyword in ("StudyDescription", "SeriesDescription", "StationName", "DeviceSerialNumber", "PatientAge"):
        assert made.get(keyword, "") in ("", None, "REMOVED"), keyword
    assert (made.PatientBirthDate, made.StudyDate, made.AccessionNumber, made.PatientSex) in (
        ("", "", "", ""),
        (None,) * 4,
    )
    assert made.PatientIdentityRemoved == "YES"
    assert made.LongitudinalTemporalInformationModified == "REMOVED"
    codes = [(item.CodeValue, item.CodingSchemeDesignator) for item in made.DeidentificationMethodCodeSequence]
    assert codes == [("113100", "DCM")]
    assert made.DeidentificationMethod == "Basic Application Confidentiality Profile"
    assert ("ManufacturerModelName", "Tube 3000") in findings.kept_text


def test_options_keep_what_they_say() -> None:
    made, findings = deidentify(image(PatientAge="093Y"), EVERYTHING)
    days = KEY.days("MRN-774411")
    assert made.StudyDate == shifted("20250310", days)
    assert made.StudyTime == "101500"
    assert (made.PatientSex, made.PatientAge) == ("F", "090Y")
    assert made.PatientBirthDate in ("", None)
    assert (made.StationName, made.DeviceSerialNumber) == ("CT-ROOM-2", "SN-55123")
    assert made.StudyDescription == "CT Abdomen with contrast for"
    assert made.SeriesDescription == "axial 5mm soft tissue"
    assert made.LongitudinalTemporalInformationModified == "MODIFIED"
    codes = {item.CodeValue for item in made.DeidentificationMethodCodeSequence}
    assert codes == {"113100", "113105", "113107", "113108", "113109", "113111"}
    assert findings.retained["StudyDate"] == 1


def test_a_patient_found_in_an_unlikely_place_is_swept_out_and_counted() -> None:
    made, findings = deidentify(image(ManufacturerModelName="Erika's scanner", FilterType="MRN-774411"), PLAIN)
    assert not made.ManufacturerModelName
    assert not made.FilterType
    assert findings.swept == {"ManufacturerModelName": 1, "FilterType": 1}
    assert isinstance(findings, Findings)


@settings(max_examples=50)
@given(dates, st.integers(-3650, 3650))
def test_shifting_there_and_back_gives_the_same_day(day: str, days: int) -> None:
    moved = shifted(day, days)
    assert moved == "" or shifted(moved, -days) == day
    assert shifted(day + "103000.5", days) == (moved and moved + "103000.5")


def test_intervals_between_the_dates_of_a_patient_are_kept() -> None:
    first, _ = deidentify(image(StudyDate="20240101"), EVERYTHING)
    later, _ = deidentify(image(StudyDate="20240131", StudyInstanceUID=UID + "9"), EVERYTHING)
    assert shifted(first.StudyDate, 30) == later.StudyDate
    other, _ = deidentify(image(StudyDate="20240101", PatientID="MRN-2"), EVERYTHING)
    assert other.StudyDate != first.StudyDate


@pytest.mark.parametrize("text", ["", "2024", "20241341", "yesterday"])
def test_a_date_that_is_none_is_not_kept(text: str) -> None:
    assert shifted(text, 5) == ""


def test_free_text_keeps_words_of_the_list_only() -> None:
    allowed = safe_words()
    assert (
        clean_words("Chest PA/lateral, Herr Schmidt (room 12), T2w 3mm", allowed, frozenset())
        == "Chest PA lateral 12 T2w 3mm"
    )
    assert clean_words("Chest of Herr Chest 19640812", allowed, frozenset({"chest"})) == "of"
    assert capped_age("089Y") == "089Y"
    assert capped_age("011M") == "011M"


@pytest.mark.parametrize("age", ["090Y", "1200M", "1080M", "5000W", "33000D", "99", "093 y"])
def test_the_very_old_are_as_old_as_each_other_in_any_unit(age: str) -> None:
    assert capped_age(age) == "090Y"


def test_an_age_below_the_cap_stays_and_what_is_none_goes() -> None:
    assert [capped_age(age) for age in ("1079M", "100W", "999D", "")] == ["1079M", "100W", "999D", ""]
    assert capped_age("born 1912") == ""


def test_addresses_and_texts_that_hold_original_uids_are_gone() -> None:
    source = image(
        RetrieveURL=f"https://pacs.st-elsewhere.example/studies/{UID}1", StorageURL="https://st-elsewhere.example/a",
        StoredInstanceBaseURI="https://st-elsewhere.example/b", PixelDataProviderURL="https://st-elsewhere.example/c",
        FilterType=f"copy_of_{UID}1.1.1.7", NTPSourceAddress="10.1.2.3", PlacerOrderNumberProcedure="ORD-77",
    )  # fmt: skip
    item = Dataset()
    item.RetrieveURI = f"https://pacs.st-elsewhere.example/{UID}1.1.1"
    source.SourceImageSequence = Sequence([item])
    made, findings = deidentify(source, EVERYTHING)
    found = written(made)
    for text in (f"{UID}1.1", f"studies/{UID}", "elsewhere", "10.1.2.3", "ORD-77"):
        assert text.encode() not in found, text
    assert findings.swept == {"FilterType": 1}


def test_only_uids_that_the_standard_lists_stay_as_they_are() -> None:
    assert KEY.uid("1.2.840.10008.5.1.4.1.1.2") == "1.2.840.10008.5.1.4.1.1.2"
    for crafted in ("1.2.840.10008.9/../../../../escaped", "1.2.840.10008.999.123"):
        made, _ = deidentify(image(SOPInstanceUID=crafted, RelatedGeneralSOPClassUID=crafted), PLAIN)
        assert made.SOPInstanceUID.startswith("2.25.")
        assert "/" not in str(made.RelatedGeneralSOPClassUID)


def test_the_table_is_the_table_of_the_standard() -> None:
    rules = table()
    assert len(rules) > 640
    known = {
        "PatientName": "Z", "PatientID": "Z/D", "PatientBirthDate": "Z", "StudyDate": "Z", "AccessionNumber": "Z",
        "SOPInstanceUID": "U", "StudyDescription": "X", "ReferringPhysicianName": "Z", "DeviceSerialNumber": "X/Z/D",
        "ReferencedImageSequence": "X/Z/U*", "OtherPatientIDs": "X", "ContentDate": "Z/D", "InstitutionName": "X/Z/D",
    }  # fmt: skip
    for keyword, action in known.items():
        assert rules[int(str(tag_for_keyword(keyword)))].action == action, keyword
    for tag, rule in rules.items():
        if keyword_for_tag(tag):
            assert action_of(tag, dictionary_VR(tag), frozenset()) is not Action.KEEP or rule.action == "X/Z/U*"
    assert ("SIEMENS MR HEADER", 0x0019, 0x0C) in safe_private()
    assert action_of(0x00100099, "UN", frozenset()) is Action.REMOVE, "unknown attributes go"


def _noise(seed: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    noise = np.random.default_rng(seed).normal(90, 20, (256, 512))
    return np.clip(noise, 0, 200).astype(np.uint8)


@pytest.mark.parametrize("fill", [255, 0])
@pytest.mark.parametrize("size", [14, 20, 30])
def test_a_name_written_into_the_pixels_is_suspected(size: int, fill: int) -> None:
    plain = _noise(size) + (0 if fill else 55)
    picture = Image.fromarray(plain)
    ImageDraw.Draw(picture).text((30, 30), "MUSTERMANN ERIKA 12.08.64", fill=fill, font=ImageFont.load_default(size))
    assert looks_like_text(np.asarray(picture))
    assert not looks_like_text(plain)
    assert not looks_like_text(np.zeros((8, 8)))


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"BurnedInAnnotation": "YES"}, "Burned In Annotation"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7.4"}, "secondary capture"),
        ({"Modality": "US"}, "ultrasound"),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, "screen save"),
        ({"Modality": "OT"}, "modality OT"),
        ({"RecognizableVisualFeatures": "YES"}, "Recognizable Visual Features"),
    ],
)
def test_what_may_hold_text_or_a_face_is_held_back(attributes: dict[str, Any], words: str) -> None:
    assert any(words in reason for reason in suspicions(image(**attributes), [_noise(1)]))
    assert suspicions(image(), [_noise(1)]) == ()


def test_an_overlay_in_unused_bits_of_the_pixels_is_held_back() -> None:
    dataset = image()
    dataset.add_new(0x60020102, "US", 15)
    assert any("overlay" in reason for reason in suspicions(dataset, [_noise(1)]))
    dataset[0x60020102].value = 0
    assert suspicions(dataset, [_noise(1)]) == ()
    assert suspicions(image(), []) == ("no image: text inside is not cleaned",)


@pytest.mark.shared
def test_real_objects_of_many_scanners_are_cleaned_and_stay_readable(shared_data: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(shared_data / "dicom" / "dcm_chest_ct_10_scanners.zip") as archive:
        names = [name for name in archive.namelist() if name.endswith(".dcm")]
        archive.extractall(tmp_path, names)
    for name in names:
        source = dcmread(tmp_path / name)
        made, _ = deidentify(source, EVERYTHING)
        made.save_as(tmp_path / "made.dcm", enforce_file_format=True)
        data = (tmp_path / "made.dcm").read_bytes()
        assert str(source.PatientID).encode() not in data or len(str(source.PatientID)) < 4
        assert str(source.SOPInstanceUID).encode() not in data
        assert str(source.StudyInstanceUID).encode() not in data
        assert np.array_equal(dcmread(tmp_path / "made.dcm").pixel_array, source.pixel_array)


@pytest.mark.shared
def test_pixels_in_every_transfer_syntax_are_the_same_afterwards(shared_data: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(shared_data / "dicom" / "dcm_one_ct_16_transfer_syntaxes.zip") as archive:
        archive.extractall(tmp_path / "source")
    syntaxes = set()
    for path in sorted(path for path in (tmp_path / "source").rglob("*") if path.is_file()):
        try:
            wanted = decode_frames(path)
        except ImagingRefused:
            continue  # some are broken on purpose
        made, _ = deidentify(dcmread(path), PLAIN)
        made.save_as(tmp_path / "made.dcm", enforce_file_format=True)
        assert np.array_equal(decode_frames(tmp_path / "made.dcm"), wanted), path.name
        syntaxes.add(str(made.file_meta.TransferSyntaxUID))
    assert len(syntaxes) >= 15


@pytest.mark.shared
@pytest.mark.peer
@pytest.mark.parametrize("profile", [PLAIN, EVERYTHING], ids=["basic", "all options"])
def test_a_validator_finds_no_error_that_the_original_had_not(
    shared_data: Path, tmp_path: Path, need_program: Callable[[str], str], profile: Profile
) -> None:
    program = need_program("dciodvfy")

    def errors(path: Path) -> set[str]:
        done = subprocess.run([program, str(path)], capture_output=True, text=True, check=False)
        return {line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")}

    for archive in ("dcm_chest_ct_10_scanners", "mr_brain_siemens_2_series", "dcm_ge_head_tilt_gaps"):
        with zipfile.ZipFile(shared_data / "dicom" / f"{archive}.zip") as opened:
            names = sorted(name for name in opened.namelist() if name.endswith(".dcm"))
            for name in names[:: max(1, len(names) // 5)]:
                original = tmp_path / "original.dcm"
                original.write_bytes(opened.read(name))
                made, _ = deidentify(dcmread(original), profile)
                made.save_as(tmp_path / "made.dcm", enforce_file_format=True)
                assert not errors(tmp_path / "made.dcm") - errors(original), name
