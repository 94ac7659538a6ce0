"""Fetches studies from an archive into a folder: at night, slowly, again after a crash, and counted at the end.

Each study is asked for its instances first; what arrived is compared with that list, and what is missing is asked for
again, one by one. ``retrieval.jsonl`` in the folder remembers what was done: a line for each study, the last counts.
"""

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from datetime import time as clock_time
from pathlib import Path
from typing import Protocol

from coread.deliver.errors import BadDestination, FolderFailed, ObjectRefused, PeerFailed
from coread.domain.identifiers import is_tolerable_uid

JOURNAL = "retrieval.jsonl"
_PARTIAL = ".partial"


@dataclass(frozen=True, slots=True)
class Window:
    """When the archive may be asked, local time; may go past midnight."""

    start: clock_time
    end: clock_time

    @classmethod
    def of(cls, text: str) -> "Window":
        """Read ``20:00-06:00``; raises BadDestination."""
        try:
            start, end = (clock_time.fromisoformat(part.strip()) for part in text.split("-"))
        except ValueError as problem:
            raise BadDestination(f"{text!r} is no time window such as 20:00-06:00") from problem
        if start == end:
            raise BadDestination(f"the time window {text!r} is empty")
        return cls(start, end)

    def wait_seconds(self, now: datetime) -> float:
        """Return how long until the window opens; 0 while it is open."""
        at = now.time()
        open_now = self.start <= at < self.end if self.start < self.end else at >= self.start or at < self.end
        if open_now:
            return 0.0
        opens = datetime.combine(now.date(), self.start)
        return ((opens if opens > now else opens + timedelta(days=1)) - now).total_seconds()


@dataclass(frozen=True, slots=True)
class WantedInstance:
    """One object that the archive says it has."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str


class Archive(Protocol):
    """What can be asked: DIMSE and DICOMweb each have one of these."""

    def studies(self, filters: Mapping[str, str]) -> tuple[str, ...]:
        """Return the Study Instance UIDs that match."""

    def instances(self, study_instance_uid: str) -> tuple[WantedInstance, ...]:
        """Return every instance of a study."""

    def fetch_study(self, wanted: Sequence[WantedInstance]) -> None:
        """Have a whole study, which these are all instances of, written through the drop."""

    def fetch(self, wanted: Sequence[WantedInstance]) -> None:
        """Have these instances of one study written through the drop that the archive was opened with."""


@dataclass(frozen=True, slots=True)
class RetrievePlan:
    """What to fetch, and how gently."""

    folder: Path
    queries: tuple[Mapping[str, str], ...]
    """Matching keys by DICOM keyword; a study is fetched when it matches one of them."""
    window: Window | None = None
    studies_per_hour: float = 0.0
    """0: as fast as the archive answers."""
    attempts: int = 3


@dataclass(frozen=True, slots=True)
class StudyRetrieved:
    """How one study ended."""

    study_instance_uid: str
    expected: int
    missing: tuple[str, ...]
    """SOP Instance UIDs that the archive named but did not deliver."""
    problem: str = ""
    known: bool = True
    """False while the archive has not said which instances there are."""

    @property
    def complete(self) -> bool:
        """Say whether everything that the archive named is here."""
        return self.known and not self.missing


@dataclass(frozen=True, slots=True)
class Retrieval:
    """The reconciliation: what was expected, what came, and what is missing by name."""

    studies: tuple[StudyRetrieved, ...]

    @property
    def expected(self) -> int:
        """Return how many instances the archive named."""
        return sum(study.expected for study in self.studies)

    @property
    def received(self) -> int:
        """Return how many of them are here."""
        return sum(study.expected - len(study.missing) for study in self.studies)

    @property
    def incomplete(self) -> tuple[StudyRetrieved, ...]:
        """Return the studies of which something is missing."""
        return tuple(study for study in self.studies if not study.complete)


@dataclass(frozen=True, slots=True)
class Pace:
    """The clock, so that a test need not wait for the night."""

    now: Callable[[], datetime] = datetime.now
    sleep: Callable[[float], None] = time.sleep


@dataclass(slots=True)
class Drop:
    """Where instances are written: whole or not at all, and only of studies that were asked for."""

    folder: Path
    studies: set[str] = field(default_factory=set)
    """Study Instance UIDs that were asked for: nobody else can put anything here while the port is open."""
    trouble: str = ""
    """What went wrong with the folder itself, such as a full disk: then nothing more is asked for."""

    def path(self, study_instance_uid: str, sop_instance_uid: str) -> Path:
        """Return where an instance lies; raises ObjectRefused for a UID that is no file name."""
        for uid in (study_instance_uid, sop_instance_uid):
            if not is_tolerable_uid(uid):
                raise ObjectRefused(f"the archive sent an object with the UID {uid!r}")
        return self.folder / study_instance_uid / f"{sop_instance_uid}.dcm"

    def write(self, study_instance_uid: str, sop_instance_uid: str, parts: Sequence[bytes]) -> None:
        """Write one Part 10 file beside and move it into place."""
        target = self.path(study_instance_uid, sop_instance_uid)
        if study_instance_uid not in self.studies:
            raise ObjectRefused(f"an object of study {study_instance_uid} came, which was not asked for")
        beside = self.folder / _PARTIAL / f"{sop_instance_uid}.{os.getpid()}"
        try:
            for folder in (target.parent, beside.parent):
                folder.mkdir(parents=True, exist_ok=True)
            with beside.open("wb") as stream:
                stream.writelines(parts)
                stream.flush()
                os.fsync(stream.fileno())
            beside.replace(target)
        except OSError as problem:
            self.trouble = f"{self.folder} cannot take any more objects: {problem}"
            raise FolderFailed(self.trouble) from problem

    def missing(self, wanted: Sequence[WantedInstance]) -> list[WantedInstance]:
        """Return those of the wanted that are not here."""
        return [item for item in wanted if not self.path(item.study_instance_uid, item.sop_instance_uid).is_file()]


OpenArchive = Callable[[Drop], AbstractContextManager[Archive]]


def retrieve(
    plan: RetrievePlan,
    open_archive: OpenArchive,
    *,
    progress: Callable[[int, int, str], None] = lambda _done, _total, _note: None,
    pace: Pace = Pace(),
) -> Retrieval:
    """Fetch all studies that match; a study that fails is named and the next one is tried.

    ``progress`` hears (studies done, studies in all, note). Raises PeerFailed when the archive cannot even be searched.
    """
    drop = Drop(plan.folder)
    plan.folder.mkdir(parents=True, exist_ok=True)
    with _Journal(plan) as journal, open_archive(drop) as archive:
        uids = journal.studies or journal.begin(_matching(archive, plan.queries))
        begun = -1e9
        for number, uid in enumerate(uids):
            progress(number, len(uids), uid)
            if journal.done(uid):
                continue
            _wait(plan, pace, lambda note, number=number: progress(number, len(uids), note))  # type: ignore[misc]
            interval = 3600 / plan.studies_per_hour if plan.studies_per_hour else 0.0
            since = pace.now().timestamp() - begun
            if since < interval:
                pace.sleep(interval - since)
            begun = pace.now().timestamp()
            journal.end(_fetch_study(archive, drop, uid, attempts=plan.attempts))
        progress(len(uids), len(uids), "")
        with suppress(OSError):
            (plan.folder / _PARTIAL).rmdir()
        return Retrieval(tuple(journal.result(uid) for uid in uids))


def _matching(archive: Archive, queries: Sequence[Mapping[str, str]]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for query in queries:
        found |= dict.fromkeys(archive.studies(query))
    return tuple(found)


def _wait(plan: RetrievePlan, pace: Pace, tell: Callable[[str], None]) -> None:
    while plan.window is not None and (seconds := plan.window.wait_seconds(pace.now())) > 0:
        tell(f"waiting until {plan.window.start:%H:%M}")
        pace.sleep(min(seconds, 60.0))


def _fetch_study(archive: Archive, drop: Drop, uid: str, *, attempts: int) -> StudyRetrieved:
    """Fetch a study: the whole of it first, then whatever is missing, one by one."""
    problem = ""
    drop.studies.add(uid)
    wanted: tuple[WantedInstance, ...] | None = None
    missing: list[WantedInstance] = []
    for attempt in range(max(1, attempts)):
        try:
            wanted = archive.instances(uid) if wanted is None else wanted
            missing = drop.missing(wanted)
            if missing:
                whole = attempt == 0 and len(missing) == len(wanted)
                (archive.fetch_study if whole else archive.fetch)(missing)
                missing = drop.missing(wanted)
        except (PeerFailed, ObjectRefused) as error:
            problem = str(error)
            missing = drop.missing(wanted or ())
        if drop.trouble:
            raise FolderFailed(f"{drop.trouble}. Make room and run it again: it goes on where it stopped")
        if wanted is not None and not missing:
            return StudyRetrieved(uid, len(wanted), ())
    known = wanted is not None
    names = tuple(item.sop_instance_uid for item in missing)
    return StudyRetrieved(uid, len(wanted or ()), names, problem or "the archive did not send all of it", known)


class _Journal:
    """What was done, a line for each event; the plan is the first line, and another plan is refused."""

    def __init__(self, plan: RetrievePlan) -> None:
        self._path = plan.folder / JOURNAL
        self._plan = {"queries": [dict(query) for query in plan.queries]}
        self.studies: tuple[str, ...] = ()
        self._results: dict[str, StudyRetrieved] = {}
        for line in self._path.read_text(encoding="utf-8").splitlines() if self._path.is_file() else ():
            with suppress(ValueError):  # the last line of a killed run may be torn
                self._take(json.loads(line))

    def _take(self, entry: Mapping[str, object]) -> None:
        if "queries" in entry:
            if entry["queries"] != self._plan["queries"]:
                raise BadDestination(f"{self._path} belongs to another query; fetch into another folder")
            found = entry["studies"]
            self.studies = tuple(str(uid) for uid in found) if isinstance(found, list) else ()
        elif "study" in entry:
            missing = entry["missing"]
            names = tuple(str(uid) for uid in missing) if isinstance(missing, list) else ()
            uid = str(entry["study"])
            self._results[uid] = StudyRetrieved(
                uid, int(str(entry["expected"])), names, str(entry["problem"]), bool(entry["known"])
            )

    def __enter__(self) -> "_Journal":
        self._stream = self._path.open("a", encoding="utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def begin(self, studies: Sequence[str]) -> tuple[str, ...]:
        self.studies = tuple(studies)
        self._write({**self._plan, "studies": list(studies)})
        return self.studies

    def done(self, uid: str) -> bool:
        return uid in self._results and self._results[uid].complete

    def end(self, result: StudyRetrieved) -> None:
        self._results[result.study_instance_uid] = result
        self._write(
            {
                "study": result.study_instance_uid, "expected": result.expected, "missing": list(result.missing),
                "problem": result.problem, "known": result.known,
            }
        )  # fmt: skip

    def result(self, uid: str) -> StudyRetrieved:
        return self._results[uid]

    def _write(self, entry: Mapping[str, object]) -> None:
        self._stream.write("\n" + json.dumps(entry))
        self._stream.flush()
        os.fsync(self._stream.fileno())
