"""A switch reaches a running worker, routing and pages; what may not run is said, never replaced by something else."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from coread.app.doctor import examine
from coread.app.pipeline import evidence_maker, pipeline_of, settle_and_route
from coread.app.settings import Settings
from coread.app.site_models import SWITCH_EVENT, SiteReaders, record_switches
from coread.app.web.context import CheckLevel
from coread.domain.study import Origin, SettledReason
from coread.engine.worker_loop import WorkLoop, WorkSettings
from coread.models.trust import SignatureRule
from coread.models.validations import attach_validation
from coread.models.versions import Request
from coread.readers.registry import ReaderListing
from coread.receive.folder import FolderSettings, take_file
from coread.store import Store, StoreSettings
from tests.app.installed_tiny import command, installed, tiny_package
from tests.engine.inputs import radiograph, square_at
from tests.models.releases import key_pair, release, validation

OFF = Request("tests", rule=SignatureRule.OFF)


@pytest.fixture
def code(tmp_path: Path) -> Iterator[Path]:
    with tiny_package(tmp_path / "code") as place:
        yield place


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.model_validate({"folder": tmp_path / "site", "require_signature": SignatureRule.WARN})


@pytest.fixture
def site(code: Path, settings: Settings) -> SiteReaders:
    return SiteReaders(settings)


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    with Store.open(StoreSettings(settings.folder, durable=False), migrate=True) as opened:
        yield opened


def tiny_version(listing: ReaderListing) -> str:
    return {item.card.reader_id: item.card.version for item in listing.readers}.get("tiny_square", "")


def problem_of(listing: ReaderListing) -> str:
    return next(item.problem for item in listing.problems if item.name == "tiny_square")


def test_a_switch_is_seen_at_once_and_so_is_its_undoing(site: SiteReaders, settings: Settings, tmp_path: Path) -> None:
    watching = SiteReaders(settings)
    assert tiny_version(watching.listing()) == "1.0.0"
    site.models.switch(installed(site, tmp_path / "r", version="1.1.0"), OFF)
    assert tiny_version(watching.listing()) == "1.1.0"
    assert watching.warnings() == (("tiny_square", "the package is not signed"),)
    site.models.rollback("tiny_square", OFF)
    assert tiny_version(watching.listing()) == "1.0.0"


def test_a_damaged_active_version_is_a_problem_and_no_other_version_steps_in(
    site: SiteReaders, settings: Settings, tmp_path: Path
) -> None:
    newer = installed(site, tmp_path / "r", version="1.1.0")
    site.models.switch(newer, OFF)
    (newer.folder / "model/network.onnx").write_bytes(b"other")
    listing = SiteReaders(settings).listing()
    assert tiny_version(listing) == ""
    assert "network.onnx" in problem_of(listing)


def test_removing_the_key_stops_a_running_reader(code: Path, settings: Settings, tmp_path: Path) -> None:
    site = SiteReaders(settings.model_copy(update={"require_signature": SignatureRule.ON}))
    key = key_pair(tmp_path / "keys")
    known = site.models.trust.add(key.with_name("maker.pub"), "Maker", "tests")
    site.models.switch(installed(site, tmp_path / "r", version="1.1.0", key=key), Request("tests"))
    assert tiny_version(site.listing()) == "1.1.0"
    site.models.trust.remove(known.key_id, "tests")
    assert tiny_version(site.listing()) == ""
    assert "removed that key" in problem_of(site.listing())


def test_doctor_tells_of_keys_that_end_and_of_what_is_not_signed(
    site: SiteReaders, settings: Settings, tmp_path: Path
) -> None:
    key = key_pair(tmp_path / "keys")
    soon = (datetime.now(UTC) + timedelta(days=9)).isoformat()
    site.models.trust.add(key.with_name("maker.pub"), "Maker", "tests", not_after=soon)
    site.models.switch(installed(site, tmp_path / "r"), OFF)
    told = {check.name: check for check in examine(settings, server_running=True)}
    (warned,) = [check for name, check in told.items() if name.startswith("key ")]
    assert "Maker: valid for 8 more days" in warned.detail
    unsigned = [c for c in examine(settings, server_running=True) if c.name == "reader tiny_square"]
    assert {c.level for c in unsigned} == {CheckLevel.WARNING, CheckLevel.OK}


def test_with_a_damaged_journal_no_reader_that_has_other_versions_runs(site: SiteReaders, tmp_path: Path) -> None:
    site.models.switch(installed(site, tmp_path / "r"), OFF)
    site.models.journal.path.write_text("{")
    listing = site.listing()
    assert tiny_version(listing) == ""
    assert "backup" in problem_of(listing)
    assert "chest_xray" in {item.card.reader_id for item in listing.readers}


def test_history_and_audit_are_told_once_even_after_a_crash_in_between(
    site: SiteReaders, store: Store, tmp_path: Path
) -> None:
    site.models.switch(installed(site, tmp_path / "r"), Request("Jo", "better", rule=SignatureRule.OFF))
    before = store.change_token()
    assert record_switches(store, site.models) == 1
    assert record_switches(store, site.models) == 0
    line = next(entry for entry in store.history("") if entry.event == SWITCH_EVENT)
    assert line.actor == "Jo"
    assert "from built-in to" in line.detail
    assert store.change_token() > before
    assert [entry.user for entry in store.audit_entries() if entry.action == SWITCH_EVENT] == ["Jo"]


def test_a_running_worker_reads_the_next_study_with_the_version_that_was_switched_on(
    code: Path, settings: Settings, store: Store, tmp_path: Path
) -> None:
    pipeline = pipeline_of(store, settings, only=("tiny_square",))
    worker = WorkLoop(
        store, pipeline.active_readers, evidence_maker(settings), settings=WorkSettings(owner="w", cap_memory=False)
    )

    def read(number: int) -> tuple[str, str]:
        uid = f"1.2.826.0.1.3680043.8.498.{number}"
        names: dict[str, Any] = {
            "StudyInstanceUID": uid,
            "SeriesInstanceUID": f"{uid}.1",
            "SOPInstanceUID": f"{uid}.1.1",
        }
        path = radiograph(tmp_path / f"{number}.dcm", square_at(64, 160), **names)
        take_file(store, path, FolderSettings(store.folder, durable=False), Origin("command"))
        settle_and_route(pipeline, uid, SettledReason.MANUAL, "all files are in")
        assert worker.run_once()
        (item,) = store.work_items(uid)
        reading = store.reading(item.work_id)
        assert reading is not None
        return reading.provenance.reader_version, reading.provenance.package_digest

    first = read(1)
    assert first[0] == "1.0.0"
    locked = release(tmp_path / "r", version="1.1.0", a=3.0)
    record = validation(tmp_path / "v", locked.package.digest)
    assert command(code, settings, "models", "install", tmp_path / "r").code == 0
    refused = command(code, settings, "models", "switch", "tiny_square", "1.1.0")
    assert refused.code == 5
    assert "no validation record" in refused.err
    assert read(2) == first
    done = command(code, settings, "models", "switch", "tiny_square", "1.1.0", "--validation", record, "--json")
    assert done.code == 0, done.err
    assert done.json()["in_history"]
    assert read(3) == ("1.1.0", locked.package.digest)
    back = command(code, settings, "models", "rollback", "tiny_square", "--reason", "worse", "--yes")
    assert back.code == 0, back.err
    assert read(4) == first
    events = [line.detail for line in store.history("") if line.event == SWITCH_EVENT]
    assert len(events) == 2
    assert "worse" in events[1]


def test_a_version_that_does_not_fit_the_installed_code_is_refused(
    code: Path, settings: Settings, site: SiteReaders, tmp_path: Path
) -> None:
    """Its calibration knows another output: every study would fail."""
    folder = tmp_path / "r"
    release(folder)
    (folder / "model/calibration.json").write_text('{"schema": 1, "method": "platt", "outputs": {}}')
    assert command(code, settings, "models", "lock", folder).code == 0
    found = site.models.install(folder)
    attach_validation(found.folder, found.digest, validation(tmp_path / "v", found.digest))
    done = command(code, settings, "models", "switch", "tiny_square", found.digest)
    assert done.code == 5
    assert "does not keep the contract" in done.err
    assert site.models.journal.entries() == ()
