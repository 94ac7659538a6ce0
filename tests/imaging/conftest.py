"""Real objects for the tests of this room, unpacked once per run."""

import zipfile
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_folder(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All archives of real DICOM objects, each in a folder of its own name."""
    folder = tmp_path_factory.mktemp("dicom")
    for archive in sorted((shared_data / "dicom").glob("*.zip")):
        with zipfile.ZipFile(archive) as content:
            content.extractall(folder / archive.stem)
    return folder


@pytest.fixture(scope="session")
def real_objects(real_folder: Path) -> list[Path]:
    """Every file of the archives that has a DICM prefix."""
    files = [path for path in sorted(real_folder.rglob("*")) if path.is_file()]
    return [path for path in files if path.read_bytes()[128:132] == b"DICM"]
