"""Why a reference object is not made.

InvalidRecord (domain)
`-- BadTruth    the stated truth cannot be: negative, outside the body, overlapping, unknown name
"""

from coread.domain.errors import InvalidRecord


class BadTruth(InvalidRecord):
    """The stated truth contradicts itself or the anatomy; the message says which value and what is allowed."""
