"""A package cannot make its own proof so loose that it proves nothing."""

from pathlib import Path

import pytest

from coread.models.errors import GoldenMismatch
from coread.models.golden import Tolerance, golden_tolerance


def written(folder: Path, text: str) -> Path:
    (folder / "golden").mkdir()
    (folder / "golden/tolerance.json").write_text(text)
    return folder


def test_a_tolerance_is_taken_as_it_stands(tmp_path: Path) -> None:
    assert golden_tolerance(tmp_path) == Tolerance()
    text = '{"absolute": 0.01, "relative": 0.002, "differing_share": 0.001}'
    assert golden_tolerance(written(tmp_path, text)) == Tolerance(0.01, 0.002, 0.001)


@pytest.mark.parametrize(
    "text",
    [
        '{"absolute": Infinity, "relative": 0}',
        '{"absolute": NaN, "relative": 0}',
        '{"absolute": -1, "relative": 0}',
        '{"absolute": 0, "relative": 0.5}',
        '{"absolute": 0, "relative": 0, "differing_share": 1.0}',
        '{"absolute": 0}',
        "[]",
    ],
)
def test_one_that_would_let_everything_pass_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(GoldenMismatch):
        golden_tolerance(written(tmp_path, text))
