"""Every test of the store runs on SQLite and, where it is installed, on PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from coread.store import Store, StoreSettings
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


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StoreSettings]:
    if request.param == "sqlite":
        yield StoreSettings(tmp_path / "store", durable=False)
        return
    started: postgres.Server = request.getfixturevalue("server")
    with started.database(request.getfixturevalue("template")) as name:
        yield StoreSettings(tmp_path / "store", started.url(name), durable=False)


@pytest.fixture
def store(settings: StoreSettings) -> Iterator[Store]:
    with Store.open(settings, migrate=True) as opened:
        yield opened
