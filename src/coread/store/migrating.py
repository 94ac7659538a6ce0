"""Bringing the index to the schema that this code needs, one process at a time, with a copy made first."""

import fcntl
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

from coread.store.database import Database
from coread.store.errors import StoreMisconfigured
from coread.store.schema import REVISION

_MEND = "start `coread serve`, or run `coread doctor --migrate`, which copies the index and brings it up to date"


def check_schema(database: Database) -> None:
    """Raise StoreMisconfigured when the index is missing or of another schema."""
    found = schema_revision(database)
    if found != REVISION:
        what = "has no tables yet" if found is None else f"has schema {found}, this program needs {REVISION}"
        raise StoreMisconfigured(f"the index {what}: {_MEND}")


def schema_revision(database: Database) -> str | None:
    """Return the schema's revision, or ``None`` for an empty database."""
    try:
        with database.engine.connect() as connection:
            if not inspect(connection).has_table("alembic_version"):
                return None
            found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
            return found
    except DBAPIError as error:
        raise StoreMisconfigured(
            f"the index cannot be opened ({type(error.orig).__name__}); check database_url"
        ) from error


def migrate(database: Database, folder: Path) -> None:
    """Create or upgrade the schema; a no-op when it is current."""
    if schema_revision(database) == REVISION:
        return
    with _alone(folder):
        found = schema_revision(database)
        if found == REVISION:
            return
        if found is not None and database.engine.dialect.name == "sqlite":
            _copy_aside(Path(str(database.engine.url.database)), found)
        with database.engine.connect() as plain:
            connection = plain.execution_options(coread_write=True)
            with connection.begin():
                _upgrade(connection, found)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / ".migrating").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _copy_aside(index: Path, revision: str) -> Path:
    """Copy a SQLite index as it stands, open transactions of others left out."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    target = index.with_name(f"{index.stem}.before-{REVISION}.{revision}.{stamp}{index.suffix}")
    with closing(sqlite3.connect(index)) as source, closing(sqlite3.connect(target)) as copy:
        source.backup(copy)
    return target


def _upgrade(connection: Connection, found: str | None) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(8317091)"))
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise StoreMisconfigured(f"the index has schema {found}, newer than this program: update Coread") from error
