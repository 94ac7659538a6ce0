"""The little language of the rule files: ``(a|b)`` one of them, ``[x]`` x or nothing; and how text becomes words."""

import re
from collections.abc import Iterator

from coread.reports.errors import BadRules

WORD = re.compile(r"[a-z0-9]+|[,/:=?&+$ø-]")
"""Words and the few marks that carry meaning; hyphens between letters are dropped by ``words``."""
_MOST = 6000


def expand(pattern: str) -> tuple[str, ...]:
    """Return every text that a pattern stands for."""
    found, rest = _alternatives(pattern, 0, "")
    if rest != len(pattern):
        raise BadRules(f"pattern {pattern!r} closes a bracket that it did not open")
    if len(found) > _MOST:
        raise BadRules(f"pattern {pattern!r} stands for {len(found)} phrases; split it")
    return tuple(dict.fromkeys(" ".join(text.split()) for text in found))


def _alternatives(pattern: str, position: int, closing: str) -> tuple[list[str], int]:
    """Read alternatives up to ``closing``; return the texts and the position of what closed them."""
    done: list[str] = []
    current = [""]
    while position < len(pattern):
        letter = pattern[position]
        if letter in ")]":
            break
        if letter == "|":
            done += current
            current = [""]
        elif letter in "([":
            inner, position = _alternatives(pattern, position + 1, ")" if letter == "(" else "]")
            if letter == "[":
                inner = ["", *inner]
            current = [head + tail for head in current for tail in inner]
        else:
            current = [head + letter for head in current]
        position += 1
    if closing and (position >= len(pattern) or pattern[position] != closing):
        raise BadRules(f"pattern {pattern!r} does not close {closing!r}")
    return done + current, position


def words(text: str) -> Iterator[tuple[str, int, int]]:
    """Words of a lower-case text with their positions; a hyphen inside a word parts it and is dropped."""
    for found in WORD.finditer(text):
        start, end = found.span()
        word = found.group()
        if word == "-" and joins(text, start):
            continue
        yield word, start, end


def joins(text: str, hyphen: int) -> bool:
    """Whether a hyphen stands inside a word."""
    return hyphen > 0 and text[hyphen - 1].isalnum() and text[hyphen + 1 : hyphen + 2].isalnum()
