"""What every test may ask for: the folder of real images, and programs that a test needs."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples in every run, so that a change which passes here passes there; `make test-full` draws others.
settings.register_profile("same", derandomize=True, database=None, deadline=None, print_blob=True)
settings.register_profile("other", deadline=None, print_blob=True)
settings.load_profile("other" if os.environ.get("COREAD_OTHER_EXAMPLES") else "same")

REPOSITORY = Path(__file__).resolve().parent.parent


def shared_folder() -> Path | None:
    """Return the folder of real, licensed images, or None where this machine has none."""
    named = os.environ.get("COREAD_SHARED", "")
    folder = Path(named) if named else REPOSITORY.parent / "shared"
    return folder / "data" if (folder / "data").is_dir() else None


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images; the test is skipped where it is absent."""
    folder = shared_folder()
    if folder is None:
        pytest.skip("real images are not here: set COREAD_SHARED or put them in ../shared")
    return folder


@pytest.fixture(scope="session")
def need_program() -> Callable[[str], str]:
    """Return the path of a program or skip the test with a line that says what to install."""

    def find(name: str) -> str:
        found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/lib/postgresql/15/bin")
        if found is None:
            pytest.skip(
                f"{name!r} is not installed (Debian: dcmtk, dicom3tools, dcm2niix, orthanc, postgresql, chromium, bart)"
            )
        return found

    return find
