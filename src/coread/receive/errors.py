"""What can go wrong on the way in.

CoreadError
|-- Misconfigured
|   `-- BadSettings          a setting of the receiver is wrong, a certificate cannot be read, the port is taken
|-- Refused
|   |-- ObjectRefused        one object is not kept; carries the DIMSE status and the coded reason
|   `-- PartRefused          one part of a multipart request is not kept
`-- Failed
    |-- ConnectionEnded      the connection is over
    |   |-- PeerClosed       the peer closed it, or the network did
    |   |-- PeerTooSlow      a time-out: nothing came, or too little
    |   `-- ReceiverStopping we are shutting down
    |-- ProtocolBroken       the peer sent what PS3.8 or PS3.7 forbid: answered with A-ABORT
    `-- MultipartBroken      the body is not multipart/related as PS3.18 8.6 describes
"""

from coread.domain.errors import Failed, Misconfigured, Refused
from coread.domain.reasons import Reason


class BadSettings(Misconfigured):
    """A setting of the receiver is wrong; the message says which."""


class ObjectRefused(Refused):
    """One object is not kept. ``keep`` says whether its bytes go to quarantine."""

    def __init__(self, status: int, message: str, reason: Reason | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


class PartRefused(Refused):
    """One part of a multipart body is not kept."""

    def __init__(self, failure: int, reason: Reason) -> None:
        super().__init__(reason.text())
        self.failure = failure
        self.reason = reason


class ConnectionEnded(Failed):
    """The connection is over before its orderly end."""


class PeerClosed(ConnectionEnded):
    """The peer or the network closed the connection."""


class PeerTooSlow(ConnectionEnded):
    """Nothing, or too little, came within the time allowed."""


class ReceiverStopping(ConnectionEnded):
    """This receiver is shutting down."""


class ProtocolBroken(Failed):
    """The peer broke the upper layer protocol. ``reason`` is the A-ABORT reason of PS3.8 table 9-26."""

    def __init__(self, message: str, reason: int = 0) -> None:
        super().__init__(message)
        self.reason = reason


class MultipartBroken(Failed):
    """The request body is not what its Content-Type says."""
