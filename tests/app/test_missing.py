"""What a story says was not done."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from coread.app.why import reader_story, what_is_missing
from coread.domain.codes import Code
from coread.domain.findings import Finding, Measurement, Presence
from coread.domain.reasons import Reason, ReasonCode
from coread.domain.results import Provenance, Reading, ReadResult, Refusal
from coread.domain.work import RoutingDecision
from coread.engine.samples import study_of
from tests.route.studies import header

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ML = Code("ml", "UCUM", "milliliter")
UNCLEAR = ReadResult((Finding("new", ML, Presence.INDETERMINATE),))
MEASURED = ReadResult((Finding("new", ML, Presence.NOT_ASSESSED),), (Measurement(ML, 1.0, ML),))


def missing(ending: ReadResult | Refusal) -> tuple[str, ...]:
    provenance = Provenance("follow_up", "1", "", "", "", "", NOW, NOW)
    decision = RoutingDecision("1.2", 0, "follow_up", "1", accepted=True)
    story = replace(reader_story(decision, None, Reading(ending, provenance), ()), objects=())
    return what_is_missing(study_of([header(1)]), (story,))


@pytest.mark.parametrize("result", [UNCLEAR, MEASURED])
def test_a_reader_that_was_not_sure_or_only_measured_has_read_the_study(result: ReadResult) -> None:
    assert missing(result) == ("follow_up: no result objects were made.",)


def test_a_refusal_was_not_done_and_says_why() -> None:
    (line,) = missing(Refusal(Reason(ReasonCode.NO_PRIOR)))
    assert line.startswith("follow_up: Not analysed, because: ")
