"""Fetching from an archive: at night, slowly, on after a crash, and with every missing object named."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from pydicom import dcmread

from coread.deliver.errors import BadDestination, FolderFailed, ObjectRefused, PeerAborted, PeerUnreachable
from coread.deliver.peer import Peer
from coread.deliver.retrieve import (
    JOURNAL,
    Archive,
    Drop,
    OpenArchive,
    Pace,
    RetrievePlan,
    WantedInstance,
    Window,
    retrieve,
)
from coread.deliver.retrieve_dimse import Listener, move_archive
from coread.deliver.retrieve_web import web_archive
from coread.deliver.stow import stow_objects
from coread.deliver.web import WebService
from tests.deliver.objects import secondary_capture
from tests.peers.orthanc import OrthancPeer, running_orthanc
from tests.peers.ports import free_port

ALL: tuple[Mapping[str, str], ...] = ({},)


class MadeUpArchive:
    """Studies of four instances; ``lost`` are named but never sent, ``fails`` studies raise so many times."""

    def __init__(self, studies: Sequence[str], *, lost: Sequence[str] = (), fails: Mapping[str, int] = {}) -> None:
        self.uids, self.lost, self.fails = tuple(studies), set(lost), dict(fails)
        self.asked: list[tuple[str, int]] = []

    def opened(self) -> OpenArchive:
        @contextmanager
        def open_it(drop: Drop) -> Iterator[Archive]:
            self.drop = drop
            yield self

        return open_it

    def studies(self, filters: Mapping[str, str]) -> tuple[str, ...]:
        return tuple(uid for uid in self.uids if uid.startswith(filters.get("StudyInstanceUID", "")))

    def instances(self, study_instance_uid: str) -> tuple[WantedInstance, ...]:
        if self.fails.get(study_instance_uid, 0) > 0:
            self.fails[study_instance_uid] -= 1
            raise PeerAborted("cut")
        return tuple(
            WantedInstance(study_instance_uid, f"{study_instance_uid}.1", f"{study_instance_uid}.1.{n}")
            for n in range(4)
        )

    def fetch_study(self, wanted: Sequence[WantedInstance]) -> None:
        self.fetch(wanted)

    def fetch(self, wanted: Sequence[WantedInstance]) -> None:
        self.asked.append((wanted[0].study_instance_uid, len(wanted)))
        for item in wanted:
            if item.sop_instance_uid not in self.lost:
                self.drop.write(item.study_instance_uid, item.sop_instance_uid, [b"object"])


def test_what_is_missing_is_asked_for_again_and_then_named(tmp_path: Path) -> None:
    archive = MadeUpArchive(["1.1", "1.2", "1.3"], lost=["1.2.1.3"], fails={"1.1": 1, "1.3": 9})
    found = retrieve(RetrievePlan(tmp_path, ALL), archive.opened())
    assert (found.expected, found.received) == (8, 7)
    assert [(study.study_instance_uid, study.missing) for study in found.incomplete] == [
        ("1.2", ("1.2.1.3",)),
        ("1.3", ()),
    ]
    assert found.incomplete[1].problem == "cut"
    assert archive.asked == [("1.1", 4), ("1.2", 4), ("1.2", 1), ("1.2", 1)]
    assert not (tmp_path / ".partial").exists()


def test_a_retrieval_that_was_killed_goes_on_with_what_is_not_done(tmp_path: Path) -> None:
    archive = MadeUpArchive(["1.1", "1.2", "1.3"])

    def killed(done: int, _total: int, _note: str) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        retrieve(RetrievePlan(tmp_path, ALL), archive.opened(), progress=killed)
    with (tmp_path / JOURNAL).open("a") as journal:
        journal.write('\n{"study": "1.3", "expec')
    archive.asked.clear()
    (tmp_path / "1.3").mkdir()
    (tmp_path / "1.3" / "1.3.1.0.dcm").write_bytes(b"came before the crash")
    found = retrieve(RetrievePlan(tmp_path, ALL), archive.opened())
    assert archive.asked == [("1.3", 3)], "finished studies are not asked for, nor what is here"
    assert (found.expected, found.received) == (12, 12)
    with pytest.raises(BadDestination, match="another query"):
        retrieve(RetrievePlan(tmp_path, ({"PatientID": "7"},)), archive.opened())


def test_a_study_that_matches_two_queries_is_fetched_once(tmp_path: Path) -> None:
    archive = MadeUpArchive(["1.1", "1.2"])
    queries = ({"StudyInstanceUID": "1.1"}, {"StudyInstanceUID": "1."})
    assert len(retrieve(RetrievePlan(tmp_path, queries), archive.opened()).studies) == 2


class Night:
    """A clock that only moves when somebody sleeps."""

    def __init__(self, at: str) -> None:
        self.at = datetime.fromisoformat(at)
        self.naps: list[float] = []

    def pace(self) -> Pace:
        return Pace(lambda: self.at, self._sleep)

    def _sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.at += timedelta(seconds=seconds)


def test_nothing_is_asked_outside_the_window_and_not_more_than_the_rate(tmp_path: Path) -> None:
    archive, night, notes = MadeUpArchive(["1.1", "1.2", "1.3"]), Night("2024-03-01T19:58:30"), list[str]()
    plan = RetrievePlan(tmp_path, ALL, window=Window.of("20:00-06:00"), studies_per_hour=60)
    retrieve(plan, archive.opened(), progress=lambda _d, _t, note: notes.append(note), pace=night.pace())
    assert night.naps == [60, 30, 60, 60]
    assert "waiting until 20:00" in notes
    assert night.at == datetime.fromisoformat("2024-03-01T20:02:00")


@pytest.mark.parametrize(
    ("text", "now", "hours"),
    [
        ("20:00-06:00", "23:00", 0), ("20:00-06:00", "05:59", 0), ("20:00-06:00", "06:00", 14),
        ("01:00-05:00", "03:00", 0), ("01:00-05:00", "07:00", 18), ("01:00-05:00", "00:00", 1),
    ],
)  # fmt: skip
def test_a_window_may_go_past_midnight(text: str, now: str, hours: float) -> None:
    assert Window.of(text).wait_seconds(datetime.fromisoformat(f"2024-03-01T{now}")) == hours * 3600


@pytest.mark.parametrize("text", ["", "20-6", "20:00", "20:00-20:00", "25:00-06:00"])
def test_a_window_that_is_none_is_misconfigured(text: str) -> None:
    with pytest.raises(BadDestination):
        Window.of(text)


@pytest.mark.parametrize("uid", ["../../etc", "1.2/3", ""])
def test_an_identifier_that_is_no_identifier_is_never_a_file_name(tmp_path: Path, uid: str) -> None:
    with pytest.raises(Exception, match="UID"):
        Drop(tmp_path).write(uid, "1.2", [b""])
    with pytest.raises(Exception, match="UID"):
        Drop(tmp_path).write("1.2", uid, [b""])
    assert not list(tmp_path.iterdir())


def test_only_studies_that_were_asked_for_are_taken_and_a_full_disk_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ObjectRefused, match="not asked for"):
        Drop(tmp_path).write("1.2", "1.2.3", [b""])

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    archive = MadeUpArchive(["1.1", "1.2"])
    plan = RetrievePlan(tmp_path / "full", ALL)
    with monkeypatch.context() as patch:
        patch.setattr("coread.deliver.retrieve._Journal._write", lambda *_: None)
        patch.setattr("os.fsync", full)
        with pytest.raises(FolderFailed, match="No space left"):
            retrieve(plan, archive.opened())
    assert archive.asked == [("1.1", 4)]
    assert not list((tmp_path / "full").rglob("*.dcm"))
    assert retrieve(plan, archive.opened()).received == 8


def _filled(pacs: OrthancPeer, folder: Path) -> dict[str, set[str]]:
    """Store two studies of two series and return their instances."""
    studies: dict[str, set[str]] = {}
    for number in range(2):
        study = f"1.2.826.0.1.3680043.8.498.55.{number}"
        paths = [
            secondary_capture(folder / f"{number}{n}.dcm", number=n, study=study, series=f"{study}.{n % 2}")
            for n in range(5)
        ]
        assert all(result.stored for result in stow_objects(WebService(pacs.dicomweb_url), paths))
        studies[study] = {str(dcmread(path).SOPInstanceUID) for path in paths}
    return studies


def _received(folder: Path) -> dict[str, set[str]]:
    files = [dcmread(path) for path in folder.rglob("*.dcm")]
    return {
        str(f.StudyInstanceUID): {str(g.SOPInstanceUID) for g in files if g.StudyInstanceUID == f.StudyInstanceUID}
        for f in files
    }


@pytest.mark.peer
def test_a_real_archive_sends_everything_by_c_move_and_by_dicomweb(tmp_path: Path) -> None:
    port = free_port()
    with running_orthanc(modalities={"coread": ("COREAD", "127.0.0.1", port)}) as pacs:
        studies = _filled(pacs, tmp_path)
        peer = Peer("127.0.0.1", pacs.dicom_port, "ORTHANC", timeout_seconds=10.0)
        for name, archive in (
            ("move", move_archive(peer, Listener("COREAD", port, "127.0.0.1"))),
            ("web", web_archive(WebService(pacs.dicomweb_url))),
        ):
            found = retrieve(RetrievePlan(tmp_path / name, ({"StudyDate": "20260101-20260131"},)), archive)
            assert (found.expected, found.received, found.incomplete) == (10, 10, ())
            assert _received(tmp_path / name) == studies
            one = next(iter(studies))
            victim = next((tmp_path / name / one).iterdir())
            victim.unlink()
            (tmp_path / name / JOURNAL).unlink()
            assert retrieve(RetrievePlan(tmp_path / name, ({"StudyInstanceUID": one},)), archive).received == 5
            assert victim.is_file(), "one instance was fetched alone"
        nothing = retrieve(RetrievePlan(tmp_path / "none", ({"StudyDate": "19000101"},)), archive)
        assert nothing.studies == ()


@pytest.mark.peer
def test_an_archive_that_does_not_know_us_says_what_to_enter(tmp_path: Path) -> None:
    with running_orthanc() as pacs:
        _filled(pacs, tmp_path)
        peer = Peer("127.0.0.1", pacs.dicom_port, "ORTHANC", timeout_seconds=10.0)
        found = retrieve(RetrievePlan(tmp_path / "x", ALL), move_archive(peer, Listener("NOBODY", free_port())))
    assert found.received == 0
    assert len(found.incomplete) == 2
    assert all("C-MOVE" in study.problem or "enter this AE title" in study.problem for study in found.incomplete)
    assert json.loads((tmp_path / "x" / JOURNAL).read_text().splitlines()[-1])["missing"]


def test_an_archive_that_cannot_be_reached_or_asked_ends_the_retrieval(tmp_path: Path) -> None:
    dead = Peer("127.0.0.1", free_port(), "PACS", timeout_seconds=1.0)
    with pytest.raises(PeerUnreachable):
        retrieve(RetrievePlan(tmp_path, ALL), move_archive(dead, Listener("COREAD", free_port())))
    with pytest.raises(PeerUnreachable):
        retrieve(RetrievePlan(tmp_path, ALL), web_archive(WebService(f"http://127.0.0.1:{free_port()}/x")))
    with pytest.raises(BadDestination, match="no DICOM keyword"):
        retrieve(RetrievePlan(tmp_path, ({"StudyDay": "1"},)), move_archive(dead, Listener("COREAD", free_port())))
