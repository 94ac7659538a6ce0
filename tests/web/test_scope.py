"""With many readers installed, a page shows the answers that matter for the study and sets the others aside."""

import itertools
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from coread.app.scope import in_front
from coread.domain.reasons import Reason, ReasonCode
from coread.domain.results import Outcome
from coread.domain.study import SettledReason
from coread.domain.work import RoutingDecision
from tests.web import world
from tests.web.conftest import Site, post


@dataclass(frozen=True)
class Answer:
    outcome: Outcome | None
    reason: Reason | None = None


POSITIVE, UNDER_WAY = Answer(Outcome.POSITIVE), Answer(None)
CHILD = Answer(Outcome.NOT_ANALYSED, Reason(ReasonCode.WRONG_AGE))
OTHER = Answer(Outcome.NOT_ANALYSED, Reason(ReasonCode.WRONG_MODALITY, "CT"))


def split(*answers: Answer) -> tuple[tuple[Answer, ...], tuple[Answer, ...]]:
    return in_front(answers, lambda one: one.outcome, lambda one: one.reason)


def test_readers_of_other_kinds_of_study_stand_aside_in_any_order() -> None:
    for order in itertools.permutations((POSITIVE, CHILD, OTHER, UNDER_WAY)):
        assert split(*order) == ((POSITIVE, UNDER_WAY, CHILD), (OTHER,))


def test_a_single_answer_is_shown_whatever_it_says() -> None:
    assert split(OTHER) == ((OTHER,), ())
    assert split(OTHER, OTHER) == ((), (OTHER, OTHER))
    assert split() == ((), ())


def decide(site: Site, uid: str, reasons: dict[str, Reason]) -> None:
    study = site.store.settle(uid, SettledReason.ASSOCIATION_COMPLETE, "complete")
    decisions = [
        RoutingDecision(uid, study.generation, name, "1.0", False, (), reason, datetime.now(UTC))
        for name, reason in reasons.items()
    ]
    site.store.record_decisions(decisions)


@pytest.mark.parametrize(
    ("reasons", "said"),
    [
        (
            {
                "chest": Reason(ReasonCode.WRONG_AGE, "patient is 3 years old"),
                "breast": Reason(ReasonCode.WRONG_MODALITY),
            },
            ("patient is 3 years old", "1 reader reads other kinds of study"),
        ),
        (
            {"brain": Reason(ReasonCode.WRONG_BODY_PART), "breast": Reason(ReasonCode.WRONG_MODALITY)},
            ("no installed reader reads this kind of study", "2 readers were asked"),
        ),
    ],
)
def test_the_worklist_and_the_case_say_it_in_one_line(
    ward: Site, reasons: dict[str, Reason], said: tuple[str, str]
) -> None:
    uid = world.send(ward.store, world.chest(3, rows=64))
    decide(ward, uid, reasons)
    client = ward.logged_in("radiologist")
    page = client.get("/").text
    assert all(text in page for text in said)
    case = client.get(f"/case/{uid}").text
    assert ("No installed reader reads this kind of study" in case) == (said[1] == "2 readers were asked")
    assert "modality is not one the reader was validated for" in case.lower()
    assert post(client, "/worklist/rows", outcome="not_analysed") == 200
