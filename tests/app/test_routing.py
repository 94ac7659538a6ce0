"""Every study ends with an outcome: routing that breaks, crashes in between, readers that are damaged or gone."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from coread.app import pipeline as wiring
from coread.app.caretaking import apply_retention, end_orphaned_work
from coread.app.pipeline import Pipeline
from coread.app.routing import MOST_FAILURES, RoutingLoop
from coread.app.settings import Settings
from coread.app.why import study_story
from coread.domain.reasons import ReasonCode
from coread.domain.results import Failure, Outcome
from coread.domain.study import SettledReason, StudyState
from coread.readers.registry import InstalledReader, ReaderProblem
from coread.route.decide import decide
from coread.store import Store, StoreSettings
from tests.route.studies import card
from tests.store.examples import accepted, header, receive, route, staged

READER = InstalledReader(card(), Path("nowhere"), "d" * 64, "tests.nowhere")
DAMAGED = ReaderProblem("coread.readers.ct_bleed", "nowhere", "manifest.json cannot be read")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(StoreSettings(tmp_path / "store", durable=False), migrate=True) as opened:
        yield opened


def pipeline_with(store: Store, **settings: object) -> Pipeline:
    patient = Settings.model_validate({"folder": store.folder, "settle_silence_seconds": 0.001, **settings})
    return Pipeline(store, patient, (READER,))


def break_routing(monkeypatch: pytest.MonkeyPatch, bad: str) -> None:
    """Let routing break for one study, with a message that names its patient."""

    def broken(study: object, *args: object, **named: object) -> object:
        if getattr(study, "study_instance_uid", "") == bad:
            raise TypeError("Doe^Jane has no age")
        return decide(study, *args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(wiring, "decide", broken)


def rounds(pipeline: Pipeline, number: int) -> None:
    loop = RoutingLoop(pipeline, pause_seconds=0)
    for _ in range(number):
        loop.round()
        loop.take_up()


def test_a_study_that_breaks_routing_never_stops_the_others(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    bad, good = receive(store, "bad"), receive(store, "good")
    break_routing(monkeypatch, bad)
    rounds(pipeline_with(store), 1)
    assert store.decisions(good)
    assert not store.decisions(bad)
    assert any("Routing broke and is tried again" in line for line in study_story(store, bad).missing)


def test_a_study_that_breaks_routing_again_and_again_ends_as_not_analysed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = receive(store, "bad")
    break_routing(monkeypatch, bad)
    rounds(pipeline_with(store), MOST_FAILURES)
    story = study_story(store, bad)
    [reader] = story.readers
    assert reader.outcome is Outcome.NOT_ANALYSED
    assert reader.decision is not None
    assert reader.decision.reason is not None
    assert reader.decision.reason.code is ReasonCode.ROUTE_FAILED
    told = [entry.detail for entry in story.history if entry.event == "route.failed"]
    assert len(told) == MOST_FAILURES
    assert "TypeError" in told[0]
    assert "Jane" not in " ".join(told) + reader.explanation
    assert not store.undecided_studies()


def test_a_study_that_cannot_even_be_judged_complete_is_given_up(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = receive(store, "bad")

    def broken(*_: object, **__: object) -> None:
        raise ValueError("strange geometry")

    monkeypatch.setattr(wiring, "study_facts", broken)
    rounds(pipeline_with(store), MOST_FAILURES)
    study = store.study(bad)
    assert study is not None
    assert (study.state, study.settled_reason) == (StudyState.SETTLED, SettledReason.GIVEN_UP)
    assert [row.outcomes[0].outcome for row in store.worklist().items] == [Outcome.NOT_ANALYSED]


def test_a_crash_between_settling_and_deciding_loses_no_study(store: Store) -> None:
    uid = receive(store)
    store.settle(uid, SettledReason.SILENCE, "the server was killed right after this")
    assert store.undecided_studies() == (uid,)
    rounds(pipeline_with(store), 1)
    assert len(store.decisions(uid)) == 1
    assert not store.undecided_studies()


def test_a_damaged_reader_is_named_on_every_study(store: Store) -> None:
    uid = receive(store)
    rounds(replace(pipeline_with(store), readers=(), broken=(DAMAGED,)), 1)
    [reader] = study_story(store, uid).readers
    assert (reader.reader_id, reader.outcome) == ("ct_bleed", Outcome.NOT_ANALYSED)
    assert "manifest.json cannot be read" in reader.explanation


def test_work_of_a_reader_that_was_removed_ends_as_failed(store: Store) -> None:
    uid = receive(store)
    route(store, uid, [accepted(uid, reader="gone"), accepted(uid, reader=READER.card.reader_id)])
    assert end_orphaned_work(pipeline_with(store)) == 1
    stories = {story.reader_id: story for story in study_story(store, uid).readers}
    ending = stories["gone"].reading.ending if stories["gone"].reading else None
    assert isinstance(ending, Failure)
    assert ending.kind == "ReaderMissing"
    assert stories[READER.card.reader_id].outcome is None
    assert end_orphaned_work(pipeline_with(store)) == 0


def test_work_of_a_reader_that_was_switched_off_meanwhile_ends_as_failed(store: Store) -> None:
    uid = receive(store)
    route(store, uid, [accepted(uid, reader=READER.card.reader_id)])
    assert end_orphaned_work(pipeline_with(store, disabled_readers=(READER.card.reader_id,))) == 1
    assert [story.outcome for story in study_story(store, uid).readers] == [Outcome.FAILED]


def test_retention_forgets_what_was_derived_and_logs_no_patient(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = StoreSettings(tmp_path / "old", durable=False, retention_days=1)
    with Store.open(settings, migrate=True) as store:
        head = header("old")
        store.add_files([staged(store, head)])
        uid = head.study_instance_uid
        store.settle(uid, SettledReason.SILENCE, "")
        kept = store.folder / "cache" / "metadata" / uid
        kept.mkdir(parents=True)
        (kept / "series.json").write_text("{}")
        pipeline = pipeline_with(store, retention_days=1)
        with caplog.at_level("INFO"):
            report = apply_retention(pipeline, datetime.now(UTC) + timedelta(days=2))
        assert report.trashed == (uid,)
        assert not kept.exists()
        assert [item.study_instance_uid for item in store.trashed_studies()] == [uid]
        assert store.trashed_studies()[0].accession_number == "A1"
        assert "1 studies to the trash" in caplog.text
        assert not any(word in caplog.text for word in (uid, "Doe", "P1", "A1"))
        store.restore_trash(uid)
        assert not store.trashed_studies()
        assert store.instances(study_uid=uid)
