"""The thread that indexes what is already safe on disk: many objects in one database transaction.

Receiving never waits for the database. When the database is locked or away, sealed files wait in the
staging folder and the batch is tried again; when too many wait, receiving refuses politely (A700).
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from coread.domain.study import InstanceHeader, Origin, Received, ReceiveStatus
from coread.receive.staging import sha256_of
from coread.store import StagedFile, Store

_LOG = logging.getLogger(__name__)
MAX_BATCH = 256
GATHER_SECONDS = 0.05
"""How long the first object of a batch waits for others: one commit then serves many."""
_RETRY_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0)


@dataclass(frozen=True, slots=True)
class SealedFile:
    """One object that was acknowledged; its digest is still to be computed, off the sender's path."""

    path: Path
    header: InstanceHeader
    size: int
    origin: Origin
    durable: bool

    def staged(self) -> StagedFile:
        """Return what the store wants to know."""
        return StagedFile(self.path, self.header, self.size, sha256_of(self.path), self.origin, self.durable)


class Indexer:
    """Hands sealed files to the store in batches, in a thread of its own."""

    def __init__(self, store: Store, *, on_received: Callable[[Sequence[Received]], None] | None = None) -> None:
        self._store = store
        self._on_received = on_received
        self._waiting: deque[SealedFile] = deque()
        self._busy = 0
        self._changed = threading.Condition()
        self._stopping = False
        self._hurry = 0
        self._thread = threading.Thread(target=self._run, name="coread-indexer", daemon=True)

    @property
    def backlog(self) -> int:
        """How many objects are safe but not indexed."""
        return len(self._waiting) + self._busy

    def start(self) -> None:
        """Begin to index."""
        self._thread.start()

    def add(self, item: SealedFile) -> None:
        """Hand over one sealed file; never blocks."""
        with self._changed:
            self._waiting.append(item)
            if len(self._waiting) == 1 or len(self._waiting) == MAX_BATCH:
                self._changed.notify_all()

    def flush(self, seconds: float) -> bool:
        """Wait until everything handed over so far is indexed; return False when time ran out."""
        with self._changed:
            self._hurry += 1
            self._changed.notify_all()
            try:
                return self._changed.wait_for(lambda: self.backlog == 0, timeout=seconds)
            finally:
                self._hurry -= 1

    def stop(self, seconds: float) -> bool:
        """Index what waits, end the thread; False when the database did not take everything in time.

        What is left stays in the staging folder and is indexed at the next start.
        """
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join(seconds)
        return not self._thread.is_alive() and self.backlog == 0

    def _run(self) -> None:
        while batch := self._next_batch():
            done = self._index(batch)
            with self._changed:
                if not done:
                    self._waiting.extendleft(reversed(batch))
                self._busy = 0
                self._changed.notify_all()
            if not done:
                return

    def _next_batch(self) -> list[SealedFile]:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopping)
            self._changed.wait_for(
                lambda: len(self._waiting) >= MAX_BATCH or self._stopping or self._hurry > 0, timeout=GATHER_SECONDS
            )
            batch = [self._waiting.popleft() for _ in range(min(MAX_BATCH, len(self._waiting)))]
            self._busy = len(batch)
            return batch

    def _index(self, batch: list[SealedFile]) -> bool:
        """Index one batch, however long the database needs; False when told to stop meanwhile."""
        attempt = 0
        while batch:
            try:
                self._report(self._store.add_files([item.staged() for item in batch]))
            except Exception as error:  # noqa: BLE001 - the bytes are safe: whatever ails the database, try again
                pause = _RETRY_SECONDS[min(attempt, len(_RETRY_SECONDS) - 1)]
                _LOG.warning("indexing %d objects failed (%s); again in %.1f s", len(batch), _brief(error), pause)
            else:
                return True
            attempt += 1
            if self._stopping and attempt > len(_RETRY_SECONDS):
                return False
            if attempt > 1:
                batch = self._one_by_one(batch)
            if batch:
                time.sleep(pause)
        return True

    def _one_by_one(self, batch: list[SealedFile]) -> list[SealedFile]:
        """Index the good ones of a batch that fails as a whole; return those to try again.

        An object that fails alone while others pass stays in the staging folder for the next start.
        """
        left: list[SealedFile] = []
        passed = 0
        for item in batch:
            if not item.path.exists():
                continue  # moved into place before the failure was noticed, or indexed by a recovery
            try:
                self._report(self._store.add_files([item.staged()]))
                passed += 1
            except Exception as error:  # noqa: BLE001 - as above; kept for another try
                _LOG.warning("one object cannot be indexed (%s)", _brief(error))
                left.append(item)
        if passed and left:
            _LOG.error("%d objects stay in the staging folder: the database refuses them", len(left))
            return []
        return left

    def _report(self, receipts: Sequence[Received]) -> None:
        unusual = [
            receipt for receipt in receipts if receipt.status not in (ReceiveStatus.STORED, ReceiveStatus.DUPLICATE)
        ]
        for receipt in unusual:
            _LOG.warning("object kept aside (%s): %s", receipt.status.value, receipt.detail)
        if self._on_received is not None:
            self._on_received(receipts)


def _brief(error: Exception) -> str:
    """Return the kind of error only: database messages can hold patient data."""
    return type(error).__name__
