"""A store with known content behind the DICOMweb router, for its tests."""

import hashlib
import io
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from email.parser import BytesParser
from email.policy import HTTP
from pathlib import Path
from typing import Any

import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal
from fastapi import FastAPI, Request

from coread.app.web.dicomweb import dicomweb_router
from coread.domain.study import Origin
from coread.imaging.header import scan_header
from coread.store import StagedFile, Store, StoreSettings


class AppClient:
    """Asks an ASGI application without a network: httpx behind an event loop in a thread."""

    def __init__(self, app: FastAPI, portal: BlockingPortal) -> None:
        self._client = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://coread.test")
        self._portal = portal

    def get(self, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        """GET."""
        return self._portal.call(lambda: self._client.get(path, headers=headers))

    def post(self, path: str, content: bytes, headers: dict[str, str]) -> httpx.Response:
        """POST."""
        return self._portal.call(lambda: self._client.post(path, content=content, headers=headers))


def allow_everybody(request: Request) -> None:
    """Let every request through."""


@contextmanager
def served_store(folder: Path) -> Iterator[tuple[Store, AppClient]]:
    """Yield an empty store and a client of the DICOMweb server over it."""
    with Store.open(
        StoreSettings(folder, durable=False, refuse_free_fraction=0.0, warn_free_fraction=0.0), migrate=True
    ) as store:
        app = FastAPI()
        app.include_router(dicomweb_router(store, allow_everybody), prefix="/dicomweb")
        with start_blocking_portal() as portal:
            yield store, AppClient(app, portal)


def add(store: Store, paths: Sequence[Path], door: str = "folder") -> None:
    """Put copies of files into the store."""
    staged = []
    for number, path in enumerate(paths):
        copy = store.staging_folder() / f"{number}-{path.name}"
        shutil.copyfile(path, copy)
        digest = hashlib.sha256(copy.read_bytes()).hexdigest()
        staged.append(StagedFile(copy, scan_header(copy), copy.stat().st_size, digest, Origin(door)))
    store.add_files(staged)


def unzipped(archive: Path, folder: Path) -> list[Path]:
    """Unpack an archive and return its files."""
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(folder)
    return sorted(path for path in folder.rglob("*") if path.is_file())


def parts_of(answer: Any) -> list[tuple[str, bytes]]:
    """Return (Content-Type, content) of each part of a multipart answer, read by Python's own parser."""
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    message = BytesParser(policy=HTTP).parse(io.BytesIO(head + answer.content))
    assert message.get_content_type() == "multipart/related"
    boundary = message.get_boundary()
    assert boundary
    # The standard library mends line ends of binary parts, so the contents are cut out by the boundary here.
    pieces = answer.content.split(f"\r\n--{boundary}".encode())
    parts = []
    for piece in pieces[1:-1]:
        header, _, body = piece.partition(b"\r\n\r\n")
        kind = next(line for line in header.decode().splitlines() if line.lower().startswith("content-type:"))
        parts.append((kind.split(":", 1)[1].strip(), body))
    assert pieces[-1].startswith(b"--")
    return parts
