"""From a report to its sentences, each with its section: same letters, same positions, only in lower case."""

import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from coread.reports.lexicon import lexicon
from coread.reports.records import Section

LONGEST_SENTENCE = 1200
"""Characters; longer ones are cut at a space, so that the work stays linear in the text."""
_FULL_LINE = 60
"""A line shorter than this that no punctuation ends may be a statement of its own."""
_ALIKE = {
    ord(strange): plain
    for strange, plain in zip(
        "\u2018\u2019\u201c\u201d\u2010\u2011\u2012\u2013\u2014\u00a0\u2007\u202f\u00d7\t\r\x0b\x0c",
        "''\"\"-----   x    ",
        strict=True,
    )
}
_BORDER = re.compile(
    r"[.?!;]+(?=[\s)\]\"']|$)|(?<=[a-z]{3})\.(?=[a-z]{2})|\n[ ]*(?:\n\s*)?(?:[-*\u2022>]|\d{1,2}[.)](?=\s)|\n)?"
)
_ABBREVIATION = re.compile(r"(?:\b(?:vs|dr|mr|mrs|approx|e\.g|i\.e|eg|ie|st|ca|cf|incl|resp|est|min|max|avg|pt|dx))$")
_OPEN_END = re.compile(
    r"(?:[,(/-]|\b(?:a|an|the|of|in|at|on|to|and|or|nor|no|not|with|without|is|are|was|were|be|been|has|have|for|from|by|as|than"
    r"|left|right|upper|lower|middle|mild|moderate|small|large|new|focal|acute|pleural|pulmonary|which|that|this|may))\s*$"
)
_PARAGRAPH_ENDS = frozenset({Section.INDICATION, Section.COMPARISON, Section.TECHNIQUE, Section.NOTICE, Section.TITLE})
_BLANK = re.compile(r"\n *\n")


class Sentence(NamedTuple):
    """A stretch of the text and the section that it stands in."""

    start: int
    end: int
    section: Section


def lowered(text: str) -> str:
    """Lower case and plain marks, one character for one character."""
    plain = text if text.isascii() else text.translate(_ALIKE)
    low = plain.lower()
    if len(low) != len(text):
        low = "".join(letter.lower() if len(letter.lower()) == 1 else letter for letter in plain)
    return low.translate(_CONTROLS) if _CONTROL.search(low) else low


_CONTROL = re.compile(r"[\t\r\x0b\x0c]")
_CONTROLS = {ord(mark): " " for mark in "\t\r\x0b\x0c"}


def sentences(text: str, low: str) -> Iterator[Sentence]:
    """Yield the sentences of a report in order; ``low`` is ``lowered(text)``."""
    starts, headings = _headings(low)
    position = 0
    for end in _ends(text, low, starts):
        number = bisect_right(starts, position) - 1
        yield from _cut(low, position, end, headings[number])
        position = end


def _headings(low: str) -> tuple[list[int], list[Section]]:
    """Return where sections begin (after their heading) and which they are; text before any counts as findings."""
    starts, kinds = [0], [Section.FINDINGS]
    headers = lexicon().headers
    for found in _header_pattern().finditer(low):
        kind = headers[" ".join((found.group(1) or found.group(2)).split())]
        starts.append(found.end())
        kinds.append(kind)
    short = _SHORT if Section.FINDINGS in kinds[1:] else _SHORT | {Section.COMPARISON, Section.TECHNIQUE}
    all_starts: list[int] = []
    all_kinds: list[Section] = []
    for number, (start, kind) in enumerate(zip(starts, kinds, strict=True)):
        limit = starts[number + 1] if number + 1 < len(starts) else len(low)
        close = _closes(low, start, limit, kind, first_sentence=kind in short)
        all_starts += [start, close] if close < limit else [start]
        all_kinds += [kind, Section.FINDINGS] if close < limit else [kind]
    return all_starts, all_kinds


_SHORT = frozenset({Section.TITLE})
_SENTENCE_END = re.compile(r"\n|\.(?=\s)")


def _closes(low: str, start: int, limit: int, kind: Section, *, first_sentence: bool) -> int:
    """Where a section that makes no labels gives way to the body: after its first sentence or at a blank line."""
    if kind not in _PARAGRAPH_ENDS:
        return limit
    content = start
    while content < limit and low[content].isspace():
        content += 1
    found = (_SENTENCE_END if first_sentence else _BLANK).search(low, content, limit)
    return limit if found is None else found.end()


@cache
def _header_pattern() -> re.Pattern[str]:
    """Headings with a colon anywhere between words, or alone on their line."""
    names = sorted(lexicon().headers, key=len, reverse=True)
    either = "|".join(r"[ ]+".join(re.escape(part) for part in name.split(" ")) for name in names)
    return re.compile(rf"(?<![a-z0-9/\-])(?:({either})[ ]*:|(?<![^\n])[ ]*({either})[ ]*\.?[ ]*(?=\n))")


def _ends(text: str, low: str, starts: list[int]) -> Iterator[int]:
    """Yield the ends of sentences, section borders among them, in order."""
    borders = iter(starts[1:])
    border = next(borders, None)
    for found in _BORDER.finditer(low):
        end = found.end() if low[found.start()] != "\n" else found.start() + 1
        while border is not None and border <= end:
            yield border
            border = next(borders, None)
        if _is_end(text, low, found.start(), found.group()):
            yield end
    while border is not None:
        yield border
        border = next(borders, None)
    yield len(low)


def _is_end(text: str, low: str, start: int, mark: str) -> bool:
    if mark[0] != "\n":
        if mark[0] == "?" and (start == 0 or not (low[start - 1].isalnum() or low[start - 1] == ")")):
            return False
        return mark != "." or not _ABBREVIATION.search(low, max(0, start - 8), start)
    if len(mark.strip(" ")) > 1:
        return True
    return _line_stands_alone(text, low, start)


def _line_stands_alone(text: str, low: str, newline: int) -> bool:
    """Whether a line without punctuation at its end is a statement of its own, not one that was wrapped."""
    begin = low.rfind("\n", max(0, newline - 200), newline) + 1
    line = low[begin:newline].rstrip()
    if not line or len(line) >= _FULL_LINE or _OPEN_END.search(line):
        return False
    following = newline + 1
    while following < len(text) and text[following] == " ":
        following += 1
    after = text[following : following + 2]
    return len(after) == 2 and after[0].isupper() and after[1].islower()


def _cut(low: str, start: int, end: int, section: Section) -> Iterator[Sentence]:
    while end - start > LONGEST_SENTENCE:
        space = low.rfind(" ", start + 1, start + LONGEST_SENTENCE)
        middle = space if space > start else start + LONGEST_SENTENCE
        yield Sentence(start, middle, section)
        start = middle
    if start < end:
        yield Sentence(start, end, section)
