"""Every installed reader passes every check of the suite; no author wrote a test for it."""

from typing import Any

import pytest
from pydicom.sr._concepts_dict import concepts

from coread.engine.conformance import CheckOutcome, CheckStatus, check_reader
from coread.engine.conformance.card import codes_of
from coread.readers.registry import InstalledReader, reader_listing

READERS = reader_listing().readers


@pytest.fixture(scope="module", params=READERS, ids=[item.card.reader_id for item in READERS])
def outcomes(request: pytest.FixtureRequest) -> tuple[CheckOutcome, ...]:
    return check_reader(request.param)


@pytest.fixture(params=READERS, ids=[item.card.reader_id for item in READERS])
def installed(request: pytest.FixtureRequest) -> InstalledReader:
    reader: InstalledReader = request.param
    return reader


def test_no_reader_is_broken() -> None:
    assert reader_listing().problems == ()


def test_every_check_passes(outcomes: tuple[CheckOutcome, ...]) -> None:
    failed = [f"{item.name}: {item.detail}" for item in outcomes if item.status is CheckStatus.FAILED]
    assert failed == []


def test_the_samples_tell_something(outcomes: tuple[CheckOutcome, ...]) -> None:
    passed = {item.name for item in outcomes if item.status is CheckStatus.PASSED}
    assert "a fitting image is read" in passed


def test_codes_that_pydicom_knows_have_its_meaning(installed: InstalledReader) -> None:
    for output in installed.card.outputs:
        for code in codes_of(output):
            known = _meanings(code.scheme, code.value)
            assert not known or any(code.meaning.lower() == meaning.lower() for meaning in known), (code, known)


def _meanings(scheme: str, value: str) -> set[str]:
    entries: dict[str, Any] = concepts.get(scheme, {})
    found: set[str] = set()
    for numbers in entries.values():
        found |= {meaning for number, (meaning, _) in numbers.items() if number == value}
    return found
