"""Why a number cannot be given. A statistic is either a number or one of these, never NaN.

Refused
|-- NotEstimable     the data are sound but do not hold the number (one class only, no cases, a single reader ...)
|-- UnsuitableData   the arrays contradict themselves (lengths, NaN, probabilities outside [0, 1])
`-- UnreadableStudy  a reader-study file does not follow its format
Misconfigured
`-- MissingExtra     a library that this statistic needs is not installed
"""

from coread.domain.errors import Misconfigured, Refused


class NotEstimable(Refused):
    """These cases do not determine this number; the message says what is missing."""


class UnsuitableData(Refused):
    """Arrays that cannot belong together or hold values that mean nothing."""


class UnreadableStudy(Refused):
    """A file of a reader study breaks the format; the message names the line."""


class MissingExtra(Misconfigured):
    """A statistic needs a library of an extra; the message says how to install it."""
