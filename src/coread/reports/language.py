"""Whether a text can be judged at all: there is some, it is text, it is English, and not endless."""

import re

from coread.reports.lexicon import lexicon
from coread.reports.records import NotAssessed

LONGEST_REPORT = 2_000_000
"""Characters. The longest real reports have some ten thousand."""
_WORDS = re.compile(r"[^\W\d_]+")
_SAMPLE = 4000
_GLANCE = 1500
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f\ufffd]")


def why_not(text: str, low: str) -> NotAssessed | None:
    """Return why a text cannot be judged, or None."""
    if len(text) > LONGEST_REPORT:
        return NotAssessed.TOO_LONG
    if low.isascii() and _CONTROLS.search(low) is None and _english_at_a_glance(low):
        return None
    return _judged_closely(text, low[:_SAMPLE])


def _english_at_a_glance(low: str) -> bool:
    known = lexicon()
    found = set(low[:_GLANCE].split())
    english = len(found & known.english)
    return english >= 3 and english >= 2 * len(found & known.foreign)


def _judged_closely(text: str, sample: str) -> NotAssessed | None:
    if len(_CONTROLS.findall(sample)) * 50 > len(sample):
        return NotAssessed.NOT_TEXT
    found = _WORDS.findall(sample)
    if not found:
        return NotAssessed.EMPTY if not text.strip() else NotAssessed.NOT_TEXT
    known = lexicon()
    english = sum(map(known.english.__contains__, found))
    foreign = sum(map(known.foreign.__contains__, found))
    if foreign > 2 * english and foreign >= max(2, len(found) // 10):
        return NotAssessed.NOT_ENGLISH
    if not sample.isascii() and sum(map(str.isascii, found)) * 2 < len(found):
        return NotAssessed.NOT_ENGLISH
    if len(found) >= 4 and english == 0 and not any(map(known.vocabulary.__contains__, found)):
        return NotAssessed.NOT_ENGLISH
    return None
