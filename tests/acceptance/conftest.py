"""The installed command in a process of its own, and a server with real processes."""

import contextlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydicom.dataset import Dataset

from coread.phantoms.chest import ChestRecipe, chest_radiograph
from coread.phantoms.dx import Identity

PROGRAM = (sys.executable, "-m", "coread")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command said."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


def coread(*words: str | Path, timeout: float = 120, cwd: Path | None = None) -> Answer:
    """Run the installed command."""
    done = subprocess.run(
        [*PROGRAM, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        stdin=subprocess.DEVNULL,
        cwd=cwd,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def command() -> Callable[..., Answer]:
    return coread


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(slots=True)
class Server:
    """A running ``coread serve``."""

    folder: Path
    http_port: int = field(default_factory=free_port)
    dicom_port: int = field(default_factory=free_port)
    extra: str = ""
    password: str = ""
    certificate: Path | None = None
    """The authority for HTTPS; without one the pages come over HTTP."""
    process: "subprocess.Popen[str] | None" = None

    @property
    def settings(self) -> Path:
        return self.folder / "coread.toml"

    @property
    def url(self) -> str:
        return f"{'https' if self.certificate else 'http'}://127.0.0.1:{self.http_port}"

    def get(self, path: str, **options: Any) -> httpx.Response:
        """Ask for a page, as somebody who trusts the server's certificate."""
        trusted = ssl.create_default_context(cafile=self.certificate) if self.certificate else True
        return httpx.get(f"{self.url}{path}", timeout=5, verify=trusted, **options)

    @property
    def log(self) -> str:
        path = self.folder / "server.log"
        return path.read_text(errors="replace") if path.is_file() else ""

    def start(self) -> "Server":
        self.folder.mkdir(parents=True, exist_ok=True)
        text = f'folder = "{self.folder / "data"}"\nhttp_port = {self.http_port}\ndicom_port = {self.dicom_port}\n'
        self.settings.write_text(text + self.extra)
        with (self.folder / "server.log").open("a") as log:
            self.process = subprocess.Popen(
                [*PROGRAM, "--settings", str(self.settings), "serve"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, text=True, start_new_session=True,
            )  # fmt: skip
        self.wait(self._ready, "the server did not start", seconds=120)
        found = re.search(r"password \(shown once\): (\S+)", self.log)
        self.password = found.group(1) if found else self.password
        return self

    def stop(self) -> int:
        """Ask it to finish; returns its exit status."""
        if self.process is None:
            return 0
        self.process.terminate()
        try:
            return self.process.wait(timeout=40)
        finally:
            self.kill()

    def kill(self) -> None:
        """Kill every process of it at once, as a power cut would."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(timeout=10)
            self.process = None

    def wait(self, ready: Callable[[], Any], problem: str, *, seconds: float = 60) -> Any:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = ready()
            if found:
                return found
            if self.process is None or self.process.poll() is not None:
                break
            time.sleep(0.1)
        pytest.fail(f"{problem}\n{self.log[-4000:]}")

    def run(self, *words: str | Path) -> Answer:
        """Run a command with this server's settings."""
        return coread("--settings", self.settings, *words)

    def send(self, *paths: str | Path) -> Answer:
        return coread("send", *paths, "--to", f"127.0.0.1:{self.dicom_port}", "--json")

    def story(self, accession: str) -> Any:
        answer = self.run("why", accession, "--json")
        return answer.json() if answer.code == 0 else None

    def outcome(self, accession: str, *, seconds: float = 120) -> Any:
        """Wait until every reader has an outcome for the study; returns the story."""

        def ended() -> Any:
            story = self.story(accession)
            done = story and story["readers"] and all(reader["outcome"] for reader in story["readers"])
            return story if done else None

        return self.wait(ended, f"no outcome for {accession}", seconds=seconds)

    def _ready(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.dicom_port), timeout=1).close()
            return self.get("/login").status_code == 200
        except (OSError, httpx.HTTPError):
            return False


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Return a starter of servers; all of them are gone after the test."""
    servers: list[Server] = []

    def make(extra: str = "", certificate: Path | None = None) -> Server:
        server = Server(tmp_path / f"server{len(servers)}", extra=extra, certificate=certificate)
        servers.append(server)
        return server.start()

    yield make
    for server in servers:
        server.kill()


def chest(story: Any) -> Any:
    """Return what the chest reader made of a study."""
    return next(reader for reader in story["readers"] if reader["reader_id"] == "chest_xray")


def radiograph(number: int, *findings: str, rows: int = 512, **changes: Any) -> Dataset:
    """A generated chest radiograph with an accession number of its own."""
    identity = Identity(
        patient_name=f"SYNTHETIC^TEST{number:02d}",
        patient_id=f"TEST-{number:03d}",
        accession_number=f"TEST-{number:03d}",
        uid_seed=f"acceptance-{number}-{findings}",
    )
    recipe = ChestRecipe(seed=number, findings=findings, rows=rows, size=0.9, identity=identity, **changes)
    return chest_radiograph(recipe).dataset


def save(dataset: Dataset, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path
