"""The commands around a package's life, as a person types them."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from coread.app.pipeline import evidence_maker, pipeline_of, settle_and_route
from coread.app.settings import Settings
from coread.domain.study import Origin, SettledReason
from coread.engine.worker_loop import WorkLoop, WorkSettings
from coread.imaging.plan import PlanarPlan, PlannedOutput
from coread.models.importing import Described, ImportedOutput, import_onnx
from coread.models.trust import SignatureRule
from coread.receive.folder import FolderSettings, take_file
from coread.store import Store, StoreSettings
from coread.validate.reader_choice import chosen_reader
from tests.app.installed_tiny import command, tiny_package
from tests.engine.inputs import radiograph, square_at
from tests.models.releases import release, validation
from tests.models.tiny_reader import SIDE, tiny_graph


@pytest.fixture
def code(tmp_path: Path) -> Iterator[Path]:
    with tiny_package(tmp_path / "code") as place:
        yield place


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.model_validate({"folder": tmp_path / "site", "require_signature": SignatureRule.ON})


def test_from_a_key_to_a_switch_and_back(code: Path, settings: Settings, tmp_path: Path) -> None:
    key, folder = tmp_path / "keys/maker", tmp_path / "release"
    locked = release(folder, version="1.1.0")
    made = command(code, settings, "models", "keygen", key, "--json").json()
    again = command(code, settings, "models", "lock", folder, "--key", key, "--signer", "Group", "--json").json()
    assert again["key_id"] == made["key_id"]
    assert again["digest"] == locked.package.digest
    record = validation(tmp_path / "v", locked.package.digest)
    assert command(code, settings, "models", "install", folder).code == 0
    assert command(code, settings, "models", "attach-validation", "tiny_square@1.1.0", record).code == 0
    stranger = command(code, settings, "models", "switch", "tiny_square", "1.1.0")
    assert stranger.code == 5
    assert "unknown at this site" in stranger.err
    added = command(code, settings, "models", "trust", "add", f"{key}.pub", "--name", "Group", "--json").json()
    assert added["key_id"] == made["key_id"]
    assert command(code, settings, "models", "switch", "tiny_square", "1.1.0", "--reason", "better").code == 0
    shown = command(code, settings, "models", "show", "tiny_square", "--json").json()
    assert (shown["version"], shown["active"], shown["signature"], shown["validations"]) == (
        "1.1.0",
        True,
        "trusted",
        1,
    )
    assert "better" in shown["switches"][0]
    listed = command(code, settings, "models", "list", "--json").json()
    active = {item["reader_id"]: item["version"] for item in listed["versions"] if item["active"]}
    assert active["tiny_square"] == "1.1.0"
    assert "active" in command(code, settings, "models", "list").out
    told = command(code, settings, "models", "rollback", "tiny_square")
    assert told.code == 0
    assert "Repeat with --yes" in told.out
    assert command(code, settings, "models", "rollback", "tiny_square", "--yes").code == 0
    assert command(code, settings, "models", "rollback", "tiny_square").code == 3


def test_verify_names_what_is_wrong(code: Path, settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "release"
    release(folder)
    assert command(code, settings, "models", "verify", folder).code == 0
    (folder / "model/calibration.json").write_text("{}")
    damaged = command(code, settings, "models", "verify", folder, "--json")
    assert damaged.code == 5
    assert "calibration.json" in damaged.json()["packages"][0]["problem"]
    assert command(code, settings, "models", "install", folder).code == 5
    assert not (settings.folder / "models/tiny_square").exists() or not list((settings.folder / "models").glob("*/*/*"))
    unknown = command(code, settings, "models", "show", "nobody")
    assert unknown.code == 5
    assert "no reader 'nobody'" in unknown.err


def test_an_imported_reader_reads_once_it_is_validated_and_switched_on(settings: Settings, tmp_path: Path) -> None:
    """A whole new reader, without a line of code of its own, in the path of the clinic."""
    relaxed = settings.model_copy(update={"require_signature": SignatureRule.OFF})
    plan = PlanarPlan((PlannedOutput("square", "logit", 0),), SIDE, SIDE)
    about = Described("foreign", "Foreign finder", "0.1.0", "DX", "CHEST")
    locked = import_onnx(_graph(tmp_path), tmp_path / "p", plan, about, (ImportedOutput("square", "Bright square"),))
    here = tmp_path / "nothing"
    here.mkdir()
    assert command(here, relaxed, "models", "install", tmp_path / "p").code == 0
    refused = command(here, relaxed, "models", "switch", "foreign", "0.1.0")
    assert "no validation record" in refused.err
    record = validation(tmp_path / "v", locked.package.digest)
    switched = command(here, relaxed, "models", "switch", "foreign", "0.1.0", "--validation", record, "--json")
    assert switched.code == 0, switched.err
    with Store.open(StoreSettings(relaxed.folder, durable=False), migrate=True) as store:
        pipeline = pipeline_of(store, relaxed, only=("foreign",))
        worker = WorkLoop(
            store, pipeline.active_readers, evidence_maker(relaxed), settings=WorkSettings(owner="w", cap_memory=False)
        )
        path = radiograph(tmp_path / "a.dcm", square_at(64, 160, 64))
        handled = take_file(store, path, FolderSettings(store.folder, durable=False), Origin("command"))
        (uid,) = {receipt.study_instance_uid for receipt in handled.received}
        settle_and_route(pipeline, uid, SettledReason.MANUAL, "in")
        assert worker.run_once()
        (item,) = store.work_items(uid)
        reading = store.reading(item.work_id)
        assert reading is not None
        assert reading.outcome().value == "positive", reading.ending
        assert reading.provenance.package_digest == locked.package.digest
        assert {record.kind.value for record in store.evidence(uid)} >= {"SR", "SC"}
    back = command(here, relaxed, "models", "rollback", "foreign", "--yes", "--json").json()
    assert back["to"] == "none"
    assert json.loads(json.dumps(back))["action"] == "rollback"


def _graph(folder: Path) -> Path:
    path = folder / "foreign.onnx"
    path.write_bytes(tiny_graph())
    return path


def test_a_package_without_code_is_validated_with_the_installed_reader_or_by_its_plan(
    code: Path, tmp_path: Path
) -> None:
    release(tmp_path / "release", version="1.1.0")
    (tmp_path / "release/reader.py").unlink()
    known = chosen_reader(tmp_path / "release")
    assert (known.module, known.card.version) == ("tiny_switched", "1.1.0")
    assert known.model_folder == (tmp_path / "release/model").resolve()
    plan = PlanarPlan((PlannedOutput("square", "logit", 0),), SIDE, SIDE)
    about = Described("foreign", "Foreign finder", "0.1.0", "DX", "CHEST")
    import_onnx(_graph(tmp_path), tmp_path / "p", plan, about, (ImportedOutput("square", "Bright square"),))
    assert chosen_reader(tmp_path / "p").module == "coread.readers.planned"
