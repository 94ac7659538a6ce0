"""Readers are found by their cards; listing them imports no code; a broken one is told, never dropped."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from coread.readers.errors import BrokenReader
from coread.readers.registry import inspect_reader, installed_readers, load_reader, reader_listing
from tests.models.tiny_reader import CARD, READER, write_tiny_reader


@pytest.fixture
def packages(tmp_path: Path) -> Iterator[Path]:
    """A folder on the import path, as an installed package of readers would be."""
    sys.path.insert(0, str(tmp_path))
    yield tmp_path
    sys.path.remove(str(tmp_path))
    for name in [name for name in sys.modules if name.startswith("outside_")]:
        del sys.modules[name]


def test_a_reader_from_outside_is_listed_with_its_digest(packages: Path) -> None:
    folder = write_tiny_reader(packages / "outside_tiny")
    listing = reader_listing([("outside_tiny", folder)])
    (found,) = (item for item in listing.readers if item.card.reader_id == "tiny_square")
    assert found.package_digest == json.loads((folder / "model/manifest.json").read_text())["digest"]
    assert load_reader(found).card is found.card


def test_an_entry_point_is_found_without_importing_the_reader(packages: Path) -> None:
    write_tiny_reader(packages / "outside_point", code="raise RuntimeError('imported while listing')")
    information = packages / "outside_point-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: outside-point\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[coread.readers]\npoint = outside_point\nlost = outside_lost\n")
    listing = reader_listing()
    assert "tiny_square" in {item.card.reader_id for item in listing.readers}
    assert any("outside_lost" in item.problem for item in listing.problems)
    (found,) = (item for item in listing.readers if item.card.reader_id == "tiny_square")
    with pytest.raises(BrokenReader, match="imported while listing"):
        load_reader(found)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: (folder / "card.toml").write_text("nonsense"), "not valid TOML"),
        (lambda folder: (folder / "reader.py").unlink(), r"no reader\.py"),
        (lambda folder: (folder / "model/manifest.json").unlink(), "never locked"),
        (lambda folder: (folder / "model/manifest.json").write_text("{"), "cannot be read"),
        (lambda folder: (folder / "card.toml").write_text(CARD.replace("1.0.0", "1.0.1")), "is for tiny_square 1.0.0"),
    ],
)
def test_a_broken_reader_is_told(packages: Path, change: object, said: str) -> None:
    folder = write_tiny_reader(packages / "outside_broken")
    change(folder)  # type: ignore[operator]
    listing = reader_listing([("outside_broken", folder)])
    assert "tiny_square" not in {item.card.reader_id for item in listing.readers}
    (problem,) = (item for item in listing.problems if item.name == "outside_broken")
    assert re.search(said, problem.problem)


def test_two_readers_with_one_id_are_told(packages: Path) -> None:
    first = write_tiny_reader(packages / "outside_one")
    second = write_tiny_reader(packages / "outside_two")
    listing = reader_listing([("outside_one", first), ("outside_two", second)])
    assert [item.module for item in listing.readers if item.card.reader_id == "tiny_square"] == ["outside_one"]
    assert any("already taken" in item.problem for item in listing.problems)


def test_a_reader_that_drops_its_card_is_refused(packages: Path) -> None:
    code = READER.replace("return TinyReader(card)", "return TinyReader(None)")
    folder = write_tiny_reader(packages / "outside_other", code=code)
    with pytest.raises(BrokenReader, match="did not keep its card"):
        load_reader(inspect_reader("outside_other", folder))


def test_listing_loads_no_engine() -> None:
    code = (
        "import sys; from coread.readers.registry import reader_listing; reader_listing(); "
        "heavy = {'onnxruntime', 'openvino', 'torch', 'pydicom', 'sqlalchemy'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_listing_twice_gives_the_same() -> None:
    assert installed_readers() == installed_readers()
