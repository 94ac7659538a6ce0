"""The tiny reader, installed in a folder of its own."""

from pathlib import Path

import pytest

from coread.readers.registry import InstalledReader
from coread.validate.reader_choice import chosen_reader, make_importable
from tests.models.tiny_reader import write_tiny_reader


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> InstalledReader:
    folder = write_tiny_reader(tmp_path_factory.mktemp("packages") / "tiny_square_measured")
    reader = chosen_reader(folder)
    make_importable(reader)
    return reader


@pytest.fixture
def cohort_folder(tmp_path: Path) -> Path:
    return tmp_path / "cohort"
