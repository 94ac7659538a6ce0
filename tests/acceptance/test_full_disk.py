"""A file system that is really full: refused with words, nothing broken, and well again when there is room."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import Answer, Server
from tests.receive.making import ct_slice, part10

SETTINGS = """warn_free_fraction = 0
refuse_free_fraction = 0
settle_silence_seconds = 1
"""


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of 24 MiB."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only the superuser can mount a small file system")
    folder = tmp_path / "server" / "data"
    folder.mkdir(parents=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=False)


def send_slices(server: Server, folder: Path, numbers: range) -> Answer:
    """Send CT slices of half a megabyte, all of one study."""
    folder.mkdir()
    for number in numbers:
        (folder / f"{number:03d}.dcm").write_bytes(part10(ct_slice(number, side=512)))
    return server.send(folder)


def images(folder: Path) -> int:
    with contextlib.closing(sqlite3.connect(f"file:{folder / 'index.sqlite3'}?mode=ro", uri=True)) as index:
        return int(index.execute("SELECT count(*) FROM instances WHERE door <> 'own'").fetchone()[0])


@pytest.mark.slow
def test_a_full_disk_is_answered_a700_and_room_makes_it_well(small: Path, tmp_path: Path) -> None:
    server = Server(tmp_path / "server", extra=SETTINGS)
    try:
        server.start()
        (small / "filler").write_bytes(bytes(4 << 20))
        first = send_slices(server, tmp_path / "first", range(1, 61)).json()
        rows: list[dict[str, Any]] = first["files"]
        assert 0 < first["sent"] < 60
        assert {row["status"] for row in rows if not row["ok"]} == {0xA700}
        assert shutil.disk_usage(small).free < 600_000
        assert not list((small / "staging").glob("*.part"))
        assert server.get("/login").status_code == 200
        (small / "filler").unlink()
        second = send_slices(server, tmp_path / "second", range(61, 63)).json()
        assert second["failed"] == 0, second
        kept = first["sent"] + 2
        server.wait(lambda: images(small) == kept, f"{kept} images were acknowledged", seconds=30)
        assert {reader["outcome"] for reader in server.outcome("A1")["readers"]} == {"not_analysed"}
        assert not list((small / "staging").glob("*.ready"))
        assert server.stop() == 0
    finally:
        server.kill()
