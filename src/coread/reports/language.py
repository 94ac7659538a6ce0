"""Whether a text can be judged at all: there is some, it is text, it is English, and not endless."""

import re

from coread.reports.lexicon import lexicon
from coread.reports.records import NotAssessed

LONGEST_REPORT = 2_000_000
"""Characters. The longest real reports have some ten thousand."""
_WORDS = re.compile(r"[^\W\d_]+")
_SAMPLE = 4000
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f\ufffd]")


def why_not(text: str, low: str) -> NotAssessed | None:
    """Return why a text cannot be judged, or None."""
    if len(text) > LONGEST_REPORT:
        return NotAssessed.TOO_LONG
    sample = low[:_SAMPLE]
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
    if not low.isascii() and sum(map(str.isascii, found)) * 2 < len(found):
        return NotAssessed.NOT_ENGLISH
    if len(found) >= 4 and english == 0 and not any(map(known.vocabulary.__contains__, found)):
        return NotAssessed.NOT_ENGLISH
    return None
