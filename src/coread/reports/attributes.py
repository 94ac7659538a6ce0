"""What stands around a finding in its sentence: change, side, place, acuteness and size."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from coread.reports.phrases import Event
from coread.reports.records import Change, Side

SIZE = re.compile(
    r"(?<![\d.])(\d{1,3}(?:\.\d{1,2})?|\.\d{1,2})(?: {0,2}(mm|cm))?"
    r"(?: {0,2}(?:x|by|-|to|and) {0,2}(\d{1,3}(?:\.\d{1,2})?|\.\d{1,2})(?: {0,2}(?:mm|cm))?)?"
    r"(?: {0,2}(?:x|by) {0,2}(\d{1,3}(?:\.\d{1,2})?))?[ -]{0,2}(mm|cm|millimet(?:er|re)s?|centimet(?:er|re)s?)\b"
)
_NOT_A_SIZE = re.compile(
    r"[ -]*(?:above|below|from|proximal|distal|beyond|inferior|superior|to the|into|past|(?:of )?(?:midline|shift)"
    r"|of (?:rightward|leftward)|rightward|leftward|slice|section|axial|thick (?:section|slice))"
)
_CHANGES = {
    "increased": Change.INCREASED,
    "decreased": Change.DECREASED,
    "new": Change.NEW,
    "unchanged": Change.UNCHANGED,
}
_FAR = 14
_LEVELS = frozenset({"main", "lobar", "segmental", "subsegmental", "saddle"})


class Size(NamedTuple):
    """A diameter at a place of the sentence (characters)."""

    mm: float
    start: int
    end: int
    previous: bool


def sizes(sentence: str, spans: Sequence[tuple[int, int]], previous: Sequence[int]) -> tuple[Size, ...]:
    """Every diameter of a sentence in mm; distances and shifts of other things are left out.

    ``spans`` tells where the words stand, ``previous`` the word numbers after "previously", "was" and their like.
    """
    made = []
    for match in SIZE.finditer(sentence):
        if _NOT_A_SIZE.match(sentence, match.end()):
            continue
        factor = 10.0 if match.group(5).startswith("c") else 1.0
        if match.group(2) and match.group(2) != match.group(5)[:2]:
            continue
        largest = max(float(number) for number in match.group(1, 3, 4) if number)
        made.append(Size(round(largest * factor, 2), *match.span(), _is_previous(match.start(), spans, previous)))
    return tuple(made)


def _is_previous(start: int, spans: Sequence[tuple[int, int]], previous: Sequence[int]) -> bool:
    """Whether "previously", "was" or "compared to" stands within three words before."""
    word = sum(1 for _, end in spans if end <= start) if previous else 0
    return any(0 <= word - last <= 3 for last in previous)


class Around(NamedTuple):
    """The events of a sentence by what they tell, each kind in order."""

    stops: list[Event]
    changes: list[Event]
    sides: list[Event]
    places: list[Event]
    acuities: list[Event]
    regions: list[Event]
    findings: list[Event]
    borders: list[Event]
    """Commas, "and", "or", and what stands on its own: an organ beyond one says nothing of the finding."""


def around(events: Sequence[Event]) -> Around:
    """Sort the events of a sentence."""
    made = Around([], [], [], [], [], [], [], [])
    for event in events:
        for field in _FIELDS.get(event.kind, ()):
            made[field].append(event)
    return made


_FIELDS: dict[str, tuple[int, ...]] = {
    "stop": (0,),
    **dict.fromkeys(_CHANGES, (1,)),
    "side": (2,),
    "place": (3,),
    "acuity": (4,),
    "region": (5,),
    "finding": (6, 7),
    **dict.fromkeys(("and", "or", "subject", "negation_before"), (7,)),
}


def change_near(near: Around, first: int, last: int) -> Change | None:
    """The change word nearest to a finding in its clause."""
    if not near.changes:
        return None
    best, distance = None, _FAR
    low, high = clause(near, first, last)
    for event in near.changes:
        if low <= event.first and event.last <= high:
            gap = max(first - event.last, event.first - last)
            if gap < distance:
                best, distance = _CHANGES[event.kind], gap
    return best


def side_near(near: Around, first: int, last: int) -> Side | None:
    """The side word nearest to a finding in its clause, before it rather than after it; two sides make both."""
    if not near.sides:
        return None
    low, high = clause(near, first, last)
    sides = [e for e in near.sides if low <= e.first and e.last <= high and -_FAR < e.first - first < _FAR]
    inside = [e for e in sides if first <= e.first < last]
    before = [e for e in sides if e.last <= first and not _crossed(near, e.last, first)]
    after = [e for e in sides if e.first >= last and not _crossed(near, last, e.first)]
    found = {e.payload for e in inside or _joined(before) or after}
    if len(found) > 1 or "bilateral" in found:
        return Side.BILATERAL
    return Side(found.pop()) if found else None


def _joined(before: list[Event]) -> list[Event]:
    """The last side before a finding, with one that "and" joins to it."""
    return [e for e in before if before[-1].first - e.last <= 1] if before else []


def _crossed(near: Around, start: int, end: int) -> bool:
    """Whether another finding stands between."""
    return any(start <= e.first and e.last <= end for e in near.findings)


def site_near(near: Around, first: int, last: int) -> str:
    """Place words of the clause, in order."""
    if not near.places:
        return ""
    low, high = clause(near, first, last)
    found = [e.word for e in near.places if low <= e.first and e.last <= high and abs(e.first - first) < _FAR]
    return " ".join(dict.fromkeys(found))


def levels(phrase: str) -> str:
    """Levels of the pulmonary arteries inside a phrase ("segmental emboli")."""
    return " ".join(word for word in phrase.split() if word in _LEVELS)


def acuity_near(near: Around, first: int, phrase: str) -> str:
    """Acute or chronic, as the words right before a finding (or inside its phrase) say."""
    for word in phrase.split():
        if word in ("acute", "chronic"):
            return word
    found = [e for e in near.acuities if -6 < e.last - first <= 0 and not _crossed(near, e.last, first)]
    return str(found[-1].payload) if found else ""


def clause(near: Around, first: int, last: int) -> tuple[int, int]:
    """Word numbers of the clause around a finding: between words that start a new statement."""
    low, high = 0, 1 << 30
    for event in near.stops:
        if event.last <= first:
            low = event.first
        elif event.first >= last:
            return low, event.first
    return low, high


def elsewhere(near: Around, first: int, last: int) -> bool:
    """Whether another organ stands closer to a finding than the chest does."""
    if not any(e.payload == "other" for e in near.regions):
        return False
    low, high = clause(near, first, last)
    regions = [e for e in near.regions if low <= e.first and e.last <= high]
    other = [_gap(e, first, last) for e in regions if e.payload == "other" and _same_phrase(near, e, first, last)]
    chest = [_gap(e, first, last) for e in regions if e.payload == "chest"]
    return bool(other) and min(other) <= 5 and min(other) < min(chest, default=99)


def _gap(event: Event, first: int, last: int) -> int:
    return max(first - event.last, event.first - last, 0)


def _same_phrase(near: Around, event: Event, first: int, last: int) -> bool:
    """No comma, list word or other finding between the organ and the finding."""
    start, end = (event.last, first) if event.last <= first else (last, event.first)
    return not any(start <= e.first and e.last <= end for e in near.borders)
