"""Records of steps are linked by hashes: a changed file or record is noticed."""

import json
from pathlib import Path

import pytest

from coread.models.errors import BrokenLineage
from coread.models.lineage import RECORD, read_record, sha256_of, write_record


def test_a_record_names_its_parents_and_its_files(tmp_path: Path) -> None:
    first, second = tmp_path / "data", tmp_path / "split"
    for folder in (first, second):
        folder.mkdir()
        (folder / "table.txt").write_text(folder.name, encoding="utf-8")
    parent = write_record(first, "dataset build", inputs={}, outputs=["table.txt"])
    child = write_record(second, "split", inputs={"t": sha256_of(first / "table.txt")}, outputs=[], parents=[parent])
    assert read_record(first) == parent
    assert read_record(second).parents == (parent.digest,)
    assert child.digest != parent.digest


def test_a_changed_output_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "table.txt").write_text("a", encoding="utf-8")
    write_record(tmp_path, "split", inputs={}, outputs=["table.txt"])
    (tmp_path / "table.txt").write_text("b", encoding="utf-8")
    with pytest.raises(BrokenLineage, match="is not the file"):
        read_record(tmp_path)
    assert read_record(tmp_path, check_outputs=False).step == "split"


def test_a_changed_record_is_noticed(tmp_path: Path) -> None:
    write_record(tmp_path, "split", inputs={}, outputs=[], settings={"seed": 1})
    body = json.loads((tmp_path / RECORD).read_text(encoding="utf-8"))
    body["settings"]["seed"] = 2
    (tmp_path / RECORD).write_text(json.dumps(body), encoding="utf-8")
    with pytest.raises(BrokenLineage, match="was changed"):
        read_record(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"step": 1}'])
def test_a_record_that_is_none_is_said_so(tmp_path: Path, text: str) -> None:
    (tmp_path / RECORD).write_text(text, encoding="utf-8")
    with pytest.raises(BrokenLineage, match="cannot be read"):
        read_record(tmp_path)
    with pytest.raises(BrokenLineage, match="is missing"):
        read_record(tmp_path / "nowhere")
