"""What a shipped reader's card states is what its validation record holds, for exactly the package that is shipped."""

from pathlib import Path

import pytest

from coread.readers.registry import InstalledReader, reader_listing
from coread.validate.card_numbers import VALIDATION_FILE, check_record
from coread.validate.report_json import read_report

READERS = reader_listing().readers
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(params=READERS, ids=[item.card.reader_id for item in READERS])
def recorded(request: pytest.FixtureRequest) -> InstalledReader:
    reader: InstalledReader = request.param
    if not (reader.folder / VALIDATION_FILE).is_file():
        pytest.skip(
            f"{reader.card.reader_id} has no {VALIDATION_FILE} yet: its card states how it was measured instead"
        )
    return reader


def test_card_and_record_agree(recorded: InstalledReader) -> None:
    assert check_record(recorded) == []


def test_the_record_holds_no_single_cases_and_no_paths_of_a_machine(recorded: InstalledReader) -> None:
    path = recorded.folder / VALIDATION_FILE
    report = read_report(path)
    assert report["worst"] == []
    assert report.get("worst_masks", []) == []
    assert "comparison" not in report
    text = path.read_text(encoding="utf-8")
    assert "/home/" not in text
    assert str(REPOSITORY.parent) not in text
    assert path.stat().st_size < 300_000
