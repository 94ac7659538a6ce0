"""Connections and transactions: one way to read, one way to write, on SQLite and PostgreSQL.

A writer is a function over a Transaction. It may be run again (a deadlock, a racing insert), so it must
not do anything outside the database that cannot be done twice.
"""

import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Executable, Table, create_engine, event, insert, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects import sqlite as sqlite_dialect
from sqlalchemy.engine import CursorResult
from sqlalchemy.exc import DBAPIError

from coread.store import schema
from coread.store.errors import StoreBusy, StoreFailed
from coread.store.files import sync_file
from coread.store.settings import StoreSettings

Answer = TypeVar("Answer")
HISTORY_LOCK = 0x436F72656164
"""PostgreSQL advisory lock ("Coread"): history rows get their numbers in the order they become visible."""
_RETRIES = 5
_AGAIN = {"40001", "40P01", "55P03", "23505"}
"""Serialization failure, deadlock, lock not available, unique violation of a racing insert (PostgreSQL)."""


def utc_now() -> datetime:
    """Return the time, with its zone."""
    return datetime.now(UTC)


class Transaction:
    """One database transaction; its history rows are written together at its end."""

    def __init__(self, connection: Connection, settings: StoreSettings) -> None:
        self.connection = connection
        self.settings = settings
        self.postgres = connection.dialect.name == "postgresql"
        self.now = utc_now()
        self._notes: list[dict[str, Any]] = []
        self.after_commit: list[Callable[[], None]] = []
        """Done once the transaction stands, e.g. removing the first name of a file."""

    @property
    def folder(self) -> Path:
        """The store's folder."""
        return self.settings.folder

    def run(self, statement: Executable, rows: Sequence[dict[str, Any]] | None = None) -> CursorResult[Any]:
        """Execute one statement, once or for many rows."""
        if rows is None:
            return self.connection.execute(statement)
        return self.connection.execute(statement, list(rows))

    def add(self, table: Table, values: dict[str, Any]) -> int:
        """Insert one row and return its key."""
        key = self.connection.execute(insert(table), values).inserted_primary_key
        return int(key[0]) if key is not None and isinstance(key[0], int) else 0

    def add_missing(self, table: Table, rows: Sequence[dict[str, Any]]) -> None:
        """Insert the rows that are not there yet."""
        if rows:
            dialect = postgresql if self.postgres else sqlite_dialect
            self.connection.execute(dialect.insert(table).on_conflict_do_nothing(), list(rows))

    def note(self, study_uid: str, what: str, detail: str = "", *, actor: str = "", work_id: int | None = None) -> None:
        """Add a line to the history of a study, in this transaction."""
        self._notes.append(
            {
                "at": self.now,
                "study_uid": study_uid,
                "event": what,
                "detail": detail,
                "actor": actor,
                "work_id": work_id,
            }
        )

    def write_history(self) -> None:
        """Write the collected lines; the last thing before the commit, so that the lock is held briefly."""
        if not self._notes:
            return
        if self.postgres:
            self.connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": HISTORY_LOCK})
        self.connection.execute(insert(schema.history), self._notes)


class Database:
    """The pool of one process. Threads share it; other processes open their own (no fork after opening)."""

    def __init__(self, settings: StoreSettings) -> None:
        self._settings = settings
        self.engine = _sqlite_engine(settings) if settings.url().startswith("sqlite") else _server_engine(settings)
        # SQLite has one writer at a time: threads of this process queue here, fairly, instead of polling the lock.
        self._writer = threading.Lock() if self.engine.dialect.name == "sqlite" else None

    def read(self, work: Callable[[Transaction], Answer]) -> Answer:
        """Run a function over one consistent view; nothing is written."""
        try:
            with self.engine.connect() as connection:
                return work(Transaction(connection, self._settings))
        except DBAPIError as error:
            raise _our_error(error) from error

    def write(self, work: Callable[[Transaction], Answer], *, synced: bool = True) -> Answer:
        """Run a function in one transaction; repeat it when another writer got in the way.

        With ``synced`` False a power cut may take the transaction back until ``sync`` was called (SQLite only).
        """
        for attempt in range(_RETRIES):
            try:
                return self._write_once(work, synced=synced)
            except DBAPIError as error:
                if _sql_state(error) not in _AGAIN:
                    raise _our_error(error) from error
                time.sleep(random.uniform(0.005, 0.02) * 2**attempt)
        raise StoreBusy("other writers kept getting in the way; nothing was changed, try again")

    def sync(self) -> None:
        """Bring every transaction that was committed so far to the disk.

        The write-ahead log is a sequence: synced up to here, nothing before can be lost. What a checkpoint has
        already moved into the database file was synced by SQLite on the way.
        """
        if self.engine.dialect.name == "sqlite" and self._settings.durable:
            log = Path(f"{self.engine.url.database}-wal")
            if log.exists():
                sync_file(log)

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()

    def _write_once(self, work: Callable[[Transaction], Answer], *, synced: bool) -> Answer:
        with self._turn(), self.engine.connect() as plain:
            connection = plain.execution_options(coread_write=True, coread_synced=synced)
            with connection.begin():
                transaction = Transaction(connection, self._settings)
                answer = work(transaction)
                transaction.write_history()
        for step in transaction.after_commit:
            step()
        return answer

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if self._writer is None:
            yield
            return
        if not self._writer.acquire(timeout=self._settings.busy_seconds):
            raise StoreBusy("another thread holds the index; try again")
        try:
            yield
        finally:
            self._writer.release()


def _sqlite_engine(settings: StoreSettings) -> Engine:
    engine = create_engine(
        settings.url(),
        connect_args={"timeout": settings.busy_seconds},
        pool_size=8,
        max_overflow=24,
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions are begun below, by us, in the mode that we want
        cursor = connection.cursor()
        for line in _pragmas(durable=settings.durable):
            cursor.execute(line)
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # IMMEDIATE: a writer waits for its turn at the start, where waiting is safe, and never deadlocks later.
        options = connection.get_execution_options()
        write = options.get("coread_write", False)
        if write and settings.durable:
            level = "FULL" if options.get("coread_synced", True) else "NORMAL"
            connection.exec_driver_sql(f"PRAGMA synchronous={level}")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def _pragmas(*, durable: bool) -> tuple[str, ...]:
    """Return the settings of one SQLite connection.

    synchronous=FULL syncs the write-ahead log at every commit. NORMAL keeps the index consistent, but a power
    cut could take the last commits back: for readings and verdicts that would take back what people have seen.
    Only the receiver's intake commits with NORMAL (``write(synced=False)``): its staging names stay until
    ``sync``, so recovery finds every acknowledged object whatever became of the last commits.
    """
    return (
        "PRAGMA journal_mode=WAL",
        f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}",
        "PRAGMA foreign_keys=ON",
        "PRAGMA case_sensitive_like=ON",  # LIKE as on PostgreSQL, and it can use an index
        "PRAGMA temp_store=MEMORY",
        "PRAGMA cache_size=-32768",
        "PRAGMA mmap_size=268435456",
    )


def _server_engine(settings: StoreSettings) -> Engine:
    return create_engine(
        settings.url(),
        pool_size=4,
        max_overflow=12,
        pool_pre_ping=True,
        isolation_level="READ COMMITTED",
        hide_parameters=True,
    )


def _sql_state(error: BaseException) -> str:
    original = getattr(error, "orig", None)
    details = original.args[0] if original is not None and original.args else None
    return str(details.get("C", "")) if isinstance(details, dict) else ""


def _our_error(error: DBAPIError) -> StoreFailed:
    """Name the error without the database's own words, which can hold patient data."""
    original = error.orig
    if isinstance(original, sqlite3.OperationalError) and "locked" in str(original):
        return StoreBusy("the index stayed locked by other writers; nothing was changed, try again")
    kind = f"{type(original).__name__} {_sql_state(error)}".strip()
    return StoreFailed(f"the database refused ({kind}); nothing was changed")
