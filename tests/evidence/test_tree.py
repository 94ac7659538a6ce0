"""Objects as trees that a person can read."""

from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from coread.domain.results import ReadResult
from coread.evidence.build import build_evidence
from coread.evidence.errors import SourceUnreadable
from coread.evidence.tree import readable_tree, tree_lines
from tests.evidence.build_sources import card, findings, reading, reference
from tests.evidence.conftest import parse


def test_a_report_reads_like_a_report(chest: tuple[Dataset, Path]) -> None:
    objects = build_evidence(reading(ReadResult(findings(reference(chest[0])))), card(), [chest[1]])
    text = "\n".join(tree_lines(readable_tree(parse(objects[0]))))
    assert "Imaging Measurement Report" in text
    assert "Finding: Pneumothorax (36118008, SCT)" in text
    assert "Presence: Absent (2667000, SCT)" in text
    assert "Certainty of Finding: 83.1235 %" in text
    assert "Image Region: polyline (10.5, 12.25)" in text
    assert "Patient's Name: Yamada^Tarou=山田^太郎=やまだ^たろう" in text


def test_an_image_reads_like_its_header_without_pixels(chest: tuple[Dataset, Path]) -> None:
    tree = readable_tree(chest[1])
    labels = {node.label: node.value for node in tree.children}
    assert labels["Modality"] == "DX"
    assert labels["Patient Orientation"] == "L \\ F"
    assert "Pixel Data" not in labels


def test_every_object_of_a_result_has_a_tree(chest: tuple[Dataset, Path], tmp_path: Path) -> None:
    for item in build_evidence(reading(ReadResult(findings(reference(chest[0])))), card(), [chest[1]]):
        path = tmp_path / "object.dcm"
        path.write_bytes(item.data)
        assert len(list(tree_lines(readable_tree(path)))) > 15


def test_a_file_that_is_not_dicom_is_named(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not dicom")
    with pytest.raises(SourceUnreadable, match=r"notes\.txt"):
        readable_tree(path)
