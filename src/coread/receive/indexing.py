"""The thread that indexes what is already safe on disk: many objects in one database transaction.

An object is safe once its sealed file is: that name in the staging folder is what recovery looks for. So the
index and the final names are synced once in a while, for many batches, and only then the staging names go: a
sync for each batch would make the next object of the sender wait in the same file-system journal.

Receiving never waits for the database. When the database is locked or away, sealed files wait in the
staging folder and the batch is tried again; when too many wait, receiving refuses politely (A700).
An association is noted as open before its first object is indexed and as closed after its last.
"""

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from coread.domain.study import InstanceHeader, Origin, Received
from coread.store import StagedFile, Store

_LOG = logging.getLogger(__name__)
MAX_BATCH = 256
GATHER_SECONDS = 0.1
"""How long the first object of a batch waits for others: one commit then serves many. The end of an
association is not waited for: what settles a study follows it at once."""
SYNC_SECONDS = 1.0
_SYNC_OBJECTS = 1024
"""So many indexed objects, or so long after the first of them, keep their staging names."""
_RETRY_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0)


@dataclass(frozen=True, slots=True)
class SealedFile:
    """One object that was acknowledged."""

    path: Path
    header: InstanceHeader
    size: int
    sha256: str
    origin: Origin
    durable: bool

    def staged(self) -> StagedFile:
        """Return what the store wants to know."""
        return StagedFile(self.path, self.header, self.size, self.sha256, self.origin, self.durable)


@dataclass(frozen=True, slots=True)
class Opened:
    """An association is about to bring objects."""

    origin: Origin


@dataclass(frozen=True, slots=True)
class Closed:
    """An association will bring no more objects; ``broken`` says how it ended when that was not orderly."""

    origin: Origin
    broken: str = ""
    study_instance_uid: str = ""
    """The study of its last object."""


Entry = SealedFile | Opened | Closed


class Indexer:
    """Hands sealed files to the store in batches, in a thread of its own."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: deque[Entry] = deque()
        self._busy = False
        self._unindexed = 0
        self._changed = threading.Condition()
        self._stopping = False
        self._hurry = 0
        self._ends = 0
        self._unsynced: list[StagedFile] = []
        self._sync_at = 0.0
        self._thread = threading.Thread(target=self._run, name="coread-indexer", daemon=True)

    @property
    def backlog(self) -> int:
        """How many objects are safe but not indexed."""
        return self._unindexed

    def start(self) -> None:
        """Begin to index."""
        self._thread.start()

    def add(self, entry: Entry) -> None:
        """Hand over one sealed file or note; never blocks."""
        with self._changed:
            self._waiting.append(entry)
            self._unindexed += isinstance(entry, SealedFile)
            self._ends += isinstance(entry, Closed)
            if len(self._waiting) in (1, MAX_BATCH) or self._ends:
                self._changed.notify_all()

    def flush(self, seconds: float) -> bool:
        """Wait until everything handed over so far is indexed; return False when time ran out."""
        with self._changed:
            self._hurry += 1
            self._changed.notify_all()
            try:
                return self._changed.wait_for(
                    lambda: not (self._waiting or self._busy or self._unsynced), timeout=seconds
                )
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
        return not self._thread.is_alive() and not self._waiting

    def _run(self) -> None:
        while (batch := self._next_batch()) or self._unsynced:
            done = self._take_in(batch)
            self._sync(batch)
            with self._changed:
                if done:
                    self._unindexed -= sum(isinstance(entry, SealedFile) for entry in batch)
                else:
                    self._waiting.extendleft(reversed(batch))
                    self._ends += sum(isinstance(entry, Closed) for entry in batch)
                self._busy = False
                self._changed.notify_all()
            if not done:
                return

    def _next_batch(self) -> list[Entry]:
        with self._changed:
            until_sync = max(0.0, self._sync_at - time.monotonic()) if self._unsynced else None
            if self._changed.wait_for(lambda: self._waiting or self._in_haste(), timeout=until_sync):
                self._changed.wait_for(
                    lambda: len(self._waiting) >= MAX_BATCH or self._ends or self._in_haste(), timeout=GATHER_SECONDS
                )
            batch = [self._waiting.popleft() for _ in range(min(MAX_BATCH, len(self._waiting)))]
            self._ends -= sum(isinstance(entry, Closed) for entry in batch)
            self._busy = bool(batch or self._unsynced)
            return batch

    def _in_haste(self) -> bool:
        return self._stopping or (self._hurry > 0 and bool(self._waiting or self._unsynced))

    def _take_in(self, batch: list[Entry]) -> bool:
        """Note what opened, index the files, note what closed; False when told to stop before all was done."""
        for entry in batch:
            if isinstance(entry, Opened) and not self._insist(partial(self._open, entry.origin)):
                return False
        files = [entry for entry in batch if isinstance(entry, SealedFile)]
        if files and not self._index(files):
            return False
        ends = [entry for entry in batch if isinstance(entry, Closed)]
        return all(self._insist(partial(self._close, end)) for end in ends)

    def _open(self, origin: Origin) -> None:
        self._store.association_opened(origin.association_id, origin.peer, origin.address)

    def _close(self, end: Closed) -> None:
        self._store.association_closed(end.origin.association_id)
        if end.broken:
            self._store.add_history(end.study_instance_uid, "receive.broken", end.broken, actor=end.origin.peer)

    def _index(self, files: list[SealedFile]) -> bool:
        """Index one batch; when it fails as a whole, find out which objects the database refuses."""
        if self._try(partial(self._add_files, files)):
            return True
        left = files

        def again() -> None:
            nonlocal left
            left = self._one_by_one(left)
            if left:
                raise _StillWaiting

        return self._insist(again)

    def _add_files(self, files: list[SealedFile]) -> None:
        durable = all(item.durable for item in files)
        items = [item.staged() for item in files]
        self._report(self._store.add_files(items, synced=not durable))
        if durable:
            self._sync_at = self._sync_at if self._unsynced else time.monotonic() + SYNC_SECONDS
            self._unsynced += items

    def _sync(self, batch: list[Entry]) -> None:
        """Sync what was indexed and remove the staging names, when it is time."""
        now = time.monotonic()
        over = self._in_haste() or any(isinstance(entry, Closed) for entry in batch)
        if not self._unsynced or not (over or now >= self._sync_at or len(self._unsynced) >= _SYNC_OBJECTS):
            return
        if self._try(partial(self._store.sync_intake, self._unsynced)) or self._stopping:
            self._unsynced = []  # when it failed the staging names stay: the next start finds them
        else:
            time.sleep(_RETRY_SECONDS[0])
            self._sync_at = now + SYNC_SECONDS

    def _one_by_one(self, files: list[SealedFile]) -> list[SealedFile]:
        """Index the good ones of a batch that fails as a whole; return those to try again.

        An object that fails alone while others pass stays in the staging folder for the next start.
        """
        # A file that is gone was moved into place before the failure was noticed, or indexed by a recovery.
        present = [item for item in files if item.path.exists()]
        failed = [item for item in present if not self._try(partial(self._add_files, [item]))]
        if len(failed) < len(present):
            if failed:
                _LOG.error("%d objects stay in the staging folder: the database refuses them", len(failed))
            return []
        return failed

    def _try(self, action: Callable[[], None]) -> bool:
        try:
            action()
        except Exception as error:  # noqa: BLE001 - the bytes are safe: whatever ails the database, try again
            # The kind of error only: database messages can hold patient data.
            _LOG.warning("the index cannot be written now (%s)", type(error).__name__)
            return False
        return True

    def _insist(self, action: Callable[[], None]) -> bool:
        """Repeat until it works; False when it does not and we are to stop."""
        attempt = 0
        while not self._try(action):
            attempt += 1
            if self._stopping and attempt > len(_RETRY_SECONDS):
                return False
            time.sleep(_RETRY_SECONDS[min(attempt, len(_RETRY_SECONDS)) - 1])
        return True

    def _report(self, receipts: Sequence[Received]) -> None:
        """Log what was not simply stored, one line for each kind."""
        for (status, detail), count in Counter((item.status.value, item.detail) for item in receipts).items():
            if detail:
                _LOG.warning("%d objects %s: %s", count, status, detail)


class _StillWaiting(Exception):
    """Every object of a batch failed alone: the database itself is away."""
