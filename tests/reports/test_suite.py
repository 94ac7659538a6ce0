"""The development part is right as a whole; the held-back part stays at what was measured once."""

import pytest

from tests.reports.suite_cases import Case, answered, cases


@pytest.mark.parametrize("case", cases("development"), ids=lambda case: case.text[:60])
def test_a_hard_sentence_gets_its_labels(case: Case) -> None:
    assert answered(case) == case.expect


def test_the_suite_is_as_large_as_promised() -> None:
    assert len(cases("development")) + len(cases("held_back")) >= 400
    texts = [case.text for part in ("development", "held_back") for case in cases(part)]
    assert len(set(texts)) == len(texts)


def test_the_held_back_part_stays_at_what_was_measured_or_better() -> None:
    held_back = cases("held_back")
    assert sum(answered(case) == case.expect for case in held_back) >= 142
