"""Why evidence could not be made or must not leave.

Failed
`-- EvidenceError
    |-- SourceUnreadable   a source image of the reading cannot be read any more
    |-- NotBuilt           the result contradicts its card or its sources: no legal object stands for it
    `-- NotProven          a written object did not say, when read back, what the result says: nothing leaves
"""

from coread.domain.errors import Failed


class EvidenceError(Failed):
    """Base of everything that goes wrong between a result and its DICOM objects."""


class SourceUnreadable(EvidenceError):
    """A source image that the reading names is gone, damaged, or not of this study."""


class NotBuilt(EvidenceError):
    """The result cannot be written as a legal object; the message names the finding and the rule."""


class NotProven(EvidenceError):
    """An object failed its proof; the message lists every check that failed."""
