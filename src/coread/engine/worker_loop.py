"""The loop of a worker process: claim a work item, read it, make and prove evidence, finish it; again.

Runs in a process of its own, so that a crash of native code costs one attempt of one item.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import coread
from coread.domain.cards import ReaderCard
from coread.domain.errors import Refused
from coread.domain.results import Failure, Provenance, Reading
from coread.domain.study import Study
from coread.domain.work import Destination, EncodedObject, WorkItem
from coread.engine.errors import DeadlineExceeded
from coread.engine.limits import memory_cap
from coread.engine.loading import Source
from coread.engine.priors import NO_PRIORS, FindPriors, FoundPriors
from coread.engine.pulse import Pulse
from coread.engine.run import failure_of, run_reader
from coread.engine.sessions import OpenSession, SessionCache, SessionSettings
from coread.engine.work_queue import WorkQueue
from coread.readers.registry import InstalledReader
from coread.store.errors import LeaseLost, StoreBusy

_log = logging.getLogger(__name__)

MakeEvidence = Callable[[Reading, ReaderCard, Sequence[Path]], Sequence[EncodedObject]]
FindReaders = Callable[[], Sequence[InstalledReader]]
"""Asked before every item: a version that was switched on meanwhile reads the next one."""
EXIT_OVERDUE = 75
"""Exit status of a worker that left because a reading hung (EX_TEMPFAIL of sysexits.h)."""
_FINISH_TRIES = 6


@dataclass(frozen=True, slots=True)
class WorkSettings:
    """How one worker works."""

    owner: str = ""
    """Name of the lease; empty: host and process number."""
    lease_seconds: float = 30.0
    look_seconds: float = 0.05
    """While idle, how often the store is asked whether anything changed."""
    idle_seconds: float = 1.0
    """While idle, how often the queue is looked at although nothing changed (retries fall due, leases run out)."""
    session_memory_mb: int = 2048
    cap_memory: bool = True
    """Hold the process to the memory of the reader's card while it reads."""
    evidence_seconds: float = 120.0
    """How long making and proving the evidence of one reading may take."""
    deadlines_before_failure: int = 2
    """A reading that hangs is tried again once: the machine may have been overloaded."""


class WorkLoop:
    """One worker: everything it takes from the queue ends there as a result, a refusal or a failure."""

    def __init__(
        self,
        queue: WorkQueue,
        readers: Sequence[InstalledReader] | FindReaders,
        make_evidence: MakeEvidence,
        destinations: Sequence[Destination] = (),
        *,
        settings: WorkSettings | None = None,
        open_session: OpenSession | None = None,
        find_priors: FindPriors | None = None,
    ) -> None:
        settings = settings or WorkSettings()
        self.settings = replace(settings, owner=settings.owner or f"{socket.gethostname()}:{os.getpid()}")
        self._queue = queue
        self._find_readers = readers if callable(readers) else lambda: readers
        self._make_evidence = make_evidence
        self._destinations = tuple(destinations)
        self._find_priors = find_priors
        self._sessions = SessionCache(open_session or SessionSettings().open, self.settings.session_memory_mb << 20)
        self._stop = threading.Event()

    def stop(self) -> None:
        """Ask the loop to end after the item in hand; safe in a signal handler."""
        self._stop.set()

    def warm_up(self) -> tuple[Failure, ...]:
        """Open every reader now, so that the first study does not wait; returns what is wrong with the others.

        Work that comes meanwhile is done before the next reader is opened.
        """
        problems: list[Failure] = []
        for installed in self._find_readers():
            while not self._stop.is_set() and self._run_quietly():
                pass  # one more item was read
            if self._stop.is_set():
                break
            try:
                self._sessions.get(installed)
            except Exception as problem:  # noqa: BLE001 - reported to the caller; each item fails with it again
                problems.append(_failure(problem, None, f"open {installed.card.reader_id}"))
        return tuple(problems)

    def serve(self) -> None:
        """Work until ``stop`` is called."""
        while not self._stop.is_set():
            token = self._token()
            if not self._run_quietly():
                self._wait(token)

    def run_once(self) -> bool:
        """Take and end one item; False when nothing waits for these readers."""
        owner, lease = self.settings.owner, self.settings.lease_seconds
        readers = {installed.card.reader_id: installed for installed in self._find_readers()}
        item = self._queue.claim_work(owner, lease, sorted(readers))
        if item is None:
            return False
        installed = readers[item.reader_id]
        pulse = Pulse(
            lambda: self._queue.heartbeat(item.work_id, owner, lease),
            lambda allowed: self._overdue(item, installed, allowed),
            every=lease / 3,
        )
        with pulse:
            reading, evidence = self._read(item, installed, pulse)
        if pulse.lease_lost:
            _log.warning("work %d: the lease was lost while reading; the ending is dropped", item.work_id)
            return True
        self._finish(item, reading, evidence)
        return True

    def _run_quietly(self) -> bool:
        try:
            return self.run_once()
        except StoreBusy:
            _log.warning("the store is busy; asking again")
            return False

    def _token(self) -> int:
        try:
            return self._queue.change_token()
        except StoreBusy:
            return -1

    def _wait(self, token: int) -> None:
        until = time.monotonic() + self.settings.idle_seconds
        while time.monotonic() < until and not self._stop.wait(self.settings.look_seconds):
            if self._token() != token:
                return

    def _read(
        self, item: WorkItem, installed: InstalledReader, pulse: Pulse
    ) -> tuple[Reading, tuple[EncodedObject, ...]]:
        began = datetime.now(UTC)
        study: Study | None = None
        try:
            study = self._queue.study(item.study_instance_uid, with_series=True, with_instances=True)
            if study is None:
                raise LeaseLost(f"study of work item {item.work_id} is not in the index any more")
            sources = self._sources(study, item)
            ready = self._sessions.get(installed)
            cap = memory_cap(installed.card.resources.memory_mb) if self.settings.cap_memory else nullcontext()
            priors = self._priors(study, installed.card)
            with cap, pulse.deadline(installed.card.resources.seconds):
                reading = run_reader(installed, ready.session, ready.reader, study, sources, began, priors)
            with pulse.deadline(self.settings.evidence_seconds):
                return self._with_evidence(reading, installed, study, sources)
        except Exception as problem:  # noqa: BLE001 - the edge of a work item: its ending is stored below
            failure = _failure(problem, study, "open")
            return Reading(failure, _bare_provenance(installed, began)), ()

    def _with_evidence(
        self, reading: Reading, installed: InstalledReader, study: Study, sources: Sequence[Source]
    ) -> tuple[Reading, tuple[EncodedObject, ...]]:
        if isinstance(reading.ending, Failure):
            return reading, ()
        began = time.perf_counter()
        ending: Failure | None = None
        evidence: tuple[EncodedObject, ...] = ()
        try:
            evidence = tuple(self._make_evidence(reading, installed.card, [path for path, _ in sources]))
        except Exception as problem:  # noqa: BLE001 - nothing unproved leaves: the ending becomes a failure
            ending = _failure(problem, study, "evidence")
        stages = (*reading.provenance.stage_seconds, ("evidence", time.perf_counter() - began))
        provenance = replace(reading.provenance, finished_at=datetime.now(UTC), stage_seconds=stages)
        return Reading(ending or reading.ending, provenance), evidence

    def _priors(self, study: Study, card: ReaderCard) -> FoundPriors:
        if self._find_priors is None or card.input.max_priors < 1:
            return NO_PRIORS
        return self._find_priors(study, card)

    def _sources(self, study: Study, item: WorkItem) -> list[Source]:
        wanted = set(item.sop_instance_uids)
        found = [one for series in study.series for one in series.instances if one.header.sop_instance_uid in wanted]
        return [(self._queue.path_of(one.path), one.header) for one in found]

    def _finish(self, item: WorkItem, reading: Reading, evidence: Sequence[EncodedObject]) -> None:
        for attempt in range(1, _FINISH_TRIES + 1):
            try:
                self._queue.finish_work(item.work_id, self.settings.owner, reading, evidence, self._destinations)
            except StoreBusy:
                if attempt == _FINISH_TRIES:
                    raise
                time.sleep(0.1 * 2**attempt)
                continue
            except LeaseLost:
                _log.warning("work %d: superseded or taken over; the ending is dropped", item.work_id)
                return
            _log.info("work %d: %s %s", item.work_id, item.reader_id, reading.outcome().value)
            return

    def _overdue(self, item: WorkItem, installed: InstalledReader, allowed: float) -> None:
        """Record that the reading hangs and leave the process: native code cannot be interrupted otherwise."""
        text = f"the reading took longer than the {allowed:g} s that it is allowed"
        try:
            if item.attempts < self.settings.deadlines_before_failure:
                self._queue.retry_work(item.work_id, datetime.now(UTC) + timedelta(seconds=allowed), text)
            else:
                failure = _failure(DeadlineExceeded(text), None, "read")
                self._finish(item, Reading(failure, _bare_provenance(installed, datetime.now(UTC))), ())
        finally:
            leave_process()


def leave_process() -> None:
    """End this process at once, without waiting for the thread that hangs."""
    logging.shutdown()
    os._exit(EXIT_OVERDUE)


def _failure(problem: Exception, study: Study | None, stage: str) -> Failure:
    if isinstance(problem, Refused):
        return Failure(type(problem).__name__, f"refused in stage {stage!r}", "Report it: refusals belong to reading.")
    return failure_of(problem, study, stage)


def _bare_provenance(installed: InstalledReader, began: datetime) -> Provenance:
    return Provenance(
        reader_id=installed.card.reader_id,
        reader_version=installed.card.version,
        package_digest=installed.package_digest,
        input_digest="",
        coread_version=coread.__version__,
        runtime="",
        started_at=began,
        finished_at=datetime.now(UTC),
    )
