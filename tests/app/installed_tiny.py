"""The tiny reader installed as an outside package, for tests of what a site does with its versions."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from coread.app.settings import Settings
from coread.app.site_models import SiteReaders
from coread.models.validations import attach_validation
from coread.models.versions import Release
from tests.acceptance.conftest import PROGRAM, Answer
from tests.models.releases import release, validation
from tests.models.tiny_reader import write_tiny_reader


@contextmanager
def tiny_package(place: Path) -> Iterator[Path]:
    """Install the tiny reader below ``place`` with its entry point, importable here."""
    folder = write_tiny_reader(place / "tiny_switched")
    (folder / "README.md").write_text("# Tiny\n")
    information = place / "tiny_switched-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-switched\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[coread.readers]\ntiny = tiny_switched\n")
    sys.path.insert(0, str(place))
    yield place
    sys.path.remove(str(place))
    for name in [name for name in sys.modules if name.startswith("tiny_switched")]:
        del sys.modules[name]


def installed(site: SiteReaders, folder: Path, **changes: Any) -> Release:
    """Make, install and validate a version."""
    locked = release(folder, **changes)
    found = site.models.install(folder)
    attach_validation(found.folder, found.digest, validation(Path(f"{folder}-v"), locked.package.digest))
    return found


def command(code: Path, settings: Settings, *words: str | Path) -> Answer:
    """Run the installed command where the tiny reader is installed too."""
    environment = os.environ | {"PYTHONPATH": str(code), "COREAD_REQUIRE_SIGNATURE": settings.require_signature.value}
    done = subprocess.run(
        [*PROGRAM, "--folder", str(settings.folder), *map(str, words)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
        check=False,
    )
    return Answer(done.returncode, done.stdout, done.stderr)
