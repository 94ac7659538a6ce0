"""Every test of the store runs on SQLite and, where it is installed, on PostgreSQL."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from coread.store import Store, StoreSettings
from coread.store.schema import metadata
from tests.store import postgres


@pytest.fixture(scope="session")
def server() -> Iterator[postgres.Server]:
    if why := postgres.why_absent():
        pytest.skip(why)
    with postgres.running_server() as started:
        yield started


@pytest.fixture(scope="session")
def template(server: postgres.Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of a migrated, empty database that others are copied from."""
    with server.database() as name:
        settings = StoreSettings(tmp_path_factory.mktemp("template"), server.url(name), durable=False)
        Store.open(settings, migrate=True).close()
        yield name


@pytest.fixture(scope="session")
def empty_index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite index that others are copied from."""
    folder = tmp_path_factory.mktemp("empty")
    Store.open(StoreSettings(folder, durable=False), migrate=True).close()
    return folder / "index.sqlite3"


@pytest.fixture(scope="module")
def database(server: postgres.Server, template: str) -> Iterator[str]:
    """A database for one test module."""
    with server.database(template) as name:
        yield name


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> StoreSettings:
    folder = tmp_path / "store"
    folder.mkdir()
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("empty_index"), folder)
        return StoreSettings(folder, durable=False)
    name: str = request.getfixturevalue("database")
    started: postgres.Server = request.getfixturevalue("server")
    started.empty(name, [table.name for table in metadata.sorted_tables])
    return StoreSettings(folder, started.url(name), durable=False)


@pytest.fixture
def store(settings: StoreSettings) -> Iterator[Store]:
    with Store.open(settings) as opened:
        yield opened
