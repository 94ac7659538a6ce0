"""From a report to its sentences, each with its section: same letters, same positions, only in lower case."""

import re
from collections.abc import Iterator
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
    r"[.?!;\n)](?:(?<=[.?!;])[.?!;]*|(?<=\n)|(?:(?<=\s\d\))|(?<=\s\d\d\)))(?= ))"  # one class first: found fast
)
"""A bracket borders only where it may close the number of an item ("1) ... 2) ...")."""
_ITEM = re.compile(r" *(?:\n|[-*\u2022>]|\d{1,2}[.)]\s)")
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


class _Page(NamedTuple):
    """A report as it was written, in lower case, and whether it is all in capitals."""

    text: str
    low: str
    capitals: bool


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
    """Yield the sentences of a report in order, empty lines left out; ``low`` is ``lowered(text)``."""
    page = _Page(text, low, text.isupper())
    starts, headings = _headings(page)
    position = number = 0
    last = len(starts) - 1
    for end in _ends(page, starts):
        while number < last and starts[number + 1] <= position:
            number += 1
        if end - position > LONGEST_SENTENCE:
            yield from _cut(low, position, end, headings[number])
        elif not low[position:end].isspace() and position < end:
            yield Sentence(position, end, headings[number])
        position = end


def _headings(page: _Page) -> tuple[list[int], list[Section]]:
    """Return where sections begin (after their heading) and which they are; text under none is body."""
    low = page.low
    found = sorted({*_before_colons(page), *_alone_on_a_line(page), *_without_colons(page)})
    if not found:
        return [0], [Section.BODY]
    starts = [0, *(start for start, _ in found)]
    kinds = [Section.BODY, *(kind for _, kind in found)]
    headed = Section.FINDINGS in kinds
    short = _SHORT if headed else _SHORT | {Section.COMPARISON, Section.TECHNIQUE}
    if "\n" not in low.strip() and not headed:
        short = _PARAGRAPH_ENDS
    all_starts: list[int] = []
    all_kinds: list[Section] = []
    for number, (start, kind) in enumerate(zip(starts, kinds, strict=True)):
        limit = starts[number + 1] if number + 1 < len(starts) else len(low)
        close = _closes(low, start, limit, kind, first_sentence=kind in short)
        if not headed and kind in _PARAGRAPH_ENDS and kind not in short:
            close = _first_line_end(page, start, close)
        all_starts += [start, close] if close < limit else [start]
        all_kinds += [kind, Section.BODY] if close < limit else [kind]
    return all_starts, all_kinds


def _before_colons(page: _Page) -> Iterator[tuple[int, Section]]:
    """Headings with a colon: the longest known name that ends right before it and stands like a heading."""
    low = page.low
    headers = lexicon().headers
    colon = low.find(":")
    previous = 0
    while colon >= 0:
        begin = max(previous, colon - _LONGEST_HEADING, low.rfind("\n", previous, colon) + 1)
        line = low[begin:colon].split()
        for first in range(max(0, len(line) - _MOST_WORDS), len(line)):
            name = " ".join(line[first:]).lstrip("*_#([-.")
            kind = headers.get(name)
            if kind is not None and _stands_as_heading(page, name, begin, colon):
                yield colon + 1, kind
                break
        previous = colon + 1
        colon = low.find(":", previous)


def _without_colons(page: _Page) -> Iterator[tuple[int, Section]]:
    """The two headings that also stand without a colon: "... SOB Findings The heart ..."."""
    for found in () if page.capitals else _BARE_HEADING.finditer(page.text):
        yield found.end(1), Section(found.group(1).lower())


_BARE_HEADING = re.compile(r"\b(F(?:INDINGS|indings)|I(?:MPRESSION|mpression)) +(?=[A-Z])")


def _stands_as_heading(page: _Page, name: str, begin: int, colon: int) -> bool:
    """Whether a name begins a line or a sentence, or is written as headings are ("... pain FINDINGS: ...")."""
    text, low = page.text, page.low
    start = colon
    for word in reversed(name.split()):
        start = low.rfind(word, begin, start)
    before = text[max(0, start - 40) : start].rstrip(" \t*#([")
    if not before or before[-1] in _BEFORE_HEADINGS:
        return True
    capital = text[start:colon].isupper() and not before.split()[-1].isupper()
    return capital or (text[start].isupper() and name in _STRONG)


_BEFORE_HEADINGS = ".\n:;)?!_-\r"
_STRONG = frozenset(
    {"findings", "impression", "comparison", "indication", "technique", "conclusion", "clinical history", "addendum"}
)


def _alone_on_a_line(page: _Page) -> Iterator[tuple[int, Section]]:
    """Headings that fill a line; one that starts small counts only after a line that has ended."""
    text, low = page.text, page.low
    headers = lexicon().headers
    start = 0
    ended = False
    for line in low.split("\n")[:-1]:
        plain = line.strip(" .*_#-") if len(line) < _LONGEST_LINE else ""
        kind = headers.get(plain)
        if kind is Section.TITLE and " " not in plain:
            kind = None  # "patient", "study": words of any line
        if kind is not None and (ended or text[start + line.index(plain)].isupper()):
            yield start + len(line), kind
        ended = not plain or line.rstrip().endswith((".", ":", ";"))
        start += len(line) + 1


_LONGEST_HEADING = 48
_LONGEST_LINE = 120
_MOST_WORDS = 5


def _first_line_end(page: _Page, start: int, limit: int) -> int:
    """Where an indication ends in a report without a heading for its findings: at the first line that is complete."""
    low = page.low
    newline = low.find("\n", start, limit)
    while newline >= 0:
        line = low[max(start, low.rfind("\n", start, newline) + 1) : newline].rstrip()
        if line and (line.endswith((".", "?", "!")) or _line_stands_alone(page, newline)):
            return newline + 1
        newline = low.find("\n", newline + 1, limit)
    return limit


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


def _ends(page: _Page, starts: list[int]) -> Iterator[int]:
    """Yield the ends of sentences, section borders among them, in order."""
    low = page.low
    borders = starts[1:]
    border = borders[0] if borders else len(low) + 1
    number = 0
    for start, end in map(re.Match.span, _BORDER.finditer(low)):
        while border <= end:
            yield border
            number += 1
            border = borders[number] if number < len(borders) else len(low) + 1
        mark = low[start]
        if mark == "\n":
            if _ITEM.match(low, end) or _line_stands_alone(page, start):
                yield end
        elif mark == ")":
            if _opened_nothing(low, start):
                yield end
        elif _ends_here(low, start, end):
            yield end
    yield from borders[number:]
    yield len(low)


def _opened_nothing(low: str, bracket: int) -> bool:
    """Whether a bracket closes nothing that was opened shortly before."""
    return "(" not in low[max(0, bracket - 40) : bracket].rpartition(")")[2]


def _ends_here(low: str, start: int, end: int) -> bool:
    """Whether a mark between ``start`` and ``end`` ends a sentence: not within 4.5, "vs." or before "?pneumonia"."""
    after = low[end : end + 1]
    if after and after not in " \n)]\"'":
        return low[start:end] == "." and low[start - 3 : start].isalpha() and low[end : end + 2].isalpha() and start > 2
    if low[start] == "?":
        return start > 0 and (low[start - 1].isalnum() or low[start - 1] == ")")
    return low[start:end] != "." or not _ABBREVIATION.search(low, max(0, start - 8), start)


def _line_stands_alone(page: _Page, newline: int) -> bool:
    """Whether a line without punctuation at its end is a statement of its own, not one that was wrapped."""
    text, low = page.text, page.low
    begin = low.rfind("\n", max(0, newline - 200), newline) + 1
    line = low[begin:newline].rstrip()
    if not line or len(line) >= _FULL_LINE or _OPEN_END.search(line):
        return False
    following = newline + 1
    while following < len(text) and text[following] == " ":
        following += 1
    after = text[following : following + 2]
    if len(after) < 2 or not after[0].isupper():
        return False
    return after[1].islower() or (page.capitals and low[following : following + 12].split(None, 1)[0] in _OPENERS)


_OPENERS = frozenset(
    {"the", "there", "no", "heart", "lungs", "cardiac", "mediastinum", "bones", "impression", "an", "a"}
)


def _cut(low: str, start: int, end: int, section: Section) -> Iterator[Sentence]:
    while end - start > LONGEST_SENTENCE:
        space = low.rfind(" ", start + 1, start + LONGEST_SENTENCE)
        middle = space if space > start else start + LONGEST_SENTENCE
        yield Sentence(start, middle, section)
        start = middle
    if start < end:
        yield Sentence(start, end, section)
