"""Laws of the labeler, on generated texts and on every phrase of the rules."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coread.reports import FINDINGS, Status, label_report, weak_labels
from coread.reports.lexicon import FindingRule, finding_phrases, lexicon
from coread.reports.patterns import expand, words
from coread.reports.records import HEMORRHAGES
from coread.reports.sentences import lowered
from tests.reports.suite_cases import cases, statuses

PLAIN = [c.text for c in cases("development") if "\n" not in c.text and "by-case" not in c.tags]
ONE_SENTENCE = [
    c.text
    for c in cases("development")
    if not {"sections", "addendum", "head", "pe", "lvo", "other-organ", "abbreviation", "size", "linebreak", "list"}
    & set(c.tags)
    and "\n" not in c.text
    and ":" not in c.text
]
VOCABULARY = sorted(lexicon().vocabulary)
UNRELATED = [
    "The patient tolerated the procedure well.",
    "Dr. Smith was informed by telephone at 10:15 AM.",
    "Images were reviewed on the workstation.",
]


def test_capitals_say_nothing() -> None:
    assert [text for text in PLAIN if not statuses(text.upper()) == statuses(text) == statuses(text.lower())] == []


def broken(text: str) -> str:
    draw = random.Random(text)
    return "".join(draw.choice([" ", "  ", "\n", "\t", " \n  "]) if c == " " else c for c in text.lower())


def test_spaces_and_line_breaks_say_nothing() -> None:
    headings = ("EXAM", "COMPARISON", "TECHNIQUE")
    texts = [text for text in PLAIN if not any(heading in text for heading in headings)]
    assert [text for text in texts if statuses(broken(text)) != statuses(text)] == []


@given(st.permutations(ONE_SENTENCE), st.integers(2, 6))
def test_the_order_of_sentences_in_a_section_says_nothing(order: list[str], count: int) -> None:
    chosen = order[:count]
    assert statuses(" ".join(chosen)) == statuses(" ".join(reversed(chosen)))


def test_an_unrelated_sentence_changes_nothing() -> None:
    for text in ONE_SENTENCE:
        assert label_report(f"{text} {' '.join(UNRELATED)}").labels == label_report(text).labels
        assert statuses(f"{UNRELATED[0]} {text}") == statuses(text)


def flips(rule: FindingRule, phrase: str) -> bool:
    """ "There is X" is present (or open), "No evidence of X" is absent."""
    there = {m.finding: m.status for m in label_report(f"There is {phrase}.").mentions}
    denied = {m.finding: m.status for m in label_report(f"No evidence of {phrase}.").mentions}
    here = Status.UNCERTAIN if rule.status is Status.UNCERTAIN else Status.PRESENT
    return all(there.get(key) is here and denied.get(key) is Status.ABSENT for key in rule.keys)


def plain_phrases() -> list[tuple[FindingRule, str]]:
    left_out = (Status.ABSENT,)
    return [
        (rule, phrase)
        for rule, phrase in finding_phrases()
        if not rule.only_negated and not rule.either and rule.status not in left_out and rule.keys != ("no_finding",)
    ]


def test_no_evidence_of_flips_every_phrase_of_the_rules() -> None:
    sample = random.Random(1).sample(plain_phrases(), 600)
    assert [phrase for rule, phrase in sample if not flips(rule, phrase)] == []


@pytest.mark.slow
def test_no_evidence_of_flips_every_phrase_without_exception() -> None:
    assert [phrase for rule, phrase in plain_phrases() if not flips(rule, phrase)] == []


TEXTS = st.one_of(
    st.text(max_size=300),
    st.lists(
        st.one_of(
            st.sampled_from(VOCABULARY),
            st.sampled_from(
                [".", ",", "\n", "IMPRESSION:", "FINDINGS:", "5 mm", "?", "no", ":", "\n\n", "İ", "’", "\t"]
            ),
        ),
        max_size=60,
    ).map(" ".join),
)


@given(TEXTS)
def test_any_text_is_answered_and_evidence_lies_in_it(text: str) -> None:
    report = label_report(text)
    assert [label.finding for label in report.labels] == sorted(
        {label.finding for label in report.labels}, key=FINDINGS.index
    )
    known = lexicon()
    for mention in (*report.labels, *report.mentions):
        assert 0 <= mention.start < mention.end <= len(text)
        evidence = [word for word, _, _ in words(lowered(text[mention.start : mention.end]))]
        assert evidence
        assert evidence[0] in known.vocabulary or len(evidence[0]) >= 3


@given(TEXTS)
def test_the_same_text_gets_the_same_answer(text: str) -> None:
    assert label_report(text) == label_report(text)


@given(st.text(max_size=200))
def test_lower_case_keeps_every_position(text: str) -> None:
    assert len(lowered(text)) == len(text)


@given(TEXTS)
def test_weak_labels_say_what_the_labels_say(text: str) -> None:
    weak = weak_labels(text)
    report = label_report(text)
    for finding, value in weak.values.items():
        status = report.status(finding)
        if status is Status.PRESENT:
            assert value == 1.0
        elif status is Status.ABSENT:
            assert value == 0.0
        elif finding not in HEMORRHAGES:
            assert math.isnan(value)
        assert (finding in weak.uncertainty) or math.isnan(value)


def test_the_pattern_language() -> None:
    assert expand("a (b|c)[ d]") == ("a b", "a b d", "a c", "a c d")
    assert expand("(x|y [z])") == ("x", "y", "y z")
