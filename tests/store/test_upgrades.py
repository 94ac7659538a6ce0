"""Opening, upgrading, and refusing an index of another schema."""

import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from coread.domain.errors import Misconfigured
from coread.store import Store, StoreSettings
from coread.store.database import Database
from coread.store.schema import REVISION, metadata
from tests.store.examples import receive


def test_an_empty_folder_is_refused_without_migration(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"coread serve.*--migrate"):
        Store.open(StoreSettings(tmp_path))


def test_an_index_of_another_schema_is_refused(tmp_path: Path) -> None:
    Store.open(StoreSettings(tmp_path), migrate=True).close()
    with sqlite3.connect(tmp_path / "index.sqlite3") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(Misconfigured, match="9999"):
        Store.open(StoreSettings(tmp_path))


def test_a_newer_index_is_refused_even_with_migration_and_a_copy_is_left(tmp_path: Path) -> None:
    with Store.open(StoreSettings(tmp_path), migrate=True) as store:
        uid = receive(store)
    with sqlite3.connect(tmp_path / "index.sqlite3") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(Misconfigured, match="newer"):
        Store.open(StoreSettings(tmp_path), migrate=True)
    (copy,) = tmp_path.glob("index.before-*.sqlite3")
    with sqlite3.connect(copy) as connection:
        assert connection.execute("SELECT study_uid FROM studies").fetchall() == [(uid,)]
    connection.close()


def test_opening_again_changes_nothing(settings: StoreSettings) -> None:
    with Store.open(settings, migrate=True) as store:
        uid = receive(store)
    with Store.open(settings, migrate=True) as store:
        assert store.study(uid) is not None
    assert list(settings.folder.glob("*.before-*")) == []


def test_an_index_from_before_corrections_is_upgraded_with_what_it_holds(settings: StoreSettings) -> None:
    with Store.open(settings, migrate=True) as store:
        uid = receive(store)
    database = Database(settings)
    with database.engine.connect().execution_options(coread_write=True) as connection, connection.begin():
        connection.execute(text("DROP TABLE corrections"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    database.close()
    with pytest.raises(Misconfigured, match="0001"):
        Store.open(settings)
    with Store.open(settings, migrate=True) as store:
        assert store.study(uid) is not None
        assert store.corrections.of_study(uid) == ()


def test_the_migrations_make_exactly_the_tables_of_the_code(settings: StoreSettings) -> None:
    database = Database(settings)
    with database.engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
    database.close()
    assert differences == []


def test_a_database_that_cannot_be_reached_is_a_setting_to_mend(tmp_path: Path) -> None:
    settings = StoreSettings(tmp_path, "postgresql+pg8000://nobody@127.0.0.1:1/none")
    with pytest.raises(Misconfigured, match="database_url"):
        Store.open(settings)
    assert REVISION == "0002"
