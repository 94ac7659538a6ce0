"""A card is read strictly: every mistake is named with its file, its key and how to mend it."""

from pathlib import Path

import pytest

from coread.domain.cards import ReaderKind
from coread.domain.codes import Code
from coread.evidence.sr import described
from coread.readers.card_file import read_card
from coread.readers.errors import BadCard
from tests.models.tiny_reader import CARD


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "card.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_whole_card_becomes_a_record(tmp_path: Path) -> None:
    card = read_card(write(tmp_path, CARD))
    assert card.kind is ReaderKind.DETECTION
    assert card.input.min_age_years == 18.0
    assert card.input.max_age_years is None
    assert card.input.presentation == "planar"
    assert card.output("square").concept == Code("27925004", "SCT", "Nodule")
    sensitivity = card.output("square").operating_point().sensitivity
    assert sensitivity is not None
    assert sensitivity.n == 100
    assert card.output("square").auc is None


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('name = "Tiny square finder"\n', "", "'name' is missing"),
        ('name = "Tiny square finder"', 'name = "x"\ncolour = "red"', "'colour' is unknown"),
        ('name = "Tiny square finder"', "name = 3", "'name' must be text"),
        ('name = "Tiny square finder"', 'name = " "', "'name' is empty"),
        ('kind = "detection"', 'kind = "oracle"', "one of: triage, detection"),
        ("research_use = true", "research_use = false", "must be true"),
        ("research_use = true", 'research_use = "yes"', "true or false"),
        ("min_images = 1\n", "", "'input.min_images' is missing"),
        ("max_images = 4", "max_images = 0", "min <= max"),
        ("min_rows = 64", "min_rows = 0", "at least 1"),
        ("min_rows = 64", "min_rows = 64.5", "a whole number"),
        ('views = ["PA", "AP"]', 'views = "PA"', "'input.views' must be a list"),
        ('views = ["PA", "AP"]', "views = [1]", r"'input.views\[0\]' must be text"),
        ("min_age_years = 18", "min_age_years = 18\nmax_age_years = 2", "contradict"),
        ("seconds = 20.0", "seconds = 0", "above 0"),
        ('default_operating_point = "balanced"', 'default_operating_point = "other"', "'other'"),
        ("threshold = 0.5", "threshold = 1.5", "between 0 and 1"),
        ("low = 0.8", "low = 0.95", "contradicts itself"),
        ('key = "square"', 'key = "Square!"', "lower case"),
        ('value = "27925004"', 'value = "12345678901234567"', "1 to 16 characters"),
        ('reader_id = "tiny_square"', 'reader_id = "../x"', "reader_id"),
        ("[input]", "[input", "not valid TOML"),
        ("[input]", '[input]\npresentation = "solid"', "presentation"),
    ],
)
def test_each_mistake_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in CARD
    path = write(tmp_path, CARD.replace(old, new, 1))
    with pytest.raises(BadCard, match=said) as raised:
        read_card(path)
    assert str(path) in str(raised.value)


def test_two_outputs_with_one_key_are_refused(tmp_path: Path) -> None:
    outputs = CARD[CARD.index("[[outputs]]") :]
    with pytest.raises(BadCard, match="same key"):
        read_card(write(tmp_path, CARD + outputs))


def test_a_card_without_outputs_is_refused(tmp_path: Path) -> None:
    text = "outputs = []\n" + CARD[: CARD.index("[[outputs]]")]
    with pytest.raises(BadCard, match="at least one finding"):
        read_card(write(tmp_path, text))


def test_a_missing_or_binary_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadCard, match="is missing"):
        read_card(tmp_path / "card.toml")
    (tmp_path / "card.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadCard, match="cannot be read"):
        read_card(tmp_path / "card.toml")


def test_a_specificity_that_was_not_measured_is_left_out_and_not_invented(tmp_path: Path) -> None:
    kept = [line for line in CARD.splitlines() if not line.startswith("specificity")]
    card = read_card(write(tmp_path, "\n".join(kept)))
    point = card.output("square").operating_point()
    assert point.specificity is None
    assert "specificity not measured" in described(point)
