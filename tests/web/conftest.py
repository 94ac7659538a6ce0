"""One filled store for the whole room (read), a fresh one for each test that changes something."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from fastapi import FastAPI

from coread.app.web.application import create_app
from coread.store import Store, StoreSettings
from tests.web import world
from tests.web.browser import TestClient


@dataclass(frozen=True, slots=True)
class Site:
    """A running installation without a network: store, people, studies, application."""

    store: Store
    passwords: dict[str, str]
    sent: dict[str, world.Sent]
    app: FastAPI

    def client(self) -> TestClient:
        """Return a browser that nobody has logged in with; it follows no redirects."""
        return TestClient(self.app, base_url="http://testserver", follow_redirects=False)

    def logged_in(self, role: str) -> TestClient:
        """Return a browser that is logged in with this role."""
        client = self.client()
        answer = log_in(client, role, self.passwords[role])
        if answer != 303:
            raise AssertionError(f"login answered {answer}")
        return client


def log_in(client: TestClient, name: str, password: str) -> int:
    """Fill in the login form as a browser does; returns the status."""
    form = client.get("/login").text
    token = form.split('name="csrf" value="')[1].split('"')[0]
    return int(client.post("/login", data={"name": name, "password": password, "csrf": token}).status_code)


def form_token(client: TestClient) -> str:
    """Return the token that our own pages carry."""
    return str(client.get("/account").text.split('<meta name="csrf" content="')[1].split('"')[0])


def post(client: TestClient, url: str, **values: object) -> int:
    """Send a form as our own page would; returns the status."""
    return int(client.post(url, data={"csrf": form_token(client), **values}).status_code)


@pytest.fixture(scope="session")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A store with one study of every kind; tests only read it."""
    with Store.open(StoreSettings(tmp_path_factory.mktemp("hospital"), durable=False), migrate=True) as store:
        passwords = world.add_people(store)
        sent = world.fill(store, rows=256)
        yield Site(store, passwords, sent, create_app(world.context(store)))


@pytest.fixture
def ward(tmp_path: Path) -> Iterator[Site]:
    """A store with one positive study, for tests that change something."""
    with Store.open(StoreSettings(tmp_path / "ward", durable=False), migrate=True) as store:
        passwords = world.add_people(store)
        image = world.chest(1, ("effusion",), rows=256)
        sent = {"positive": world.read_study(store, image, {"pneumothorax": 0.9, "effusion": 0.7}, evidence=False)}
        yield Site(store, passwords, sent, create_app(world.context(store)))
