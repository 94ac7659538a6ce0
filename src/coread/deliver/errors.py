"""What can go wrong on the way out. Foreign exceptions are translated into these once, here in this room.

CoreadError
|-- Failed
|   |-- FolderFailed        the folder that fetched objects go to cannot be written
|   `-- PeerFailed          the peer or the way to it: counts towards its circuit breaker, tried again
|       |-- PeerUnreachable no connection
|       |-- PeerTimedOut    connected, but no answer in time
|       |-- PeerRefused     association rejected, or HTTP 401, 403, 404 for the whole service
|       `-- PeerAborted     connection lost or answer cut short
|-- Refused
|   `-- ObjectRefused       the peer works but does not take this object; ``permanent`` says whether to try again
`-- Misconfigured
    `-- BadDestination      an address that cannot be read
"""

from coread.domain.errors import Failed, Misconfigured, Refused


class PeerFailed(Failed):
    """The peer, or the way to it, does not work now."""


class FolderFailed(Failed):
    """What an archive sends cannot be written here."""


class PeerUnreachable(PeerFailed):
    """No connection could be made."""


class PeerTimedOut(PeerFailed):
    """The peer took the connection but did not answer in time."""


class PeerRefused(PeerFailed):
    """The peer rejected the association or the credentials."""


class PeerAborted(PeerFailed):
    """The peer cut the connection before it answered."""


class ObjectRefused(Refused):
    """The peer answered, and does not take this object."""

    def __init__(self, message: str, *, status: int | None = None, permanent: bool = True) -> None:
        super().__init__(message)
        self.status = status
        self.permanent = permanent


class BadDestination(Misconfigured):
    """A destination's address cannot be used."""
