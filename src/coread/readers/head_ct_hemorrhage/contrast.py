"""What the descriptions of a series say of contrast medium, in the words that are used on scanners."""

import re

from coread.domain.study import InstanceHeader

_WITHOUT = re.compile(
    r"\b(non|no|ohne|sans|without|w/o|sin|senza|zonder)[\s_-]*(iv[\s_-]*)?(contrast\w*|contraste|kontrast\w*|km)\b"
    r"|\bncct\b|\bunenhanced\b|\bnativ\w*\b|\bplain\b|\bc-(?!\w)|-c\b(?!\w)|\bpre[\s_-]*contrast",
    re.IGNORECASE,
)
_WITH = re.compile(
    r"\bcontrast\w*|\bkontrast\w*|\bcontraste|\bcta\b|\bctv\b|\bctp\b|\bangio\w*|\bperfusion\w*|\bpost[\s_-]*(iv|gad|km)\b"
    r"|\bce[\s_-]?ct\b|\bcect\b|\benhanced\b|\bc\+(?!\w)|\+c\b|\bvenous\b|\barterial\b",
    re.IGNORECASE,
)


def stated_contrast(header: InstanceHeader) -> str:
    """Return the words that say that contrast medium was given, or the empty string.

    Series description and protocol name are believed; the description of the study may speak of several series. What
    is said to be without contrast is taken out first.
    """
    for text in (header.series_description, header.protocol_name):
        if found := _WITH.search(_WITHOUT.sub(" ", text)):
            return found.group(0)
    return ""
