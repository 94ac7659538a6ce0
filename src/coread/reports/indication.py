"""Why an examination was asked for, as flags: words of the indication, by the rules in ``rules/indication.toml``.

What is asked about ("rule out pneumothorax") is no finding; nothing of the radiologist's own words is looked at, so
that a flag never tells what the image showed.
"""

import re
from functools import cache

from coread.reports.lexicon import rules
from coread.reports.patterns import expand
from coread.reports.records import Section
from coread.reports.sentences import lowered, sentences

_NEGATED = re.compile(r"\b(?:no|not|without|denies|denied|negative for)\b[^.;:]{0,60}$")
_ENDS = re.compile(r"\b(?:but|now|presents|with new)\b|[.;\n]")


def indication_flags() -> tuple[str, ...]:
    """The names of all flags, in the order of the rules."""
    return tuple(rules("indication"))


def indication_of(text: str) -> str:
    """The words under the headings of an indication in a report, or empty where there are none."""
    low = lowered(text)
    found = [text[one.start : one.end] for one in sentences(text, low) if one.section is Section.INDICATION]
    return " ".join(" ".join(found).split())


def flags_of(indication: str) -> dict[str, bool]:
    """Return each flag of an indication: whether its words stand there undenied; empty for an empty indication."""
    low = lowered(indication)
    if not any(letter.isalnum() for letter in low):
        return {}
    return {flag: any(_stands(low, found) for found in pattern.finditer(low)) for flag, pattern in _patterns().items()}


def _stands(low: str, found: re.Match[str]) -> bool:
    before = low[max(0, found.start() - 80) : found.start()]
    clause = before[max((end.end() for end in _ENDS.finditer(before)), default=0) :]
    return _NEGATED.search(clause) is None


@cache
def _patterns() -> dict[str, re.Pattern[str]]:
    made = {}
    for flag, table in rules("indication").items():
        phrases = sorted({phrase for pattern in table["phrases"] for phrase in expand(pattern)}, key=len, reverse=True)
        words = "|".join(re.escape(phrase).replace(r"\ ", r"[\s-]+").replace(r"\-", r"[\s-]?") for phrase in phrases)
        made[flag] = re.compile(rf"(?<![a-z0-9])(?:{words})(?![a-z0-9])")
    return made
