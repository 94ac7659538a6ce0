"""Earlier studies out of an archive: of this person only, never an endless wait, and what failed is in the result."""

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from coread.app.pipeline import pipeline_of, route_settled
from coread.app.prior_archive import PriorArchive, kept_priors
from coread.app.priors import find_priors, prior_finder, recorded_priors
from coread.app.replaying import same_priors
from coread.app.settings import PriorArchiveSetting, Settings
from coread.deliver.stow import stow_objects
from coread.deliver.web import WebService
from coread.domain.cards import ReaderCard
from coread.domain.reasons import ReasonCode
from coread.domain.study import InstanceHeader, Study
from coread.engine.priors import load_priors
from coread.engine.sessions import SessionSettings, open_reader
from coread.engine.worker_loop import WorkLoop, WorkSettings
from coread.imaging.header import scan_header
from coread.readers.card_file import read_card
from coread.readers.registry import InstalledReader
from coread.store import Store
from tests.app.test_priors import ROOT, TWO_PRIORS, comparing, settled, store, study
from tests.peers.orthanc import OrthancPeer, ProgramMissing, running_orthanc
from tests.peers.ports import free_port
from tests.peers.scripted import silent_server

__all__ = ["comparing", "store"]


@pytest.fixture
def card(tmp_path: Path) -> ReaderCard:
    path = tmp_path / "card.toml"
    path.write_text(TWO_PRIORS)
    return read_card(path)


def archive(folder: Path, address: str, **more: Any) -> PriorArchive:
    setting = PriorArchiveSetting.model_validate({"address": address, "ae_title": "ORTHANC", **more})
    return PriorArchive(setting, folder / "priors", "COREAD")


def current(store: Store, folder: Path, **attributes: object) -> Study:
    (uid,) = settled(store, study(folder, 1, "20260504", **attributes))
    found = store.study(uid, with_series=True, with_instances=True)
    assert found is not None
    return found


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[tuple[OrthancPeer, int]]:
    port = free_port()
    try:
        with running_orthanc(modalities={"coread": ("COREAD", "127.0.0.1", port)}) as peer:
            (tmp_path / "archive").mkdir()
            people: list[dict[str, object]] = [
                {}, {}, {"PatientBirthDate": "19800101"}, {"PatientID": "SOMEBODY"}, {"PatientSex": "M"}
            ]  # fmt: skip
            dates = ("20260101", "20250601", "20260102", "20260103", "20260104")
            rows = [
                study(tmp_path / "archive", number, date, **who)
                for number, (date, who) in enumerate(zip(dates, people, strict=True), start=2)
            ]
            assert all(result.stored for result in stow_objects(WebService(peer.dicomweb_url), rows))
            yield peer, port
    except ProgramMissing as missing:
        pytest.skip(str(missing))


@pytest.mark.peer
@pytest.mark.parametrize("way", ["move", "web"])
def test_priors_come_from_an_archive_and_nobody_elses_do(
    tmp_path: Path, store: Store, card: ReaderCard, pacs: tuple[OrthancPeer, int], way: str
) -> None:
    peer, port = pacs
    address = peer.dicomweb_url if way == "web" else f"127.0.0.1:{peer.dicom_port}"
    asked = archive(tmp_path, address, listen_port=port, listen_host="127.0.0.1")
    mine = current(store, tmp_path, PatientSex="F")
    found = find_priors(store, mine, card, elsewhere=asked)
    assert [item.study.study_date for item in found.priors] == ["20260101", "20250601"]
    assert [reason.code for reason in found.reasons] == [ReasonCode.PRIOR_NOT_HAD]
    assert "another issuer, birth date or sex" in found.reasons[0].detail
    loaded = load_priors(card, found)
    assert [item.study.study_date for item in loaded.priors] == ["20260101", "20250601"]
    assert loaded.notes[0].startswith("PRIOR_NOT_HAD: ")
    entries = [entry for entry in store.history(mine.study_instance_uid) if entry.event == "priors.archive"]
    assert "20260101, 20250601" in entries[0].detail
    assert len(store.latest_studies(10)) == 1  # what was fetched is no study of the store
    again = kept_priors(tmp_path / "priors", mine, card, 2)
    recorded = recorded_priors(store, card, (f"{ROOT}.3", f"{ROOT}.99"), again.priors)
    assert [item.study.study_date for item in recorded.priors] == ["20250601"]
    assert [reason.code for reason in recorded.reasons] == [ReasonCode.NO_PRIOR]


def test_an_archive_that_does_not_answer_is_not_waited_for(tmp_path: Path, store: Store, card: ReaderCard) -> None:
    with silent_server() as port:
        asked = archive(tmp_path, f"127.0.0.1:{port}", wait_seconds=0.3, timeout_seconds=1)
        began = time.monotonic()
        found = find_priors(store, current(store, tmp_path), card, elsewhere=asked)
        assert time.monotonic() - began < 30
    assert found.priors == ()
    assert [reason.code for reason in found.reasons] == [ReasonCode.PRIOR_NOT_HAD]
    assert "no complete answer in 0.3 s" in found.reasons[0].detail


def test_an_archive_that_is_not_there_is_said(tmp_path: Path, store: Store, card: ReaderCard) -> None:
    asked = archive(tmp_path, f"127.0.0.1:{free_port()}", timeout_seconds=2)
    (reason,) = find_priors(store, current(store, tmp_path), card, elsewhere=asked).reasons
    assert reason.code is ReasonCode.PRIOR_NOT_HAD


def test_an_archive_that_answers_nonsense_is_said(
    tmp_path: Path, store: Store, card: ReaderCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault that nobody foresaw ends the thread that asks; it must not look like an archive without studies."""

    def nonsense(*_: object) -> None:
        raise AttributeError("str has no attribute get")

    monkeypatch.setattr("coread.app.prior_archive.find_studies", nonsense)
    asked = archive(tmp_path, f"127.0.0.1:{free_port()}")
    (reason,) = find_priors(store, current(store, tmp_path), card, elsewhere=asked).reasons
    assert reason.detail == "AttributeError"


def fetched_images(folder: Path, *people: dict[str, object]) -> None:
    place = folder / "priors" / f"{ROOT}.2"
    (place / "images").mkdir(parents=True)
    for number, who in enumerate(people):
        made = study(folder, 2, "20260101", **({"SOPInstanceUID": f"{ROOT}.2.{number}"} | who))
        made.rename(place / "images" / f"{number}.dcm")
    (place / "whole").touch()


def test_a_fetched_study_with_anybody_elses_image_is_not_used(tmp_path: Path, store: Store, card: ReaderCard) -> None:
    """An archive may have merged two people's images into one study: the first image speaks for itself only."""
    mine = current(store, tmp_path)
    fetched_images(tmp_path, {}, {"PatientID": "SOMEBODY"})
    found = kept_priors(tmp_path / "priors", mine, card, 2)
    assert found.priors == ()
    assert "more than one person" in found.reasons[0].detail


def test_of_somebody_elses_fetched_study_one_image_is_looked_at(
    tmp_path: Path, store: Store, card: ReaderCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was fetched for everybody in a week lies in one folder: a reading must not read all its headers."""
    mine, scanned = current(store, tmp_path), []
    others: list[dict[str, object]] = [{"PatientID": "SOMEBODY"}] * 5
    fetched_images(tmp_path, *others)

    def counted(path: Path) -> InstanceHeader:
        scanned.append(path)
        return scan_header(path)

    monkeypatch.setattr("coread.app.prior_archive.scan_header", counted)
    assert kept_priors(tmp_path / "priors", mine, card, 2).priors == ()
    assert len(scanned) == 1


def test_outside_its_hours_the_archive_is_not_asked(tmp_path: Path, store: Store, card: ReaderCard) -> None:
    start = datetime.now() + timedelta(hours=2)
    hours = f"{start:%H:%M}-{start + timedelta(hours=1):%H:%M}"
    asked = archive(tmp_path, f"127.0.0.1:{free_port()}", between=hours)
    (reason,) = find_priors(store, current(store, tmp_path), card, elsewhere=asked).reasons
    assert hours in reason.detail


def test_a_person_without_a_number_and_a_reader_that_compares_nothing_ask_nobody(
    tmp_path: Path, store: Store, card: ReaderCard
) -> None:
    asked = archive(tmp_path, f"127.0.0.1:{free_port()}")
    mine = current(store, tmp_path)
    anonymous = replace(mine, patient_id="anonymous")
    assert find_priors(store, anonymous, card, elsewhere=asked).reasons == ()
    alone = replace(card, input=replace(card.input, max_priors=0))
    assert find_priors(store, mine, alone, elsewhere=asked).reasons == ()


@pytest.mark.parametrize("open_now", [True, False])
def test_what_was_fetched_long_ago_is_removed(
    tmp_path: Path, store: Store, card: ReaderCard, *, open_now: bool
) -> None:
    start = datetime.now() + timedelta(hours=2)
    hours = "" if open_now else f"{start:%H:%M}-{start + timedelta(hours=1):%H:%M}"
    fetched = tmp_path / "priors" / "1.2.3"
    fetched.mkdir(parents=True)
    asked = archive(tmp_path, f"127.0.0.1:{free_port()}", keep_days=1e-9, timeout_seconds=2, between=hours)
    asked.earlier(current(store, tmp_path), card, 1)
    assert not fetched.exists()


def test_the_setting_is_off_by_default_and_its_password_is_never_shown() -> None:
    assert Settings.model_validate({}).prior_archive is None
    secret = Settings.model_validate({"prior_archive": {"address": "http://pacs", "authorization": "Basic abc"}})
    assert secret.shown()["prior_archive"]["authorization"] == "***"
    for wrong in ({"address": "pacs"}, {"address": "http://pacs", "between": "night"}):
        with pytest.raises(ValidationError):
            PriorArchiveSetting.model_validate(wrong)


def test_a_replay_gives_the_studies_that_the_clinics_reading_was_given(
    tmp_path: Path, store: Store, comparing: InstalledReader
) -> None:
    """A study that came after the first reading, although older, is not compared with on replay."""
    first, second = settled(store, study(tmp_path, 1, "20260504"), study(tmp_path, 2, "20250601"))
    pipeline = replace(
        pipeline_of(store, Settings.model_validate({"folder": tmp_path / "site"})), readers=(comparing,), broken=()
    )
    for uid in (first, second):
        route_settled(replace(pipeline, find_readers=None), uid)
    ready = open_reader(comparing, SessionSettings().open)
    loop = WorkLoop(
        store, (comparing,), lambda *_: (), settings=WorkSettings(cap_memory=False),
        open_session=SessionSettings().open, find_priors=prior_finder(store),
    )  # fmt: skip
    while loop.run_once():
        pass
    late = study(tmp_path, 3, "20260101")
    settled(store, late)
    mine = store.study(first, with_series=True, with_instances=True)
    assert mine is not None
    assert [one.study.study_date for one in find_priors(store, mine, comparing.card).priors] == ["20260101", "20250601"]
    given = same_priors(store, mine, ready)
    assert [one.study.study_date for one in given.priors] == ["20250601"]
