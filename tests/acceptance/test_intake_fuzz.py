"""Damaged files at the intake: whatever the bytes, an answer of our own, in bounded memory and time."""

import contextlib
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coread.domain.errors import CoreadError
from coread.domain.study import Origin
from coread.imaging.header import scan_header
from coread.imaging.planar import load_planar
from coread.phantoms.faults import part10_bytes, plain_radiograph
from coread.receive.folder import FolderSettings, take_file
from coread.store import Store, StoreSettings

MEMORY = 3 << 30
"""Address space a child may use: a size taken from a damaged header and believed would go beyond it."""
SECONDS = 5.0
_WHOLE = part10_bytes(plain_radiograph("fuzz", rows=32))
_HEADER = len(_WHOLE) - 32 * 32 * 2

Change = tuple[int, bytes]
changes = st.lists(
    st.tuples(st.integers(128, _HEADER), st.binary(min_size=1, max_size=8) | st.sampled_from([b"\xff" * 4, b"SQ"])),
    min_size=1,
    max_size=4,
)
ends = st.none() | st.integers(0, len(_WHOLE))


def damaged(spots: list[Change], end: int | None) -> bytes:
    """Overwrite bytes of the header, then cut."""
    data = bytearray(_WHOLE)
    for at, new in spots:
        data[at : at + len(new)] = new
    return bytes(data[:end])


def take(store: Store, path: Path) -> None:
    """Send one file through intake, header and pixels; everything but our own refusals escapes."""
    take_file(store, path, FolderSettings(folder=store.folder, durable=False), Origin("command"))
    with contextlib.suppress(CoreadError):
        load_planar(path, scan_header(path))


def fuzz(folder: Path, examples: int) -> None:
    """Run so many examples here; called in a child with a memory limit."""
    options = settings(
        max_examples=examples, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    unlimited = StoreSettings(folder=folder / "store", durable=False, warn_free_fraction=0.0, refuse_free_fraction=0.0)
    with Store.open(unlimited, migrate=True) as store:

        @options
        @given(changes, ends)
        def one(spots: list[Change], end: int | None) -> None:
            path = folder / "damaged.dcm"
            path.write_bytes(damaged(spots, end))
            began = time.monotonic()
            take(store, path)
            if time.monotonic() - began > SECONDS:
                raise TimeoutError(f"an object of {path.stat().st_size} bytes took too long")

        one()


@pytest.mark.parametrize("examples", [200, pytest.param(5000, marks=pytest.mark.slow)])
def test_damaged_files_end_as_our_own_answers_in_bounded_memory(tmp_path: Path, examples: int) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.acceptance.test_intake_fuzz", str(tmp_path), str(examples)],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=1500,
    )
    assert done.returncode == 0, done.stderr[-4000:]


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    fuzz(Path(sys.argv[1]), int(sys.argv[2]))
