"""What can go wrong while one work item is read.

Refused
`-- TooMuchMemory      the images need more memory than the reader's card allows; nothing was decoded
Failed
|-- ContractBroken     the reader's answer does not fit its card or its input
|-- InputChanged       a stored image is not the one that was received
|-- OutputNotFinite    the network gave NaN or infinity
`-- DeadlineExceeded   the reading took longer than the reader's card allows
"""

from coread.domain.errors import Failed, Refused
from coread.domain.reasons import Reason, ReasonCode


class TooMuchMemory(Refused):
    """The images need more memory than the limit."""

    def __init__(self, detail: str) -> None:
        self.reason = Reason(ReasonCode.OUT_OF_MEMORY, detail)
        super().__init__(self.reason.text())


class ContractBroken(Failed):
    """A reader's answer breaks the contract of readers or contradicts its own card."""


class InputChanged(Failed):
    """The bytes of a stored image differ from what the index says was received."""


class OutputNotFinite(Failed):
    """A network gave a number that is not finite."""


class DeadlineExceeded(Failed):
    """A reading took longer than its card allows."""
