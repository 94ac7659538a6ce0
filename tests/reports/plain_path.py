"""The labeler's path written plainly: every sentence anew, nothing remembered, no word left out, no border guessed.

The twin that the fast path is held against; ``read_plainly`` gives what one sentence states with character positions.
"""

import re

from coread.reports import attributes
from coread.reports.lexicon import lexicon
from coread.reports.patterns import words
from coread.reports.phrases import END, Event, corrected
from coread.reports.reading import Mention, Reading, _mentions, _of_place
from coread.reports.records import Status
from coread.reports.scope import assertions, choose
from coread.reports.subjects import judged

Stated = tuple[tuple[object, ...], ...]


def stated(reading: Reading) -> tuple[Stated, tuple[float, ...]]:
    """What the fast path says of a sentence: mentions with characters instead of words, loose sizes."""
    return tuple(_in_characters(mention, reading.spans) for mention in reading.mentions), reading.loose_sizes


def read_plainly(sentence: str) -> tuple[Stated, tuple[float, ...]]:
    """Read one lower-case sentence."""
    vocabulary = lexicon().vocabulary
    found: list[str] = []
    spans: list[tuple[int, int]] = []
    for word, start, end in words(sentence):
        found.append(word if word in vocabulary else corrected(word))
        spans.append((start, end))
    found.append(END)
    spans.append((len(sentence), len(sentence)))
    events = plain_events(found)
    chosen = choose(events)
    findings, states = assertions(chosen)
    near = attributes.around(chosen)
    mentions = [mention for made in findings if made.status is not None for mention in _mentions(near, made)]
    for place in judged(chosen, states):
        mentions.append(_of_place(near, place.finding, place.status, place.implied, (place.first, place.last)))
    mentions.sort(key=lambda mention: spans[mention.first][0])
    previous = [event.last for event in events if event.kind == "previous"]
    sizes = attributes.sizes(sentence, spans, previous)
    measuring = [spans[event.first][0] for event in events if event.kind == "measuring"]
    sized, loose = with_sizes(mentions, sizes, measuring, spans)
    return tuple(_in_characters(mention, spans) for mention in sized), loose


def plain_events(found: list[str]) -> list[Event]:
    """The longest phrase at every word, each looked up as a whole."""
    phrases: list[Event] = []
    first = 0
    while first < len(found):
        for last in range(len(found), first, -1):
            following, node = lexicon().root, None
            for word in found[first:last]:
                node = following.get(word)
                if node is None:
                    break
                following = node.following
            if node is not None and node.meanings:
                text = " ".join(found[first:last])
                phrases += [Event(meaning.kind, meaning.payload, first, last, text) for meaning in node.meanings]
                first = last - 1
                break
        first += 1
    return phrases


def with_sizes(
    mentions: list[Mention], sizes: tuple[attributes.Size, ...], measuring: list[int], spans: list[tuple[int, int]]
) -> tuple[list[Mention], tuple[float, ...]]:
    """Give each diameter to the nearest measurable finding that is there."""
    there = [m for m in mentions if m.measured and m.status is not Status.ABSENT]
    if not there:
        loose = bool(measuring) and not any(m.measured for m in mentions)
        return mentions, tuple(size.mm for size in sizes if not size.previous and loose)
    sized = list(mentions)
    for size in sizes:
        before = [m for m in there if spans[m.last - 1][1] <= size.start]
        owner = min(there, key=lambda m: max(spans[m.first][0] - size.end, size.start - spans[m.last - 1][1]))
        if before and any(spans[before[-1].last - 1][1] <= start <= size.start for start in measuring):
            owner = before[-1]
        for number, mention in enumerate(sized):
            if mention.first == owner.first and mentions[number] in there:
                if size.previous:
                    largest = max(size.mm, mention.previous_size_mm or 0.0)
                    sized[number] = mention._replace(previous_size_mm=largest)
                else:
                    sized[number] = mention._replace(size_mm=max(size.mm, mention.size_mm or 0.0))
    return sized, ()


def plain_borders(low: str) -> list[int]:
    """Where marks stand that may end a sentence: runs of marks, line ends, brackets after the number of an item."""
    found = []
    for match in re.finditer(r"[.?!;]+|\n|\)", low):
        start = match.start()
        after_number = re.search(r"\s\d{1,2}$", low[max(0, start - 4) : start])
        if match.group() != ")" or (after_number and low[start + 1 : start + 2] == " "):
            found.append(match.end())
    return found


def _in_characters(mention: Mention, spans: object) -> tuple[object, ...]:
    places: list[tuple[int, int]] = list(spans)  # type: ignore[call-overload]
    return (*mention[:2], places[mention.first][0], places[mention.last - 1][1], *mention[4:])
