"""What happens to which attribute: table E.1-1 of PS3.15 (edition 2026c), the options, and safe private elements."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from pydicom.datadict import dictionary_keyword

_DATES = frozenset({"DA", "DT", "TM"})
_KINDS = ("ClassUID", "SyntaxUID", "SchemeUID", "ContextUID", "ContextGroupExtensionCreatorUID", "ResourceUID")
"""Ends of keywords whose UID names a kind of thing, not a thing."""
_LAST_MENSTRUAL_DATE = 0x001021D0
_REMOVED_GROUPS = ((0x5000, None), (0x6000, 0x3000), (0x6000, 0x4000))
"""Repeating groups of the table: curves, overlay data and overlay comments."""


class Option(StrEnum):
    """Options of the profile that can be chosen (PS3.15 section E.3)."""

    DATES = "dates"
    """Retain Longitudinal Temporal Information with Modified Dates: every date of a patient moves by the same days."""
    PATIENT = "patient"
    """Retain Patient Characteristics: age, sex, size, weight and what the table names besides."""
    DESCRIPTORS = "descriptors"
    """Clean Descriptors: free text keeps the words that stand in a list of radiological words, and small numbers."""
    DEVICE = "device"
    """Retain Device Identity: serial numbers, stations, detectors."""
    SAFE_PRIVATE = "safe_private"
    """Retain Safe Private: the private elements that the standard lists as safe."""


METHODS: Mapping[Option | None, tuple[str, str]] = MappingProxyType(
    {
        None: ("113100", "Basic Application Confidentiality Profile"),
        Option.DESCRIPTORS: ("113105", "Clean Descriptors Option"),
        Option.DATES: ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
        Option.PATIENT: ("113108", "Retain Patient Characteristics Option"),
        Option.DEVICE: ("113109", "Retain Device Identity Option"),
        Option.SAFE_PRIVATE: ("113111", "Retain Safe Private Option"),
    }
)
"""Codes of context group 7050, scheme DCM."""


class Action(StrEnum):
    """What is done to one element."""

    KEEP = "keep"
    REMOVE = "remove"
    EMPTY = "empty"
    DUMMY = "dummy"
    UID = "uid"
    SHIFT = "shift"
    CLEAN = "clean"


_SIMPLE = {
    "X": Action.REMOVE, "Z": Action.EMPTY, "D": Action.DUMMY, "U": Action.UID, "X/Z": Action.EMPTY,
    "Z/D": Action.DUMMY, "X/D": Action.DUMMY, "X/Z/D": Action.DUMMY, "X/Z/U*": Action.KEEP,
}  # fmt: skip
"""Where the table leaves a choice by the type of the attribute, one that is valid for every type is taken.

X/Z/U* are sequences of references: they are kept, and the identifiers inside them are replaced.
"""


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the table."""

    action: str
    option: str


@cache
def table() -> Mapping[int, Rule]:
    """Return the table by tag."""
    text = files(__package__).joinpath("actions.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    return MappingProxyType({int(row["tag"], 16): Rule(row["action"], row["retained_with"]) for row in rows})


@cache
def safe_private() -> frozenset[tuple[str, int, int]]:
    """Return (private creator, group, element within its block) of the private elements that are safe to keep."""
    text = files(__package__).joinpath("safe_private.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    return frozenset((row["creator"], int(row["group"], 16), int(row["element"], 16)) for row in rows)


@cache
def safe_words() -> frozenset[str]:
    """Return the words that free text may keep."""
    return frozenset(files(__package__).joinpath("words.txt").read_text(encoding="utf-8").split())


def action_of(tag: int, vr: str, options: frozenset[Option]) -> Action:
    """Decide what happens to a standard element; identifiers are replaced even where the table does not name them."""
    for group, element in _REMOVED_GROUPS:
        if (tag >> 16) & 0xFF00 == group and element in (None, tag & 0xFFFF):
            return Action.REMOVE
    rule = table().get(tag)
    if rule is None:
        return _unlisted(tag, vr, options)
    if Option.DATES in options and vr in _DATES and (tag >> 16 != 0x0010 or tag == _LAST_MENSTRUAL_DATE):
        return Action.SHIFT
    if rule.option and rule.option in options:
        return Action.CLEAN if rule.option == Option.DESCRIPTORS else Action.KEEP
    if vr == "SQ" and rule.action.startswith("X/") and rule.action != "X/Z/U*":
        return Action.REMOVE  # a sequence that may be left out is not valid without an item
    return _SIMPLE[rule.action]


def _unlisted(tag: int, vr: str, options: frozenset[Option]) -> Action:
    """Decide on what the table does not name: kinds of things keep their UID, everything else gets another one.

    Dates and names are treated as if they were listed; addresses go, since they name a hospital and hold identifiers;
    what the dictionary does not know cannot be judged and goes.
    """
    try:
        keyword = dictionary_keyword(tag)
    except KeyError:
        return Action.REMOVE
    if vr == "UI":
        return Action.KEEP if keyword.endswith(_KINDS) else Action.UID
    if vr in _DATES:
        return Action.SHIFT if Option.DATES in options else Action.EMPTY
    if vr == "UR":
        return Action.REMOVE
    return Action.EMPTY if vr == "PN" else Action.KEEP
