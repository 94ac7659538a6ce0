"""A folder on the import path, where each test installs its own tiny reader."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def packages(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "packages"
    folder.mkdir()
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))
    for name in set(sys.modules) - before:
        if name.partition(".")[0].startswith("tiny_"):
            del sys.modules[name]
