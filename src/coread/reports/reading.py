"""One sentence on its own: what it states.

What a sentence states depends on the words that the rules know and on nothing else, so it is worked out once for all
sentences that differ only in other words and numbers (``_said``); where the words stand and how large things are is
looked up in each sentence.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from coread.reports import attributes
from coread.reports.lexicon import FindingRule
from coread.reports.phrases import END, Event, events, known_words, word_spans
from coread.reports.records import HEMORRHAGE, HEMORRHAGES, Change, Side, Status
from coread.reports.scope import Assertion, assertions, choose
from coread.reports.subjects import judged

REMEMBERED = 32768
"""Sentences kept, and as many sequences of words; the answer depends on nothing else, so forgetting changes nothing."""
_DIGIT = re.compile(r"\d")
_HEAD = frozenset({HEMORRHAGE, *HEMORRHAGES})
_ALWAYS_CHEST = frozenset({"pneumothorax", "pleural_effusion", "cardiomegaly", "pneumonia", "atelectasis"})


class Mention(NamedTuple):
    """A finding as one sentence states it: word numbers ``first`` to ``last`` (exclusive)."""

    finding: str
    status: Status
    first: int
    last: int
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


class Hints(NamedTuple):
    """How many words of a sentence tell what the report is about."""

    chest: int
    head: int
    embolism: int
    effusion: int


class Reading(NamedTuple):
    """What a sentence states, and hints about what the report is about."""

    mentions: tuple[Mention, ...]
    spans: Sequence[tuple[int, int]]
    """Where each word stands, counted from the sentence's first letter."""
    hints: Hints
    loose_sizes: tuple[float, ...]
    """Diameters of what the sentence before is about ("The largest measures 9 mm")."""


class _Said(NamedTuple):
    """What all sentences of the same known words state."""

    mentions: tuple[Mention, ...]
    hints: Hints
    measuring: tuple[int, ...]
    """Word numbers of "measures", "measuring" and their like."""
    previous: tuple[int, ...]
    """Word numbers after "previously", "was" and their like."""


_NO_HINTS = Hints(0, 0, 0, 0)
SILENT = Reading((), (), _NO_HINTS, ())
"""What a sentence states that states nothing."""


@lru_cache(maxsize=REMEMBERED)
def read_sentence(sentence: str) -> Reading:
    """Read one lower-case sentence."""
    words = known_words(sentence)
    if len(words) == 1:
        return SILENT
    said = _said(words)
    if not said.mentions and not said.measuring:
        return Reading((), (), said.hints, ()) if said.hints is not _NO_HINTS else SILENT
    spans = word_spans(sentence)
    measures = attributes.sizes(sentence, spans, said.previous) if _DIGIT.search(sentence) else ()
    sized, loose = _with_sizes(said, measures, spans) if measures else (said.mentions, ())
    return Reading(sized, spans, said.hints, loose)


def forget() -> None:
    """Forget every sentence that was read; changes no answer, only how long the next takes."""
    read_sentence.cache_clear()
    _said.cache_clear()


@lru_cache(maxsize=REMEMBERED)
def _said(words: tuple[str, ...]) -> _Said:
    """Work out what known words state, END after the last one."""
    found = events(words)
    if len(found) <= 1 and (not found or found[0].word == END):
        return _Said((), _NO_HINTS, (), ())
    chosen = choose(found)
    findings, states = assertions(chosen)
    near = attributes.around(chosen)
    mentions = [mention for made in findings if made.status is not None for mention in _mentions(near, made)]
    mentions += [
        _of_place(near, place.finding, place.status, place.implied, (place.first, place.last))
        for place in judged(chosen, states)
    ]
    return _Said(
        tuple(sorted(mentions, key=lambda mention: mention.first)),
        _hints(chosen, findings, mentions),
        tuple(event.first for event in found if event.kind == "measuring"),
        tuple(event.last for event in found if event.kind == "previous"),
    )


def _hints(chosen: Sequence[Event], findings: Sequence[Assertion], mentions: Sequence[Mention]) -> Hints:
    regions = [e.payload for e in chosen if e.kind == "region"]
    hints = [e.payload for e in chosen if e.kind == "either"]
    emboli = [made.event.payload for made in findings if "pulmonary_embolism" in made.event.payload.keys]
    return Hints(
        regions.count("chest") + sum(m.finding in _ALWAYS_CHEST for m in mentions),
        regions.count("head") + sum(m.finding in _HEAD and not (m.region and "chest" in regions) for m in mentions),
        hints.count("pulmonary_embolism") + sum(not rule.either for rule in emboli),
        hints.count("pleural_effusion"),
    )


def _mentions(near: attributes.Around, made: Assertion) -> list[Mention]:
    rule: FindingRule = made.event.payload
    first, last = made.event.first, made.event.last
    if rule.elsewhere and attributes.elsewhere(near, first, last):
        return []
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
            first,
            last,
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


def _of_place(near: attributes.Around, finding: str, status: Status, implied: bool, at: tuple[int, int]) -> Mention:
    side = attributes.side_near(near, *at)
    partial = status is Status.ABSENT and side in (Side.LEFT, Side.RIGHT)
    change = attributes.change_near(near, *at)
    site = attributes.site_near(near, *at)
    return Mention(finding, status, *at, implied, partial, change, side, site, "", None, None, False, "", "")


def _with_sizes(
    said: _Said, measures: tuple[attributes.Size, ...], spans: Sequence[tuple[int, int]]
) -> tuple[tuple[Mention, ...], tuple[float, ...]]:
    """Give each diameter to the nearest measurable finding that is there; what finds none is loose."""
    mentions = said.mentions
    there = [m for m in mentions if m.measured and m.status is not Status.ABSENT]
    if not there:
        denied = any(m.measured for m in mentions)
        loose = bool(said.measuring) and not denied
        return mentions, tuple(size.mm for size in measures if not size.previous) if loose else ()
    now: dict[int, float] = {}
    before: dict[int, float] = {}
    for size in measures:
        nearest = _measured_by(size, there, said.measuring, spans).first
        table = before if size.previous else now
        table[nearest] = max(size.mm, table.get(nearest, 0.0))
    return tuple(
        m._replace(size_mm=now.get(m.first), previous_size_mm=before.get(m.first)) if m in there else m
        for m in mentions
    ), ()


def _measured_by(
    size: attributes.Size, there: Sequence[Mention], measuring: Sequence[int], spans: Sequence[tuple[int, int]]
) -> Mention:
    """The finding of a diameter: the one before "measuring", else the nearest."""
    before = [m for m in there if spans[m.last - 1][1] <= size.start]
    if before:
        end = spans[before[-1].last - 1][1]
        if any(end <= spans[word][0] <= size.start for word in measuring):
            return before[-1]
    return min(there, key=lambda m: max(spans[m.first][0] - size.end, size.start - spans[m.last - 1][1]))
