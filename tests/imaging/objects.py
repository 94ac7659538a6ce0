"""Objects for the tests of this room: small data sets in every encoding, and strategies that make odd ones."""

import io
import string

from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

SYNTAXES = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)
NAMES_BY_CHARSET = {
    "": ["DOE^JANE", ""],
    "ISO_IR 100": ["MÜLLER^JÖRG", "Ñandú^Ça"],
    "ISO_IR 192": ["Иванов^Пётр", "山田^太郎", "Ørsted^Åse"],
    "ISO_IR 144": ["Иванов^Пётр"],
    "GB18030": ["王^小东"],
    "\\ISO 2022 IR 87": ["Yamada^Tarou=山田^太郎=やまだ^たろう"],
    "\\ISO 2022 IR 149": ["Hong^Gildong=洪^吉洞=홍^길동"],
}

uids = st.builds(
    lambda parts: "1.2." + ".".join(map(str, parts)), st.lists(st.integers(0, 99999), min_size=1, max_size=6)
)
words = st.text(string.ascii_letters + string.digits + " _-", max_size=15)
decimals = st.decimals(-9999, 9999, places=3).map(str)


def minimal(**attributes: object) -> Dataset:
    """Return the smallest data set that the index keeps."""
    dataset = Dataset()
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    dataset.SOPInstanceUID = "1.2.3.4"
    dataset.StudyInstanceUID = "1.2.3"
    dataset.SeriesInstanceUID = "1.2.3.3"
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def as_bytes(dataset: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    """Return a data set as a Part 10 file in a native syntax."""
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = UID(dataset.get("SOPClassUID") or "1.2")
    dataset.file_meta.MediaStorageSOPInstanceUID = UID(dataset.get("SOPInstanceUID") or "1.2")
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    out = io.BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    return out.getvalue()


@st.composite
def datasets(draw: st.DrawFn) -> Dataset:
    """Draw a data set with character sets, private elements, nested sequences and missing values."""
    dataset = minimal(SOPInstanceUID=draw(uids), StudyInstanceUID=draw(uids), SeriesInstanceUID=draw(uids))
    charset = draw(st.sampled_from(sorted(NAMES_BY_CHARSET)))
    if charset:
        dataset.SpecificCharacterSet = charset.split("\\") if "\\" in charset else charset
    dataset.PatientName = draw(st.sampled_from(NAMES_BY_CHARSET[charset]))
    for keyword in ("PatientID", "StudyDescription", "SeriesDescription", "ProtocolName", "StationName"):
        if draw(st.booleans()):
            setattr(dataset, keyword, draw(words))
    for keyword in ("SeriesNumber", "InstanceNumber", "AcquisitionNumber"):
        if draw(st.booleans()):
            setattr(dataset, keyword, draw(st.one_of(st.none(), st.integers(-999, 99999))))
    if draw(st.booleans()):
        dataset.Rows, dataset.Columns = draw(st.integers(0, 65535)), draw(st.integers(0, 65535))
        dataset.ImageType = draw(st.lists(st.sampled_from(["ORIGINAL", "PRIMARY", "AXIAL", "OTHER"]), max_size=4))
    if draw(st.booleans()):
        dataset.PatientOrientation = draw(st.sampled_from([["L", "F"], ["R", "F"], ["A", "FR"]]))
    if draw(st.booleans()):
        dataset.ImagePositionPatient = [draw(decimals) for _ in range(3)]
        dataset.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    _add_private(draw, dataset)
    if draw(st.booleans()):
        dataset.ReferencedStudySequence = _sequence(draw, 2)
    if draw(st.booleans()):
        dataset.RequestAttributesSequence = _sequence(draw, 1)
        dataset.RequestedProcedurePriority = draw(st.sampled_from(["STAT", "ROUTINE"]))
    return dataset


def _add_private(draw: st.DrawFn, dataset: Dataset) -> None:
    for group in draw(st.lists(st.sampled_from([0x0009, 0x0019, 0x0021, 0x0029]), unique=True, max_size=3)):
        block = dataset.private_block(group, "COREAD TEST", create=True)
        block.add_new(1, "OB", draw(st.binary(max_size=40)))
        block.add_new(2, "SQ", _sequence(draw, 1))
        block.add_new(3, "LO", draw(words))


def _sequence(draw: st.DrawFn, depth: int) -> Sequence:
    items = []
    for _ in range(draw(st.integers(0, 2))):
        item = Dataset()
        item.ReferencedSOPInstanceUID = draw(uids)
        item.PatientName = "NESTED^NAME"
        if depth:
            item.ReferencedSeriesSequence = _sequence(draw, depth - 1)
        item.is_undefined_length_sequence_item = draw(st.booleans())
        items.append(item)
    sequence = Sequence(items)
    sequence.is_undefined_length = draw(st.booleans())
    return sequence
