"""The pages for writers of readers say what the code does."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from coread.domain.cards import InputContract, OperatingPoint, OutputSpec, ReaderCard, Resources
from coread.domain.reasons import MEANINGS, ReasonCode
from coread.readers.card_file import read_card

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize("record", [ReaderCard, InputContract, OutputSpec, OperatingPoint, Resources])
def test_every_key_of_the_card_is_on_its_page(record: type) -> None:
    page = (DOCS / "reference/reader-card.md").read_text(encoding="utf-8")
    missing = [item.name for item in fields(record) if f"`{item.name}`" not in page]
    assert [
        name for name in missing if f"[{name}]" not in page and f"[[{name}]]" not in page and name != "operating_points"
    ] == []


def test_the_card_on_the_page_is_a_whole_card(tmp_path: Path) -> None:
    page = (DOCS / "reference/reader-card.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    path = tmp_path / "card.toml"
    path.write_text(example, encoding="utf-8")
    assert read_card(path).reader_id == "square_finder"


@pytest.mark.parametrize("code", ReasonCode)
def test_every_reason_is_on_the_page_of_outcomes(code: ReasonCode) -> None:
    page = (DOCS / "explanation/outcomes.md").read_text(encoding="utf-8")
    assert f"| `{code.value}` | {MEANINGS[code]} |" in page


def test_the_reader_on_the_page_is_a_reader() -> None:
    page = (DOCS / "how-to/write-a-reader.md").read_text(encoding="utf-8")
    code = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0]
    names: dict[str, object] = {}
    exec(compile(code, "write-a-reader.md", "exec"), names)
    assert callable(names["reader"])
