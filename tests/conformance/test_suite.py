"""The conformance suite passes a sound reader and catches each way to break the contract."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coread.domain.codes import ABSENT, BILATERAL, CHEST, INDETERMINATE, LEFT, PRESENT, RIGHT
from coread.domain.images import PlanarImage, Quantity
from coread.domain.reading import ReaderInputs
from coread.engine.conformance import CheckStatus, check_reader
from coread.engine.conformance.card import is_snomed_identifier
from coread.engine.samples import inputs_of, sample_inputs
from coread.models.package import lock_package
from coread.readers.card_file import read_card
from coread.readers.registry import InstalledReader, inspect_reader
from tests.models.tiny_reader import CARD, READER, write_tiny_reader
from tests.route.studies import header


def sample(row: int, column: int, number: int) -> ReaderInputs:
    pixels = np.random.default_rng(number).random((256, 256), dtype=np.float32) * np.float32(0.1)
    pixels[row : row + 16, column : column + 16] = 1.0
    described = header(number, rows=256, columns=256)
    return inputs_of([PlanarImage(pixels, Quantity.DISPLAY, described, spacing_mm=(0.5, 0.5))])


SAMPLES = (sample(64, 160, 1), sample(96, 32, 2), sample(0, 0, 3))


@pytest.fixture
def packages(tmp_path: Path) -> Iterator[Path]:
    before = set(sys.modules)
    sys.path.insert(0, str(tmp_path))
    yield tmp_path
    sys.path.remove(str(tmp_path))
    for name in set(sys.modules) - before:
        if name.partition(".")[0] == "tiny_checked":
            del sys.modules[name]


def install(packages: Path, card: str = CARD, code: str = READER) -> InstalledReader:
    folder = write_tiny_reader(packages / "tiny_checked", card=card, code=code)
    (folder / "README.md").write_text("For tests.")
    return inspect_reader("tiny_checked", folder)


def failed(installed: InstalledReader) -> list[str]:
    outcomes = check_reader(installed, SAMPLES)
    return [outcome.name for outcome in outcomes if outcome.status is CheckStatus.FAILED]


def test_a_sound_reader_passes_every_check(packages: Path) -> None:
    outcomes = check_reader(install(packages), SAMPLES)
    assert [(outcome.name, outcome.detail) for outcome in outcomes if outcome.status is not CheckStatus.PASSED] == []
    assert len(outcomes) == 19


@pytest.mark.parametrize(
    ("old", "new", "caught"),
    [
        ("column * width, row * height", "width * 15, row * height", "a mirrored image gives a mirrored result"),
        ("rows, columns = (", "image.pixels[0, 0] = 0\n        rows, columns = (", "the input is not changed"),
        (
            'float(outputs["logit"][0, 0])',
            'float(outputs["logit"][0, 0]) + np.random.rand()',
            "reading twice gives the same",
        ),
        ("if not np.isfinite(image.pixels).all():", "if False:", "pixels that are not numbers are refused"),
        ("if float(np.ptp(image.pixels)) == 0.0:", "if False:", "constant pixels are refused"),
        ("if min(image.pixels.shape) <", "if 0 >", "too small an image, or too few slices, are refused"),
        ("if image.header.modality not in", "if '' in", "a wrong modality is refused"),
        ("if image.quantity is not", "if None is not", "a fitting image is read"),
        ("image.quantity is not Quantity.DISPLAY", "False", "pixels of another meaning are refused"),
        ("if not inputs.images:", "if False:", "no image at all is refused"),
        ("image = sorted(inputs.images, key=brightest)[-1]", "image = inputs.images[0]", "the order of the images"),
        ("point.threshold,", "0.7,", "findings are the outputs that the card declares"),
        ("row, column = int(row), int(column)", "pass", "a result comes out of the store as it went in"),
        ("return Prepared(", "import time\n        time.sleep(0.2)\n        return Prepared(", "its time and memory"),
        ("return Prepared(", "np.ones(1 << 24)\n        return Prepared(", "its time and memory"),
    ],
)
def test_each_broken_promise_is_caught(packages: Path, old: str, new: str, caught: str) -> None:
    assert old in READER
    card = CARD.replace("seconds = 20.0", "seconds = 0.15").replace("memory_mb = 512", "memory_mb = 64")
    names = failed(install(packages, card=card, code=READER.replace(old, new, 1)))
    assert any(caught in name for name in names), names


@pytest.mark.parametrize(
    ("old", "new", "caught"),
    [
        ('limits = ["Knows only squares."]', "limits = []", "the card is complete"),
        ('training_data = ["none: the weights are written by hand"]', "training_data = []", "the card is complete"),
        ('value = "27925004"', 'value = "27925005"', "every code is well formed"),
        ('scheme = "SCT"', 'scheme = "MYCODES"', "every code is well formed"),
    ],
)
def test_each_flaw_of_a_card_is_caught(packages: Path, old: str, new: str, caught: str) -> None:
    assert failed(install(packages, card=CARD.replace(old, new, 1))) == [caught]


def test_a_missing_page_for_clinicians_is_caught(packages: Path) -> None:
    installed = install(packages)
    (installed.folder / "README.md").unlink()
    assert failed(installed) == ["the card is complete"]


def test_a_package_without_golden_cases_is_caught(packages: Path) -> None:
    installed = install(packages)
    (installed.model_folder / "golden/noise.npz").unlink()
    locked = lock_package(installed.model_folder, installed.card_path)
    assert failed(replace(installed, package_digest=locked.digest)) == ["golden cases reproduce on this machine"]


def test_a_reader_that_does_not_open_is_one_failed_check(packages: Path) -> None:
    installed = install(packages, code="raise RuntimeError('broken')")
    assert failed(installed) == ["the reader opens"]


def test_a_card_that_nothing_generated_fits_needs_samples(packages: Path) -> None:
    installed = install(packages, card=CARD.replace('body_parts = ["CHEST"]', 'body_parts = ["FOOT"]'))
    (outcome,) = check_reader(installed)
    assert "samples of your own" in outcome.detail


def test_generated_chests_fit_a_chest_card(tmp_path: Path) -> None:
    path = tmp_path / "card.toml"
    path.write_text(CARD)
    inputs = sample_inputs(read_card(path))
    assert len(inputs) == 4
    assert {image.header.modality for item in inputs for image in item.images} == {"DX"}


def test_our_own_codes_have_a_sound_check_digit() -> None:
    for code in (PRESENT, ABSENT, INDETERMINATE, CHEST, LEFT, RIGHT, BILATERAL):
        assert is_snomed_identifier(code.value)


@given(st.integers(0, 9))
def test_one_wrong_digit_is_never_a_snomed_identifier(digit: int) -> None:
    value = PRESENT.value
    for place in range(len(value)):
        changed = value[:place] + str(digit) + value[place + 1 :]
        assert is_snomed_identifier(changed) == (changed == value)
