"""The second thread of a work item: keeps its lease alive and notices when a stage takes too long."""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from coread.domain.errors import CoreadError

_log = logging.getLogger(__name__)
_TICK_SECONDS = 0.25


class Pulse:
    """Beats while the block runs; calls ``overdue`` once when a block under ``deadline`` runs over its time.

    A network stuck in native code cannot be interrupted by a thread, so ``overdue`` is expected to record the ending
    and to leave the process.
    """

    def __init__(self, beat: Callable[[], bool], overdue: Callable[[float], None], *, every: float) -> None:
        self._beat = beat
        self._overdue = overdue
        self._every = every
        self._allowed = math.inf
        self._until = math.inf
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="coread-pulse", daemon=True)
        self.lease_lost = False

    def __enter__(self) -> "Pulse":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    @contextmanager
    def deadline(self, seconds: float) -> Iterator[None]:
        """Allow the block that many seconds."""
        self._allowed = seconds
        self._until = time.monotonic() + seconds
        try:
            yield
        finally:
            self._until = math.inf

    def _run(self) -> None:
        due = time.monotonic() + self._every
        while not self._done.wait(min(self._every, _TICK_SECONDS)):
            now = time.monotonic()
            if now >= self._until:
                self._overdue(self._allowed)
                return
            if now >= due:
                self._beat_once()
                due = now + self._every

    def _beat_once(self) -> None:
        try:
            self.lease_lost = not self._beat() or self.lease_lost
        except (CoreadError, OSError, MemoryError) as problem:
            # One missed beat is no loss: the lease lasts for several of them.
            _log.warning("heartbeat missed: %s", type(problem).__name__)
