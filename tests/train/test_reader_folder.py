"""A recipe's reader folder gives a whole package: texts, record of recipe and data, versions of fit and release."""

import json
import shutil
from pathlib import Path

import pytest

from coread.models.errors import BrokenLineage
from coread.models.lineage import digest_of_folder, read_record, sha256_of
from coread.models.locking import packed_records
from coread.models.package import verify_package
from coread.models.sbom import read_sbom
from coread.readers.card_file import read_card
from coread.train.environment import ENVIRONMENT, keep_environment
from coread.train.reader_folder import ReaderFolder, install
from tests.models.tiny_reader import write_tiny_reader


def prepared(tmp_path: Path) -> tuple[ReaderFolder, Path]:
    """A reader folder with a graph and the code of a tiny reader, and data it says it learnt from."""
    code = write_tiny_reader(tmp_path / "tiny_square")
    (code / "__init__.py").touch()
    data = tmp_path / "made_up_set"
    data.mkdir()
    (data / "index.csv").write_text("image\n")
    folder = ReaderFolder(tmp_path / "out/reader", code, [data])
    shutil.copyfile(code / "model/network.onnx", folder.model / "network.onnx")
    shutil.copyfile(code / "model/calibration.json", folder.model / "calibration.json")
    shutil.copytree(code / "model/golden", folder.model / "golden")
    return folder, data


def test_the_package_holds_licence_data_statement_versions_and_the_record_of_the_recipe(tmp_path: Path) -> None:
    folder, data = prepared(tmp_path)
    keep_environment(tmp_path / "out")
    card = read_card(tmp_path / "tiny_square/card.toml")
    digest = folder.lock(card, "made up")
    package = verify_package(folder.model, folder.path / "card.toml")
    assert package.digest == digest
    wanted = {"LICENCE.txt", "data_statement.md", "sbom.json", "records/01-recipe/record.json"}
    assert wanted <= set(package.names())
    (record,) = packed_records(folder.model)
    assert record.inputs["data made_up_set"] == digest_of_folder(data)
    assert record.inputs["tiny_square/reader.py"] == sha256_of(tmp_path / "tiny_square/reader.py")
    assert record.outputs["network.onnx"] == sha256_of(folder.model / "network.onnx")
    assert read_record(folder.path).parents == (record.digest,)
    made = json.loads((folder.model / "sbom.json").read_text())
    torch = next(item for item in made["components"] if item["name"] == "torch")
    assert {said["value"] for said in torch["properties"]} == {"fit", "release"}


def test_locking_again_gives_the_same_digest_and_other_data_another(tmp_path: Path) -> None:
    folder, data = prepared(tmp_path)
    card = read_card(tmp_path / "tiny_square/card.toml")
    before = folder.lock(card, "made up")
    assert folder.lock(card, "made up") == before
    (data / "more.csv").write_text("image\n")
    assert folder.lock(card, "made up") != before


def test_fits_without_versions_are_said_to_have_none(tmp_path: Path) -> None:
    folder, _ = prepared(tmp_path)
    folder.lock(read_card(tmp_path / "tiny_square/card.toml"), "made up")
    assert not list((tmp_path / "out").rglob(ENVIRONMENT))
    assert "not recorded" in dict(read_sbom(folder.model))["torch"]


def test_a_data_folder_that_is_empty_ends_the_lock(tmp_path: Path) -> None:
    folder, data = prepared(tmp_path)
    (data / "index.csv").unlink()
    with pytest.raises(BrokenLineage, match="made_up_set"):
        folder.lock(read_card(tmp_path / "tiny_square/card.toml"), "made up")


def test_installing_brings_the_record_of_the_lock_too(tmp_path: Path) -> None:
    folder, _ = prepared(tmp_path)
    folder.lock(read_card(tmp_path / "tiny_square/card.toml"), "made up")
    install(folder.path, tmp_path / "tiny_square")
    assert read_record(tmp_path / "tiny_square").step == "lock"
    verify_package(tmp_path / "tiny_square/model", tmp_path / "tiny_square/card.toml")
