"""The package of a shipped reader is whole: data, licence, versions, the record of its making, and its measurement."""

import json
import re

import pytest

from coread.models.lineage import read_record, sha256_of
from coread.models.locking import packed_records
from coread.models.package import verify_package
from coread.models.sbom import UNKNOWN, read_sbom
from coread.readers.registry import InstalledReader, installed_readers

SHIPPED = {
    reader.card.reader_id: reader
    for reader in installed_readers()
    if reader.module.startswith("coread.readers.") and "network.onnx" in verify_package(
        reader.model_folder, reader.card_path
    ).names()
}  # fmt: skip
FILES = {"LICENCE.txt", "data_statement.md", "sbom.json", "network.onnx"}
MEASURED_BY_BENCH = {"tumor_volume", "ejection_fraction", "ejection_fraction_echo"}
"""Trained, but without a probability to calibrate; measured by its bench script instead of ``coread validate``."""
WHOLE = sorted(name for name, reader in SHIPPED.items() if (reader.model_folder / "records").is_dir())
"""Readers that were released before packages were whole join with their next release, or by relock_reader.py."""


def test_these_readers_are_whole() -> None:
    assert {"body_part", "diabetic_retinopathy", "lung_nodule_segmentation"} <= set(WHOLE)


@pytest.fixture(params=WHOLE)
def reader(request: pytest.FixtureRequest) -> InstalledReader:
    return SHIPPED[str(request.param)]


def test_the_package_holds_all_that_a_release_holds(reader: InstalledReader) -> None:
    package = verify_package(reader.model_folder, reader.card_path)
    assert set(package.names()) >= FILES
    assert ("calibration.json" in package.names()) is (reader.card.reader_id not in MEASURED_BY_BENCH)
    assert any(name.startswith("golden/") for name in package.names())
    licence = (reader.model_folder / "LICENCE.txt").read_text(encoding="utf-8")
    assert "Apache License, Version 2.0" in licence
    assert reader.card.training_licence in licence
    statement = (reader.model_folder / "data_statement.md").read_text(encoding="utf-8")
    assert all(line in statement for line in reader.card.training_data)


def test_its_record_leads_to_its_network_its_recipe_and_its_data(reader: InstalledReader) -> None:
    (record,) = packed_records(reader.model_folder)
    assert record.step in ("recipe", "relock")
    assert record.outputs["network.onnx"] == sha256_of(reader.model_folder / "network.onnx")
    assert f"{reader.card.reader_id}/recipe.py" in record.inputs
    data = [name for name in record.inputs if name.startswith("data ")]
    assert data or reader.card.training_data[0].startswith("none of patients")  # drawn by lot: nothing to digest
    statement = (reader.model_folder / "data_statement.md").read_text(encoding="utf-8")
    assert all(record.inputs[name] in statement for name in data)
    locked = read_record(reader.card_path.parent)
    assert locked.step == "lock"
    assert locked.parents == (record.digest,)
    assert locked.inputs == {"package": reader.package_digest}


def test_its_versions_say_how_they_are_known(reader: InstalledReader) -> None:
    body = json.loads((reader.model_folder / "sbom.json").read_text(encoding="utf-8"))
    assert body["bomFormat"] == "CycloneDX"
    said = {item["name"].split(":")[1] for item in body["metadata"]["properties"]}
    used = {one["value"] for item in body["components"] for one in item.get("properties", ())
            if one["name"] == "coread:stage"}  # fmt: skip
    assert used == said
    assert "fit" in said
    versions = dict(read_sbom(reader.model_folder))
    assert re.match(r"[0-9]", versions["onnxruntime"].replace(f"{UNKNOWN}, ", ""))


def test_its_validation_is_of_this_very_package(reader: InstalledReader) -> None:
    if reader.card.reader_id in MEASURED_BY_BENCH:
        found = json.loads((reader.card_path.parent / "measurements.json").read_text(encoding="utf-8"))
        assert found["network_sha256"] == sha256_of(reader.model_folder / "network.onnx")
        return
    report = json.loads((reader.card_path.parent / "validation.json").read_text(encoding="utf-8"))
    assert report["package_digest"] == reader.package_digest
