"""The routing loop of the server: looks at growing studies, settles and routes those that are complete."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from coread.app.caretaking import apply_retention, end_orphaned_work
from coread.app.pipeline import Counts, Pipeline, decline_all, route_settled, settle_if_complete
from coread.app.why import ROUTE_FAILED_EVENT
from coread.domain.errors import CoreadError
from coread.engine.run import failure_of
from coread.store import StoreBusy

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.05
"""How often the store is asked whether anything changed: a query of one number."""
IDLE_SECONDS = 0.5
"""How often growing studies are looked at although nothing changed: time itself settles some."""
CARE_SECONDS = 30.0
"""How often leases of dead workers are released and retention is applied."""
MOST_FAILURES = 3
"""How often a study may break before it is declined for every reader: it never stays without an outcome."""
PAUSE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class _Broken:
    """A study that could not be routed: how often, and when it is looked at again."""

    failures: int
    again_at: float


class RoutingLoop:
    """One thread; a study that cannot be routed never stops the others, and ends as declined, with the reason."""

    def __init__(
        self, pipeline: Pipeline, archive: Counts | None = None, *, pause_seconds: float = PAUSE_SECONDS
    ) -> None:
        self._pipeline = pipeline
        self._archive = archive
        self._pause_seconds = pause_seconds
        self._broken: dict[str, _Broken] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="routing", daemon=True)
        self._next_care = 0.0

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after the study in hand."""
        self._stop.set()
        self._thread.join(timeout=10)

    def round(self) -> int:
        """Look at every growing study once; returns how many settled."""
        settled = 0
        for growing in self._pipeline.store.unsettled_activity():
            if self._stop.is_set():
                break
            uid = growing.study.study_instance_uid
            settled += self._attempt(uid, partial(settle_if_complete, self._pipeline, growing, self._archive))
        return settled

    def take_up(self) -> int:
        """Route studies that settled without a decision (a crash, or an error, fell in between)."""
        found = self._pipeline.store.undecided_studies()
        return sum(self._attempt(uid, partial(self._route, uid)) for uid in found)

    def _route(self, uid: str) -> bool:
        route_settled(self._pipeline, uid)
        return True

    def _attempt(self, uid: str, step: Callable[[], bool]) -> bool:
        """Take one step with one study; what breaks is recorded in its history and counted."""
        broken = self._broken.get(uid)
        if broken is not None and time.monotonic() < broken.again_at:
            return False
        try:
            done = step()
        except StoreBusy:
            log.warning("the store is busy; the study is looked at again")
            return False
        except Exception as problem:  # noqa: BLE001 - the edge of one study: recorded, retried, then declined
            self._broke(uid, problem)
            return False
        self._broken.pop(uid, None)
        return done

    def _broke(self, uid: str, problem: Exception) -> None:
        store = self._pipeline.store
        failures = 1 + (self._broken[uid].failures if uid in self._broken else 0)
        self._broken[uid] = _Broken(failures, time.monotonic() + self._pause_seconds * 2**failures)
        told = failure_of(problem, store.study(uid), "routing").message
        log.error("a study could not be routed (time %d of %d): %s", failures, MOST_FAILURES, told)
        store.add_history(uid, ROUTE_FAILED_EVENT, f"time {failures} of {MOST_FAILURES}: {told}", actor="routing")
        if failures >= MOST_FAILURES:
            decline_all(self._pipeline, uid, told)
            del self._broken[uid]

    def _run(self) -> None:
        token = -1
        while not self._stop.is_set():
            try:
                self.round()
                self._take_care()
                token = self._wait(token)
            except CoreadError as problem:
                log.error("a routing round failed, the next one follows: %s", problem)
                self._stop.wait(IDLE_SECONDS)
            except Exception as problem:  # noqa: BLE001 - the edge of the loop: routing must never end for all studies
                told = failure_of(problem, None, "routing").message  # a foreign message may name a patient
                log.error("a routing round failed, the next one follows: %s", told)
                self._stop.wait(IDLE_SECONDS)

    def _wait(self, token: int) -> int:
        until = time.monotonic() + IDLE_SECONDS
        while time.monotonic() < until and not self._stop.wait(LOOK_SECONDS):
            now = self._pipeline.store.change_token()
            if now != token:
                return now
        return token

    def _take_care(self) -> None:
        if time.monotonic() < self._next_care:
            return
        self._next_care = time.monotonic() + CARE_SECONDS
        for name, step in (
            ("releasing the work of silent workers", self._release_expired),
            ("ending work of readers that are gone", lambda: end_orphaned_work(self._pipeline)),
            ("taking up studies without a decision", self.take_up),
            ("retention", lambda: apply_retention(self._pipeline, datetime.now(UTC))),
        ):
            try:
                step()
            except Exception as problem:  # noqa: BLE001 - one duty that breaks must not keep the others from being done
                log.error("%s failed and is tried again: %s", name, failure_of(problem, None, name).message)

    def _release_expired(self) -> None:
        released = self._pipeline.store.release_expired()
        if released:
            log.warning("%d work items were released: their workers were silent for too long", released)
