"""The rules as one automaton over words: every phrase of every rule file, with what it means."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

from coread.reports.errors import BadRules
from coread.reports.patterns import expand, words
from coread.reports.records import FINDINGS, Section, Status

FINDING_FILES = ("chest", "head", "vessels", "devices")


@dataclass(frozen=True, slots=True)
class FindingRule:
    """What a phrase says by itself; the fields are the keys of the rule files."""

    keys: tuple[str, ...]
    status: Status = Status.PRESENT
    implied: bool = False
    elsewhere: bool = False
    measured: bool = False
    only_negated: bool = False
    lasting: bool = False
    region: str = ""
    either: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class SubjectRule:
    """A place of the body and what each group of states means for it: group -> ((finding, status), ...)."""

    implied: bool
    states: Mapping[str, tuple[tuple[str, Status], ...]]


class Meaning(NamedTuple):
    """One meaning of a phrase: its kind (a heading of the rule files) and what belongs to it."""

    kind: str
    payload: Any


class Node:
    """A state of the automaton: words that may follow, meanings of the phrase that ends here."""

    __slots__ = ("following", "meanings")

    def __init__(self) -> None:
        self.following: dict[str, Node] = {}
        self.meanings: tuple[Meaning, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Lexicon:
    """Everything the rule files say, ready to run."""

    root: dict[str, Node]
    vocabulary: frozenset[str]
    corrections: Mapping[str, tuple[str, ...]]
    """A word with one letter left out -> long words of the findings that it may have been."""
    anagrams: Mapping[str, str]
    """The letters of a very long word in order -> the word, for several slips that only swap."""
    spelling: Mapping[str, str]
    headers: Mapping[str, Section]
    english: frozenset[str]
    foreign: frozenset[str]


@cache
def lexicon() -> Lexicon:
    """Load the rule files of this package once."""
    root: dict[str, Node] = {}
    vocabulary: set[str] = set()
    corrected: set[str] = set()
    for kind, pattern, payload in _phrases():
        for text in expand(pattern):
            sequence = [word for word, _, _ in words(text)]
            if not sequence:
                raise BadRules(f"{kind}: pattern {pattern!r} has a phrase without words")
            _add(root, sequence, Meaning(kind, payload))
            vocabulary.update(sequence)
            if kind in ("finding", "subject"):
                corrected.update(word for word in sequence if len(word) >= _LONG)
    language = rules("language")
    return Lexicon(
        root,
        frozenset(vocabulary | set(language["english"]) | set(language["never_corrected"])),
        _shortened(corrected),
        {"".join(sorted(word)): word for word in sorted(corrected) if len(word) >= _VERY_LONG},
        language["spelling"],
        {name: Section(kind) for kind, table in rules("sections").items() for name in table["names"]},
        frozenset(language["english"]),
        frozenset(language["foreign"]) - frozenset(language["english"]),
    )


_LONG = 7
_VERY_LONG = 9


def rules(name: str) -> dict[str, Any]:
    """Read one rule file."""
    text = resources.files("coread.reports").joinpath("rules", f"{name}.toml").read_text(encoding="utf-8")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise BadRules(f"{name}.toml is not TOML: {problem}") from problem


def finding_phrases() -> Iterator[tuple[FindingRule, str]]:
    """Every phrase that names or implies a finding, written out."""
    for kind, pattern, payload in _phrases():
        if kind == "finding":
            for text in expand(pattern):
                yield payload, text


def _phrases() -> Iterator[tuple[str, str, Any]]:
    for name in FINDING_FILES:
        table = rules(name)
        for entry in table["finding"]:
            rule = _finding_rule(name, entry)
            yield from (("finding", pattern, rule) for pattern in entry["phrases"])
        yield from (("nothing", pattern, None) for pattern in table["nothing"]["phrases"])
    anatomy = rules("anatomy")
    for group, patterns in anatomy["states"].items():
        yield from (("state", pattern, group) for pattern in patterns)
    for entry in anatomy["subject"]:
        subject = _subject_rule(entry, set(anatomy["states"]))
        yield from (("subject", pattern, subject) for pattern in entry["phrases"])
    for kind, table in rules("cues").items():
        yield from ((kind, pattern, pattern) for pattern in table["phrases"])
    for kind, table in rules("attributes").items():
        for value, patterns in table.items():
            yield from ((kind, pattern, value) for pattern in patterns)


def _finding_rule(name: str, entry: Mapping[str, Any]) -> FindingRule:
    fields = {key: value for key, value in entry.items() if key != "phrases"}
    unknown = [key for key in fields["keys"] if key not in FINDINGS]
    if unknown:
        raise BadRules(f"{name}.toml: unknown findings {', '.join(unknown)}")
    try:
        return FindingRule(
            **fields | {"keys": tuple(fields["keys"]), "status": Status(fields.get("status", Status.PRESENT))}
        )
    except (TypeError, ValueError) as problem:
        raise BadRules(f"{name}.toml, {', '.join(fields['keys'])}: {problem}") from problem


def _subject_rule(entry: Mapping[str, Any], groups: set[str]) -> SubjectRule:
    tables = {group: table for group, table in entry.items() if group not in ("phrases", "implied")}
    if unknown := set(tables) - groups:
        raise BadRules(f"anatomy.toml: unknown states {', '.join(sorted(unknown))}")
    states = {
        group: tuple((finding, Status(status)) for finding, status in table.items()) for group, table in tables.items()
    }
    return SubjectRule(bool(entry.get("implied", False)), states)


def _add(root: dict[str, Node], sequence: list[str], meaning: Meaning) -> None:
    following = root
    node = Node()
    for word in sequence:
        node = following.setdefault(word, Node())
        following = node.following
    # A word may tell of two regions ("mastoid": of the head, and not of the chest); otherwise the first rule counts.
    if meaning.kind == "region" or not any(known.kind == meaning.kind for known in node.meanings):
        node.meanings = (*node.meanings, meaning)


def _shortened(targets: set[str]) -> dict[str, tuple[str, ...]]:
    table: dict[str, list[str]] = {}
    for target in sorted(targets):
        for text in {target, *(target[:i] + target[i + 1 :] for i in range(len(target)))}:
            table.setdefault(text, []).append(target)
    return {text: tuple(found) for text, found in table.items()}
