"""A replay finds exactly what is different between two versions, judges it by limits, and goes on after a kill."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coread.app.errors import NothingFound
from coread.app.replay_limits import Limits, check_limits, measure_changes, read_limits
from coread.app.replaying import ANSWERS, REPORT, ReplayPlan, folder_store, last_studies, replay
from coread.app.settings import Settings
from coread.app.site_models import SiteReaders
from coread.app.switching import reader_with
from coread.domain.errors import Misconfigured
from coread.domain.results import Reading
from coread.domain.study import Origin, SettledReason
from coread.engine.comparing import ChangedFinding, StudyChange, change_from_document
from coread.engine.run import run_reader
from coread.models.errors import BadLimits
from coread.models.lineage import read_record
from coread.models.trust import SignatureRule
from coread.models.versions import Release
from coread.readers.registry import InstalledReader
from coread.receive.folder import FolderSettings, take_file
from coread.store import Store, StoreSettings
from tests.app.installed_tiny import command, installed, tiny_package
from tests.engine.inputs import radiograph, square_at

STUDIES = 6


@pytest.fixture
def code(tmp_path: Path) -> Iterator[Path]:
    with tiny_package(tmp_path / "code") as place:
        yield place


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.model_validate({"folder": tmp_path / "site", "require_signature": SignatureRule.WARN})


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Squares of falling brightness: the logit of study k is 20 * (top - 0.8)."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(STUDIES):
        uid = f"1.2.826.0.1.3680043.8.498.{number}"
        names: dict[str, Any] = {
            "StudyInstanceUID": uid,
            "SeriesInstanceUID": f"{uid}.1",
            "SOPInstanceUID": f"{uid}.1.1",
        }
        pixels = square_at(64, 160)
        pixels[64:80, 160:176] = 4000 - 150 * number
        radiograph(folder / f"{number}.dcm", pixels, **names)
    return folder


@pytest.fixture
def store(settings: Settings, images: Path) -> Iterator[Store]:
    with Store.open(StoreSettings(settings.folder, durable=False), migrate=True) as opened:
        for path in sorted(images.glob("*.dcm")):
            handled = take_file(opened, path, FolderSettings(opened.folder, durable=False), Origin("command"))
            for receipt in handled.received:
                opened.settle(receipt.study_instance_uid, SettledReason.MANUAL, "in")
        yield opened


def silent(*_: object) -> None:
    pass


def versions(site: SiteReaders, tmp_path: Path, **changes: Any) -> tuple[InstalledReader, InstalledReader]:
    newer = installed(site, tmp_path / "newer", **changes)
    base = next(item for item in site.listing().readers if item.card.reader_id == "tiny_square")
    return base, reader_with(newer)


def test_a_replay_of_the_same_numbers_finds_nothing(
    code: Path, settings: Settings, store: Store, tmp_path: Path
) -> None:
    before, after = versions(SiteReaders(settings), tmp_path)
    plan = ReplayPlan(before, after, "all", Limits(max_changed_presence_share=0, min_studies=STUDIES))
    found = replay(store, last_studies(store, plan, 100), plan, tmp_path / "out", silent)
    assert found.accepted
    assert found.measured.studies == STUDIES
    assert found.measured.changed_studies == 0
    assert found.measured.answers == STUDIES


def test_a_replay_finds_exactly_the_planted_change(
    code: Path, settings: Settings, store: Store, tmp_path: Path
) -> None:
    """The newer version asks for one logit more: exactly the studies between the two thresholds turn negative."""
    before, after = versions(SiteReaders(settings), tmp_path, b=-1.0)
    plan = ReplayPlan(before, after, "all", Limits(max_lost_urgent=0, max_probability_change=0.5), "0" * 64)
    found = replay(store, last_studies(store, plan, 100), plan, tmp_path / "out", silent)
    logits = {f"1.2.826.0.1.3680043.8.498.{k}": 20 * ((4000 - 150 * k + 0.5) / 4096 - 0.8) for k in range(STUDIES)}
    expected = {uid for uid, logit in logits.items() if 0 <= logit < 1}
    turned = {c.study_instance_uid for c in found.changes if any(f.presence_changed for f in c.findings)}
    assert turned == expected
    assert len(expected) == 1
    assert found.measured.lost_urgent == 1
    assert found.measured.changed_presence_share == pytest.approx(1 / STUDIES)
    (change,) = (c for c in found.changes if c.study_instance_uid in expected)
    (finding,) = change.findings
    assert (finding.presence_before, finding.presence_after, finding.urgent_lost) == ("present", "absent", True)
    assert (finding.boxes_before, finding.boxes_after, finding.least_overlap) == (1, 0, 0.0)
    sure = 1 / (1 + np.exp(-logits[change.study_instance_uid]))
    assert finding.probability_before == pytest.approx(sure, abs=0.02)
    assert found.accepted is False
    assert {item.name for item in found.checks if not item.kept} == {"max_lost_urgent"}
    record = read_record(tmp_path / "out")
    assert record.step == "replay"
    assert record.inputs["package after"] == after.package_digest
    page = (tmp_path / "out/report.html").read_text()
    assert "rejected" in page
    assert "urgent finding lost" in page
    assert "Muster" not in page + (tmp_path / "out" / REPORT).read_text()


def test_a_replay_that_was_killed_goes_on_and_reads_nothing_twice(
    code: Path, settings: Settings, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = versions(SiteReaders(settings), tmp_path, b=-1.0)
    plan = ReplayPlan(before, after, "all")
    whole = replay(store, last_studies(store, plan, 100), plan, tmp_path / "whole", silent)

    def stop(done: int, _of: int, what: str) -> None:
        if (done, what) == (3, "replaying"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replay(store, last_studies(store, plan, 100), plan, tmp_path / "out", stop)
    with (tmp_path / "out" / ANSWERS).open("a") as stream:
        stream.write('{"study_instance_uid": "1.2')
    reads: list[str] = []

    def counted(*given: Any) -> Reading:
        reads.append(given[3].study_instance_uid)
        return run_reader(*given)

    monkeypatch.setattr("coread.app.replaying.run_reader", counted)
    other = ReplayPlan(after, before, "all")
    with pytest.raises(Misconfigured, match="other packages"):
        replay(store, last_studies(store, other, 100), other, tmp_path / "out", silent)
    with monkeypatch.context() as changed:
        changed.setattr("coread.__version__", "9.9.9")
        with pytest.raises(Misconfigured, match="by another version"):
            replay(store, last_studies(store, plan, 2), plan, tmp_path / "out", silent)
    assert not reads
    again = replay(store, last_studies(store, plan, 2), plan, tmp_path / "out", silent)
    assert len(reads) == 2 * (STUDIES - 3)
    assert again.changes == whole.changes
    with pytest.raises(Misconfigured, match="finished replay"):
        replay(store, last_studies(store, plan, 100), plan, tmp_path / "out", silent)


def test_a_study_that_the_newer_card_declines_is_a_lost_reading(
    code: Path, settings: Settings, store: Store, tmp_path: Path
) -> None:
    before, after = versions(SiteReaders(settings), tmp_path)
    plan = ReplayPlan(before, after, "all", Limits(max_lost_readings=0))
    folder = tmp_path / "narrow"
    shutil.copytree(tmp_path / "newer", folder)
    card = folder / "card.toml"
    card.write_text(card.read_text().replace('views = ["PA", "AP"]', 'views = ["LATERAL"]'))
    assert command(code, settings, "models", "lock", folder).code == 0
    locked = json.loads((folder / "model/manifest.json").read_text())
    plan = replace(plan, after=reader_with(Release("tiny_square", "1.1.0", locked["digest"], folder)))
    found = replay(store, last_studies(store, plan, 3), plan, tmp_path / "out", silent)
    assert found.measured.lost_readings == 3
    assert found.changes[0].outcome_after == "not_analysed"
    assert found.changes[0].detail_after
    assert found.accepted is False


def test_a_folder_is_replayed_without_a_store(code: Path, settings: Settings, images: Path, tmp_path: Path) -> None:
    installed(SiteReaders(settings), tmp_path / "newer", b=-1.0)
    limits = tmp_path / "limits.toml"
    limits.write_text("[limits]\nmax_lost_urgent = 0\n")
    words = ("models", "replay", "tiny_square", "tiny_square@1.1.0", "--cohort", images, "--out", tmp_path / "out")
    done = command(code, settings, *words, "--limits", limits, "--json")
    assert done.code == 8, done.err
    assert done.json()["accepted"] is False
    assert done.json()["measured"]["studies"] == STUDIES
    assert done.json()["measured"]["lost_urgent"] == 1
    assert not settings.folder.joinpath("studies").exists()


def test_nothing_to_replay_is_said(code: Path, settings: Settings, tmp_path: Path) -> None:
    before, after = versions(SiteReaders(settings), tmp_path)
    plan = ReplayPlan(before, after, "empty")
    (tmp_path / "text").mkdir()
    (tmp_path / "text/a.txt").write_text("no image")
    with pytest.raises(NothingFound), folder_store([tmp_path / "text"], silent) as (store, uids):
        replay(store, uids, plan, tmp_path / "out", silent)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "table"),
        ("[limits]\n", "is empty"),
        ("[limits]\nmax_magic = 1\n", "unknown"),
        ("[limits]\nmax_lost_urgent = -1\n", "a number >= 0"),
        ("[limits]\nmax_lost_urgent = true\n", "a number >= 0"),
        ("[limits]\nmax_lost_urgent = 'none'\n", "a number >= 0"),
        ("[limits\n", "table"),
    ],
)
def test_limits_that_cannot_be_read_are_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "limits.toml"
    path.write_text(text)
    with pytest.raises(BadLimits, match=said):
        read_limits(path)
    with pytest.raises(BadLimits, match="cannot be read"):
        read_limits(tmp_path / "absent.toml")


def test_a_version_is_not_replayed_against_itself(code: Path, settings: Settings, store: Store, tmp_path: Path) -> None:
    _, after = versions(SiteReaders(settings), tmp_path)
    plan = ReplayPlan(after, after, "all", Limits(max_lost_urgent=0))
    with pytest.raises(Misconfigured, match="the same package"):
        replay(store, last_studies(store, plan, 3), plan, tmp_path / "out", silent)
    assert not (tmp_path / "out").exists()


def test_studies_that_nobody_read_neither_thin_out_nor_fulfil_the_limits() -> None:
    unread = StudyChange("1.1", "not_analysed", "not_analysed", "view", "age", 0, ())
    turned = replace(unread, outcome_before="positive", outcome_after="negative", outputs=1)
    broken = replace(unread, outcome_before="not_analysed", outcome_after="failed")
    measured = measure_changes([*[unread] * 98, turned, broken])
    assert (measured.studies, measured.changed_studies, measured.changed_outcome_share) == (2, 2, 1.0)
    kept = [item.kept for item in check_limits(Limits(min_studies=3, max_changed_outcome_share=0.02), measured)]
    assert kept == [False, False]
    assert measure_changes([unread]).changed_outcome_share == 0.0


def test_a_result_in_which_nothing_is_clear_was_read_and_is_not_lost() -> None:
    unsure = ChangedFinding("square", "absent", "indeterminate", 0.1, None, 0, 0, 1.0, False, False)
    now_unclear = StudyChange("1.2", "negative", "not_analysed", "", "INDETERMINATE", 1, (unsure,))
    refused = replace(now_unclear, outputs=0, findings=(replace(unsure, presence_after=""),))
    before_unclear = replace(refused, outcome_before="not_analysed", outcome_after="not_analysed")
    measured = measure_changes([now_unclear, refused, before_unclear])
    assert (measured.studies, measured.lost_readings) == (3, 2)
    assert measured.changed_outcome_share == pytest.approx(2 / 3)


def test_a_replay_in_which_nothing_was_read_accepts_nothing(
    code: Path, settings: Settings, store: Store, tmp_path: Path
) -> None:
    before, after = versions(SiteReaders(settings), tmp_path)
    plan = ReplayPlan(before, after, "all", Limits(max_lost_urgent=0))
    found = replay(store, ("1.2.3", "1.2.4"), plan, tmp_path / "out", silent)
    assert found.measured.studies == 0
    assert found.accepted is False
    assert "no study was read" in (tmp_path / "out/report.html").read_text()


def found_at(before: str, after: str, boxes: tuple[int, int], overlap: float) -> ChangedFinding:
    return ChangedFinding("square", before, after, 0.9, 0.9, *boxes, overlap, False, False)


@pytest.mark.parametrize(
    ("finding", "expected"),
    [
        (found_at("present", "present", (2, 2), 0.4), 0.4),
        (found_at("present", "present", (1, 0), 0.0), 0.0),
        (found_at("present", "present", (0, 1), 0.0), 0.0),
        (found_at("present", "present", (0, 0), 1.0), 1.0),
        (found_at("present", "absent", (1, 0), 0.0), 1.0),
        (found_at("present", "", (1, 0), 0.0), 1.0),
        (found_at("absent", "absent", (1, 1), 0.1), 1.0),
    ],
)
def test_boxes_count_where_both_versions_call_a_finding_present(finding: ChangedFinding, expected: float) -> None:
    change = StudyChange("1.2", "positive", "positive", "", "", 1, (finding,))
    assert measure_changes([change]).box_overlap == expected


def test_every_limit_is_held_against_its_number() -> None:
    change = StudyChange("1.2", "positive", "failed", "", "KeyError", 0, ())
    measured = measure_changes([change, replace(change, outcome_after="positive", detail_after="", outputs=4)])
    assert (measured.lost_readings, measured.new_failures, measured.changed_outcome_share) == (1, 1, 0.5)
    every = Limits(*([0] * len(asdict(Limits()))))
    assert len(check_limits(every, measured)) == len(asdict(every))
    kept = {item.name: item.kept for item in check_limits(Limits(min_studies=3, max_new_failures=1), measured)}
    assert kept == {"min_studies": False, "max_new_failures": True}
    assert change_from_document(json.loads(json.dumps(asdict(change)))) == change
