"""Reports out of every kind of file in which they travel, and out of files that hold none."""

from pathlib import Path

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from coread.app.errors import NothingFound
from coread.app.report_texts import Examination, ReportText, day, decoded, report_texts
from coread.reports import Section, Status, label_report
from coread.reports.errors import UnreadableReport

HL7 = (
    "MSH|^~\\&|RIS|H|||20200101||ORU^R01|1|P|2.5\rPID|1||P1\rOBR|1||A1\r"
    "OBX|1|FT|36643-5&GDT||Small left effusion.\\.br\\No pneumothorax \\T\\ no edema.\r"
    "OBX|2|TX|36643-5&IMP||Left effusion.~No PTX.\rOBX|3|NM|1||5\r"
    "OBR|2||A2\rOBX|1|TX|x||Normal chest.\r"
)


def read(path: Path, column: str = "") -> list[ReportText]:
    return list(report_texts([str(path)], column))


def item(kind: str, meaning: str, **values: object) -> Dataset:
    made = Dataset()
    made.ValueType = kind
    concept = Dataset()
    concept.CodeValue, concept.CodingSchemeDesignator, concept.CodeMeaning = "121070", "DCM", meaning
    made.ConceptNameCodeSequence = Sequence([concept])
    for name, value in values.items():
        setattr(made, name, value)
    return made


def structured_report(path: Path) -> Path:
    root = item("CONTAINER", "Radiology Report")
    finding = item("TEXT", "Finding", TextValue="Small left pleural effusion.")
    root.ContentSequence = Sequence(
        [
            item("CONTAINER", "Findings", ContentSequence=Sequence([finding])),
            item("TEXT", "Impression", TextValue="No pneumothorax."),
        ]
    )
    root.SOPClassUID = "1.2.840.10008.5.1.4.1.1.88.11"
    root.SOPInstanceUID = "1.2.3"
    root.file_meta = FileMetaDataset()
    root.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    root.save_as(path, enforce_file_format=True)
    return path


def test_plain_text_in_every_encoding(tmp_path: Path) -> None:
    for name, data in {
        "utf8.txt": "No ptx – naïve".encode(),
        "bom.txt": "\ufeffNo ptx – naïve".encode(),
        "utf16.txt": "No ptx – naïve".encode("utf-16"),
        "cp1252.txt": "No ptx – naïve".encode("cp1252"),
    }.items():
        (tmp_path / name).write_bytes(data)
        assert read(tmp_path / name) == [ReportText(name, "No ptx – naïve")]


def test_a_folder_is_read_by_name_and_bad_files_say_why(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b.txt").write_text("Effusion.")
    (tmp_path / "a.bin").write_bytes(b"\x00\x01\x02")
    found = read(tmp_path)
    assert [one.name for one in found] == ["a.bin", "deep/b.txt"]
    assert "binary" in found[0].problem
    assert found[1].text == "Effusion."


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NothingFound, match="there is no file"):
        read(tmp_path / "absent.txt")


def test_csv_with_findings_and_impression(tmp_path: Path) -> None:
    table = tmp_path / "reports.csv"
    table.write_text('Study_ID,Findings,Impression\ns1,"Small effusion, left.\nHeart normal.",Effusion.\ns2,,Clear.\n')
    found = read(table)
    assert [one.name for one in found] == ["reports.csv:s1", "reports.csv:s2"]
    labels = label_report(found[0].text)
    effusion = labels.label("pleural_effusion")
    assert effusion is not None
    assert effusion.section is Section.IMPRESSION
    assert found[1].text == "IMPRESSION:\nClear."


def test_csv_with_a_named_column_and_without_one(tmp_path: Path) -> None:
    table = tmp_path / "reports.tsv"
    table.write_text("id\tbericht\n7\tNo effusion.\n")
    assert read(table, "bericht") == [ReportText("reports.tsv:7", "No effusion.")]
    assert "name it with --column" in read(table)[0].problem
    assert "has no column 'x'" in read(table, "x")[0].problem


def test_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pyarrow.table({"image_id": ["i1", "i2"], "text": ["No effusion.", None]})
    parquet.write_table(table, tmp_path / "index.parquet")
    assert read(tmp_path / "index.parquet") == [
        ReportText("index.parquet:i1", "No effusion.", of=Examination("i1")),
        ReportText("index.parquet:i2", "", of=Examination("i2")),
    ]
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no")
    assert "not a Parquet file" in read(tmp_path / "broken.parquet")[0].problem


def test_hl7_messages(tmp_path: Path) -> None:
    path = tmp_path / "message.hl7"
    path.write_bytes(HL7.encode())
    found = read(path)
    assert [one.name for one in found] == ["message.hl7:1", "message.hl7:2"]
    assert found[0].text == (
        "FINDINGS:\nSmall left effusion.\nNo pneumothorax & no edema.\nIMPRESSION:\nLeft effusion.\nNo PTX."
    )
    labels = label_report(found[0].text)
    assert labels.status("pleural_effusion") is Status.PRESENT
    assert labels.status("pneumothorax") is Status.ABSENT
    path.write_text("MSH|^~\\&|A\rPID|1\r")
    assert "without report text" in read(path)[0].problem


def test_structured_report(tmp_path: Path) -> None:
    found = read(structured_report(tmp_path / "sr.dcm"))
    labels = label_report(found[0].text)
    assert labels.status("pleural_effusion") is Status.PRESENT
    assert labels.status("pneumothorax") is Status.ABSENT
    pneumothorax = labels.label("pneumothorax")
    assert pneumothorax is not None
    assert pneumothorax.section is Section.IMPRESSION


def test_a_dicom_image_or_half_a_file_is_refused(tmp_path: Path) -> None:
    whole = structured_report(tmp_path / "sr.dcm").read_bytes()
    (tmp_path / "half.dcm").write_bytes(whole[:200])
    assert read(tmp_path / "half.dcm")[0].problem


def test_bytes_that_are_no_text() -> None:
    with pytest.raises(UnreadableReport):
        decoded(b"GIF89a\x00\x00")


def test_a_report_tells_which_examination_it_is_of(tmp_path: Path) -> None:
    table = tmp_path / "r.csv"
    table.write_text(
        "StudyInstanceUID,AccessionNumber,subject_id,StudyDate,report\n1.2,A1,P1,20240131.0,No effusion.\n"
    )
    assert read(table)[0].of == Examination("", "1.2", "A1", "P1", "2024-01-31")
    message = tmp_path / "r.hl7"
    message.write_text(
        "MSH|^~\\&|RIS|H|||20240131||ORU^R01|1|P|2.5\rPID|1||P1^^^H\rOBR|1||F7^RIS||||202401311015|||||||||||A7\r"
        "OBX|1|TX|x||No effusion.\r",
        newline="",
    )
    assert read(message)[0].of == Examination("", "", "A7", "P1", "2024-01-31")
    (tmp_path / "plain.txt").write_text("No effusion.")
    assert read(tmp_path / "plain.txt")[0].of == Examination()
    assert (day("2024-02-30"), day("20240229120000"), day("")) == ("", "2024-02-29", "")
