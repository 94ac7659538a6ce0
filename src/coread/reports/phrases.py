"""The phrases of one sentence: longest match at every word, one pass, misspelled finding words forgiven."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from coread.reports.lexicon import lexicon

END = "$"
"""A word that stands after the last one, so that phrases can ask for the end."""
UNKNOWN = ""
"""Stands for every word that no rule knows: which one it is changes nothing."""
_SPOKEN = re.compile(r"[a-z0-9]+|[,/:=?&+$ø]|(?<![^\W_])-|-(?![^\W_])")
"""``patterns.WORD`` less the hyphens that stand inside a word."""
_REMEMBERED = 65536
_SHORTEST_CORRECTED = 7


class Event(NamedTuple):
    """One meaning at one place: word numbers ``first`` to ``last`` (exclusive)."""

    kind: str
    payload: Any
    first: int
    last: int
    word: str


def known_words(sentence: str) -> tuple[str, ...]:
    """The words of a lower-case sentence as the rules know them, END after the last one."""
    return (*map(_KNOWN.__getitem__, _SPOKEN.findall(sentence)), END)


def word_spans(sentence: str) -> list[tuple[int, int]]:
    """Where each of ``known_words`` stands, in characters."""
    spans = [*map(re.Match.span, _SPOKEN.finditer(sentence))]
    spans.append((len(sentence), len(sentence)))
    return spans


def events(found: Sequence[str]) -> tuple[Event, ...]:
    """Every phrase of the rules in ``known_words``: the longest match at every word, in order."""
    root = lexicon().root
    made: list[Event] = []
    first = 0
    count = len(found)
    while first < count:
        node = root.get(found[first])
        if node is None:
            first += 1
            continue
        position = last = first + 1
        meanings = node.meanings
        following = node.following
        while following and position < count:
            node = following.get(found[position])
            if node is None:
                break
            position += 1
            if node.meanings:
                last, meanings = position, node.meanings
            following = node.following
        if not meanings:
            first += 1
            continue
        word = found[first] if last == first + 1 else " ".join(found[first:last])
        for kind, payload in meanings:
            made.append(Event(kind, payload, first, last, word))
        first = last
    return tuple(made)


class _Known(dict[str, str]):
    """A word as it is written -> as the rules know it; the words of texts are forgotten when there are many."""

    def __missing__(self, word: str) -> str:
        vocabulary = lexicon().vocabulary
        meant = word if word in vocabulary else corrected(word)
        known = meant if meant in vocabulary else UNKNOWN
        if len(self) >= _REMEMBERED:
            self.clear()
        self[word] = known
        return known


_KNOWN = _Known()


def corrected(word: str) -> str:
    """Return the finding word that an unknown long word misspells by one letter or two that changed places."""
    known = lexicon()
    if word in known.spelling:
        return known.spelling[word]
    if len(word) < _SHORTEST_CORRECTED or not word.isalpha() or word in known.vocabulary:
        return word
    for text in (word, *(word[:i] + word[i + 1 :] for i in range(len(word)))):
        for target in known.corrections.get(text, ()):
            if one_slip_apart(word, target):
                return target
    swapped = known.anagrams.get("".join(sorted(word)), "")
    return swapped if swapped[:1] == word[:1] and swapped else word


def one_slip_apart(word: str, target: str) -> bool:
    """Whether one letter was left out, added or changed, or two neighbours changed places."""
    if len(word) == len(target):
        different = [i for i, (a, b) in enumerate(zip(word, target, strict=True)) if a != b]
        if len(different) == 1:
            return different[0] > 0
        return (
            len(different) == 2
            and different[1] == different[0] + 1
            and word[different[0]] == target[different[1]]
            and word[different[1]] == target[different[0]]
        )
    longer, shorter = (word, target) if len(word) > len(target) else (target, word)
    if len(longer) - len(shorter) != 1:
        return False
    return any(longer[:i] + longer[i + 1 :] == shorter for i in range(len(longer)))
