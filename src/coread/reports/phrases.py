"""The phrases of one sentence: longest match at every word, one pass, misspelled finding words forgiven."""

from functools import lru_cache
from typing import Any, NamedTuple

from coread.reports.lexicon import Node, lexicon
from coread.reports.patterns import WORD, joins

END = "$"
"""A word that stands after the last one, so that phrases can ask for the end."""
_SHORTEST_CORRECTED = 7


class Event(NamedTuple):
    """One meaning at one place: word numbers ``first`` to ``last`` (exclusive)."""

    kind: str
    payload: Any
    first: int
    last: int
    word: str


class Phrases(NamedTuple):
    """The words of a sentence with their positions, and the events in order."""

    words: tuple[str, ...]
    positions: tuple[tuple[int, int], ...]
    events: tuple[Event, ...]


def phrases(sentence: str) -> Phrases:
    """Find every phrase of the rules in a lower-case sentence."""
    known = lexicon()
    vocabulary = known.vocabulary
    found: list[str] = []
    positions: list[tuple[int, int]] = []
    for match in WORD.finditer(sentence):
        word = match.group()
        if word == "-" and joins(sentence, match.start()):
            continue
        found.append(word if word in vocabulary else corrected(word))
        positions.append(match.span())
    found.append(END)
    positions.append((len(sentence), len(sentence)))
    return Phrases(tuple(found), tuple(positions), tuple(_events(found, known.root)))


def _events(found: list[str], root: dict[str, Node]) -> list[Event]:
    events: list[Event] = []
    first = 0
    count = len(found)
    while first < count:
        start = root.get(found[first])
        if start is None:
            first += 1
            continue
        last, meanings = first, None
        following = root
        for position in range(first, count):
            node = following.get(found[position])
            if node is None:
                break
            if node.meanings:
                last, meanings = position + 1, node.meanings
            following = node.following
        if meanings is None:
            first += 1
            continue
        word = found[first] if last == first + 1 else " ".join(found[first:last])
        events += [Event(meaning.kind, meaning.payload, first, last, word) for meaning in meanings]
        first = last
    return events


@lru_cache(maxsize=65536)
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
