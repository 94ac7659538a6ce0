"""The list of versions and the texts of a package: each version says how it is known, and nothing is made up."""

import json
from pathlib import Path

import pytest

import coread
from coread.models.errors import BrokenLineage
from coread.models.lineage import digest_of_folder
from coread.models.locking import LockPlan, lock_release, packed_records
from coread.models.sbom import UNKNOWN, MadeWith, installed_now, read_sbom, write_sbom
from coread.models.statements import data_statement, licence_text
from coread.readers.card_file import read_card
from tests.models.tiny_reader import write_tiny_reader


def listed(folder: Path) -> list[dict[str, object]]:
    components: list[dict[str, object]] = json.loads((folder / "sbom.json").read_text())["components"]
    return components


def test_a_component_names_every_stage_that_used_it_and_one_entry_per_version(tmp_path: Path) -> None:
    (tmp_path / "network.onnx").write_bytes(b"graph")
    stages = [
        MadeWith("fit", {"torch": "2.5.0", "numpy": "2.1.0"}, "written when the fit began"),
        MadeWith("release", {"torch": "2.6.0", "numpy": "2.1.0"}, "installed where the release was done"),
    ]
    write_sbom(tmp_path, "tiny", "1.0.0", stages)
    found = {(item["name"], item.get("version")): item for item in listed(tmp_path)}
    assert set(found) == {
        ("torch", "2.5.0"), ("torch", "2.6.0"), ("numpy", "2.1.0"), ("network.onnx", None),
    }  # fmt: skip
    assert [said["value"] for said in found["numpy", "2.1.0"]["properties"]] == ["fit", "release"]  # type: ignore[attr-defined]
    assert dict(read_sbom(tmp_path))["torch"] == "2.5.0, 2.6.0"
    document = json.loads((tmp_path / "sbom.json").read_text())
    assert document["metadata"]["properties"][0] == {
        "name": "coread:fit:versions", "value": "written when the fit began",
    }  # fmt: skip
    assert document["compositions"][0]["aggregate"] == "incomplete"


def test_what_nobody_wrote_down_is_listed_without_a_version(tmp_path: Path) -> None:
    write_sbom(tmp_path, "tiny", "1.0.0", [MadeWith("fit", {}, "not kept", unknown=("torch",))])
    (torch,) = listed(tmp_path)
    assert "version" not in torch
    assert "purl" not in torch
    assert dict(read_sbom(tmp_path)) == {"torch": UNKNOWN}


def test_without_stages_what_is_installed_now_is_listed_for_the_lock(tmp_path: Path) -> None:
    write_sbom(tmp_path, "tiny", "1.0.0")
    assert dict(read_sbom(tmp_path))["coread"] == coread.__version__
    before = (tmp_path / "sbom.json").read_bytes()
    write_sbom(tmp_path, "tiny", "1.0.0", [installed_now()])
    assert (tmp_path / "sbom.json").read_bytes() == before


def test_a_folder_has_one_digest_whatever_the_order_and_times_and_another_after_a_renaming(tmp_path: Path) -> None:
    for name, order in (("a", ("x", "sub/y")), ("b", ("sub/y", "x"))):
        for file in order:
            (tmp_path / name / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / file).write_bytes(file.encode())
    assert digest_of_folder(tmp_path / "a") == digest_of_folder(tmp_path / "b")
    (tmp_path / "b/x").rename(tmp_path / "b/z")
    assert digest_of_folder(tmp_path / "a") != digest_of_folder(tmp_path / "b")
    with pytest.raises(BrokenLineage, match="nothing"):
        digest_of_folder(tmp_path / "empty")


def test_records_that_lie_in_the_package_are_the_parents_of_its_lock_and_stay(tmp_path: Path) -> None:
    from coread.models.lineage import write_record

    folder = write_tiny_reader(tmp_path / "r", lock=False)
    place = folder / "model/records/01-recipe"
    place.mkdir(parents=True)
    record = write_record(place, "recipe", inputs={"data x": "0" * 64}, outputs=())
    locked = lock_release(folder, LockPlan())
    assert locked.record.parents == (record.digest,)
    assert packed_records(folder / "model") == (record,)
    (place / "record.json").write_text((place / "record.json").read_text().replace("data x", "data y"))
    with pytest.raises(BrokenLineage, match="changed"):
        lock_release(folder, LockPlan())


def test_licence_and_data_statement_say_what_the_card_says(tmp_path: Path) -> None:
    card = read_card(write_tiny_reader(tmp_path / "r") / "card.toml")
    assert card.training_licence in licence_text(card)
    said = data_statement(card, {"made_up": "ab" * 32}, "A remark.")
    assert f"`made_up`: SHA-256 over its files `{'ab' * 32}`" in said
    assert "A remark." in said
    assert all(line in said for line in (*card.training_data, *card.limits))
    assert "No digest of the data was kept." in data_statement(card, {})


def test_signing_a_whole_package_leaves_it_the_one_that_was_validated(tmp_path: Path) -> None:
    folder = write_tiny_reader(tmp_path / "r", lock=False)
    stages = (MadeWith("fit", {"torch": "2.5.0"}, "written when the fit began"), installed_now())
    packed = lock_release(folder, LockPlan(made_with=stages)).package
    assert lock_release(folder, LockPlan()).package.digest == packed.digest
    sbom = folder / "model/sbom.json"
    sbom.write_text(sbom.read_text().replace("network.onnx", "another.onnx"))
    renewed = lock_release(folder, LockPlan()).package
    assert renewed.digest != packed.digest
    assert "network.onnx" in dict(read_sbom(folder / "model"))
    sbom.write_text("no list")
    assert lock_release(folder, LockPlan()).package.digest == renewed.digest
