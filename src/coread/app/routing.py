"""The routing loop of the server: looks at growing studies, settles and routes those that are complete."""

import logging
import threading
import time
from datetime import UTC, datetime

from coread.app.pipeline import Counts, Pipeline, settle_if_complete
from coread.domain.errors import CoreadError

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.05
"""How often the store is asked whether anything changed: a query of one number."""
IDLE_SECONDS = 0.5
"""How often growing studies are looked at although nothing changed: time itself settles some."""
CARE_SECONDS = 30.0
"""How often leases of dead workers are released and retention is applied."""


class RoutingLoop:
    """One thread; a study that cannot be routed is logged and tried again, and never stops the others."""

    def __init__(self, pipeline: Pipeline, archive: Counts | None = None) -> None:
        self._pipeline = pipeline
        self._archive = archive
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
            try:
                settled += settle_if_complete(self._pipeline, growing, self._archive)
            except CoreadError as problem:
                log.error("a study could not be routed and will be tried again: %s", problem)
        return settled

    def _run(self) -> None:
        token = -1
        while not self._stop.is_set():
            try:
                self.round()
                self._take_care()
                token = self._wait(token)
            except Exception:  # the edge of the loop: a failing round must not end routing for all studies
                log.exception("a routing round failed; the next one follows")
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
        store = self._pipeline.store
        released = store.release_expired()
        if released:
            log.warning("%d work items were released: their workers were silent for too long", released)
        if self._pipeline.settings.retention_days is not None:
            store.apply_retention(datetime.now(UTC))
