"""Places of the body and the states they are called: "heart size is normal", "clear lungs", "blunting of the angle"."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from coread.reports.lexicon import SubjectRule
from coread.reports.phrases import Event
from coread.reports.records import Status
from coread.reports.scope import Assertion

_LOOSE = frozenset({"side", "place", "severity", "region", "either", "narrow", "acuity"})
_BREAKS = frozenset({"and", "or", "verb", "stop", "negation_before"})
_CONTRASTS = frozenset({"but", "although", "though", "yet"})
"""The place before them is still spoken of: "the heart is obscured but appears enlarged"."""
_OPPOSITE = {Status.PRESENT: Status.ABSENT, Status.ABSENT: Status.PRESENT, Status.UNCERTAIN: Status.UNCERTAIN}


class Judged(NamedTuple):
    """What a state of a place says about a finding."""

    finding: str
    status: Status
    implied: bool
    first: int
    last: int


def judged(events: Sequence[Event], states: Sequence[Assertion]) -> Iterator[Judged]:
    """Yield what the places of a sentence are called."""
    by_place = {(made.event.first, made.event.payload): made for made in states}
    for number, event in enumerate(events):
        if event.kind != "subject":
            continue
        rule: SubjectRule = event.payload
        found = _before(events, number, rule) or _after(events, number, rule)
        if found is None:
            continue
        made = by_place.get((found.first, found.payload))
        if made is None or made.status is None:
            continue
        for finding, status in rule.states[found.payload]:
            yield Judged(
                finding, _said(status, made), rule.implied, min(event.first, found.first), max(event.last, found.last)
            )


def _said(status: Status, made: Assertion) -> Status:
    if made.negated:
        return _OPPOSITE[status]
    return Status.UNCERTAIN if made.hedged and status is Status.PRESENT else status


def _before(events: Sequence[Event], number: int, rule: SubjectRule) -> Event | None:
    """The state that stands right before its place ("normal heart size"), unless it belongs to an earlier place."""
    subject = events[number]
    free = subject.first
    for back in range(number - 1, -1, -1):
        event = events[back]
        if event.kind in _BREAKS:
            return None
        if event.kind in _LOOSE:
            free = min(free, event.first) if free - event.last <= 2 else free
        if event.kind == "state":
            if free - event.last > 2 or event.payload not in rule.states:
                return None
            return None if _belongs_to_an_earlier_place(events, back) else event
    return None


def _belongs_to_an_earlier_place(events: Sequence[Event], number: int) -> bool:
    for event in reversed(events[:number]):
        if event.kind in ("and", "or", "stop"):
            return False
        if event.kind == "subject":
            return True
    return False


def _after(events: Sequence[Event], number: int, rule: SubjectRule) -> Event | None:
    """The first state after a place that says something about it ("heart and mediastinum are normal")."""
    verb = False
    parted = False
    for event in events[number + 1 :]:
        if event.first < events[number].last:
            continue
        if event.kind == "stop" and event.word in _CONTRASTS:
            continue
        if event.kind == "stop" or (event.kind == "subject" and (verb or parted)):
            return None
        if event.kind == "state" and event.payload in rule.states:
            return event
        verb = verb or event.kind == "verb"
        parted = parted or event.kind in ("state", "finding")
    return None
