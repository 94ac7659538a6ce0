"""One sentence on its own: what it states, relative to its first letter; remembered, as reports repeat themselves."""

import re
from functools import lru_cache
from typing import NamedTuple

from coread.reports import attributes
from coread.reports.lexicon import FindingRule
from coread.reports.phrases import Phrases, phrases
from coread.reports.records import HEMORRHAGE, HEMORRHAGES, Change, Side, Status
from coread.reports.scope import Assertion, assertions, choose
from coread.reports.subjects import judged

REMEMBERED = 65536
"""Sentences kept; the answer depends on nothing else, so forgetting one changes no result."""
_DIGIT = re.compile(r"\d")
_HEAD = frozenset({HEMORRHAGE, *HEMORRHAGES})
_ALWAYS_CHEST = frozenset({"pneumothorax", "pleural_effusion", "cardiomegaly", "pneumonia", "atelectasis"})


class Mention(NamedTuple):
    """A finding as one sentence states it; ``start`` and ``end`` count from the sentence's first letter."""

    finding: str
    status: Status
    start: int
    end: int
    implied: bool
    narrowed: bool
    change: Change | None
    side: Side | None
    site: str
    acuity: str
    size_mm: float | None
    previous_size_mm: float | None
    measured: bool
    either: str
    """What the phrase may mean instead."""
    region: str
    """``head`` or ``chest``: counts only in a text about that region; empty: anywhere."""


class Reading(NamedTuple):
    """What a sentence states, and hints about what the report is about."""

    mentions: tuple[Mention, ...]
    chest: int
    head: int
    embolism: int
    effusion: int
    loose_sizes: tuple[float, ...]
    """Diameters of what the sentence before is about ("The largest measures 9 mm")."""
    judges: bool
    """Whether it says anything about a place of the body."""


_NOTHING = Reading((), 0, 0, 0, 0, (), False)


@lru_cache(maxsize=REMEMBERED)
def read_sentence(sentence: str) -> Reading:
    """Read one lower-case sentence."""
    found = phrases(sentence)
    if len(found.events) <= 1:  # the end of the sentence is one
        return _NOTHING
    events = choose(found.events)
    findings, states = assertions(events)
    near = attributes.around(events)
    measures = attributes.sizes(sentence, found) if _DIGIT.search(sentence) else ()
    stated = [made for made in findings if made.status is not None]
    mentions = [mention for made in stated for mention in _mentions(found, near, made)]
    subjects = tuple(judged(events, states))
    for place in subjects:
        start, end = found.positions[place.first][0], found.positions[place.last - 1][1]
        mentions.append(
            _of_place(near, place.finding, place.status, place.implied, (place.first, place.last), (start, end))
        )
    sized, loose = _with_sizes(mentions, measures, found)
    regions = [e.payload for e in events if e.kind == "region"]
    hints = [e.payload for e in events if e.kind == "either"]
    return Reading(
        tuple(sorted(sized, key=lambda mention: mention.start)),
        regions.count("chest") + sum(m.finding in _ALWAYS_CHEST for m in mentions),
        regions.count("head") + sum(m.finding in _HEAD and not (m.region and "chest" in regions) for m in mentions),
        hints.count("pulmonary_embolism")
        + sum("pulmonary_embolism" in made.event.payload.keys and not made.event.payload.either for made in findings),
        hints.count("pleural_effusion"),
        loose,
        bool(subjects or any(e.kind in ("subject", "finding") for e in events)),
    )


def _mentions(found: Phrases, near: attributes.Around, made: Assertion) -> list[Mention]:
    rule: FindingRule = made.event.payload
    first, last = made.event.first, made.event.last
    if rule.elsewhere and attributes.elsewhere(near, first, last):
        return []
    start, end = found.positions[first][0], found.positions[last - 1][1]
    side = attributes.side_near(near, first, last)
    change = made.change
    if change is None and made.status is not Status.ABSENT:
        change = attributes.change_near(near, first, last)
    site = attributes.site_near(near, first, last)
    if "pulmonary_embolism" in rule.keys:
        site = " ".join(filter(None, (attributes.levels(made.event.word), site)))
    acuity = attributes.acuity_near(near, first, made.event.word)
    narrowed = made.narrowed or (made.status is Status.ABSENT and side in (Side.LEFT, Side.RIGHT))
    region = rule.region or ("chest" if rule.elsewhere and not (set(rule.keys) & _HEAD) else "")
    status = made.status or Status.PRESENT
    return [
        Mention(
            key,
            status,
            start,
            end,
            rule.implied,
            narrowed,
            change,
            side,
            site,
            acuity,
            None,
            None,
            rule.measured,
            rule.either,
            region,
        )
        for key in rule.keys
    ]


def _of_place(
    near: attributes.Around, finding: str, status: Status, implied: bool, at: tuple[int, int], span: tuple[int, int]
) -> Mention:
    side = attributes.side_near(near, *at)
    partial = status is Status.ABSENT and side in (Side.LEFT, Side.RIGHT)
    change = attributes.change_near(near, *at)
    site = attributes.site_near(near, *at)
    return Mention(finding, status, *span, implied, partial, change, side, site, "", None, None, False, "", "")


def _with_sizes(
    mentions: list[Mention], measures: tuple[attributes.Size, ...], found: Phrases
) -> tuple[list[Mention], tuple[float, ...]]:
    """Give each diameter to the nearest measurable finding that is there; what finds none is loose."""
    if not measures:
        return mentions, ()
    there = [m for m in mentions if m.measured and m.status is not Status.ABSENT]
    if not there:
        denied = any(m.measured for m in mentions)
        about_size = any(e.kind == "measuring" for e in found.events)
        return mentions, tuple(size.mm for size in measures if not size.previous) if about_size and not denied else ()
    now: dict[int, float] = {}
    before: dict[int, float] = {}
    for size in measures:
        nearest = _measured_by(size, there, found).start
        table = before if size.previous else now
        table[nearest] = max(size.mm, table.get(nearest, 0.0))
    sized = [
        m._replace(size_mm=now.get(m.start), previous_size_mm=before.get(m.start)) if m in there else m
        for m in mentions
    ]
    return sized, ()


def _measured_by(size: attributes.Size, there: list[Mention], found: Phrases) -> Mention:
    """The finding of a diameter: the one before "measuring", else the nearest."""
    before = [m for m in there if m.end <= size.start]
    if before:
        positions = [found.positions[e.first][0] for e in found.events if e.kind == "measuring"]
        if any(before[-1].end <= position <= size.start for position in positions):
            return before[-1]
    return min(there, key=lambda m: max(m.start - size.end, size.start - m.end))
