"""The fast path says what the plain one says, on the hard sentences and on what chance makes of their words."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coread.reports import label_report
from coread.reports.lexicon import finding_phrases, lexicon
from coread.reports.reading import forget, read_sentence
from coread.reports.sentences import _BORDER, lowered, sentences
from tests.reports.plain_path import plain_borders, read_plainly, stated
from tests.reports.suite_cases import cases

TEXTS = [case.text for part in ("development", "held_back") for case in cases(part)]
SPOKEN = sorted(
    {low[one.start : one.end] for text in TEXTS for low in (lowered(text),) for one in sentences(text, low)}
)
VOCABULARY = sorted(lexicon().vocabulary)
OTHERS = [
    "5 mm",
    "1.2 x 0.8 cm",
    "qwerty",
    "12/3/2024",
    "-",
    "x-ray",
    "effusoin",
    "$",
    "_-a",
    "é-b",
    "no",
    ",",
    "or",
    "(2)",
]


def differing(found: list[str]) -> list[str]:
    return [sentence for sentence in found if stated(read_sentence(sentence)) != read_plainly(sentence)]


def test_every_hard_sentence_is_read_as_the_plain_path_reads_it() -> None:
    assert len(SPOKEN) > 900
    assert differing(SPOKEN) == []


def test_other_numbers_and_names_in_a_remembered_sentence_change_only_places_and_sizes() -> None:
    read_sentence("a 5 mm nodule in the left lung")
    other = "a 12.5 mm nodule (smith) in the left lung"
    assert stated(read_sentence(other)) == read_plainly(other)
    assert [mention.size_mm for mention in read_sentence(other).mentions] == [12.5, 12.5]


def test_shuffled_hard_sentences_and_phrases_are_read_the_same() -> None:
    draw = random.Random(3)
    made = [" ".join(draw.sample(words, len(words))) for words in map(str.split, SPOKEN[:600])]
    phrases = [phrase for _, phrase in finding_phrases()]
    made += [
        f"{draw.choice(VOCABULARY)} {draw.choice(phrases)} {draw.choice(OTHERS)} {draw.choice(phrases)}"
        for _ in range(600)
    ]
    assert differing(made) == []


@given(st.lists(st.one_of(st.sampled_from(VOCABULARY), st.sampled_from(OTHERS)), max_size=25).map(" ".join))
def test_any_words_are_read_the_same(sentence: str) -> None:
    assert differing([lowered(sentence)]) == []


@given(st.text(alphabet=" .?!;\n)(1234ab", max_size=60))
def test_borders_stand_where_the_plain_search_finds_them(low: str) -> None:
    assert [match.end() for match in _BORDER.finditer(low)] == plain_borders(low)


@pytest.mark.parametrize("text", TEXTS[::9])
def test_what_was_read_before_changes_no_answer(text: str) -> None:
    remembered = label_report(text)
    forget()
    assert label_report(text) == remembered
