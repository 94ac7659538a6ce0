"""Where a DICOM peer is and how long we wait for it."""

import ssl
from dataclasses import dataclass

from coread.deliver.errors import BadDestination
from coread.domain.work import Destination


@dataclass(frozen=True, slots=True)
class Peer:
    """A DICOM application entity that we call."""

    host: str
    port: int
    ae_title: str
    calling_ae_title: str = "COREAD"
    timeout_seconds: float = 30.0
    """For the connection, for the association and for each answer."""
    tls: ssl.SSLContext | None = None

    def __post_init__(self) -> None:
        if not self.host or not 0 < self.port < 65536:
            raise BadDestination(f"address {self.host!r}:{self.port} is not a host and a port from 1 to 65535")
        for title in (self.ae_title, self.calling_ae_title):
            if not 0 < len(title.strip()) <= 16 or not title.isascii() or "\\" in title:
                raise BadDestination(f"AE title {title!r} is not 1 to 16 ASCII characters (PS3.5 AE)")

    def __str__(self) -> str:
        return f"{self.ae_title}@{self.host}:{self.port}"


def peer_of(destination: Destination, *, calling_ae_title: str = "COREAD", tls: ssl.SSLContext | None = None) -> Peer:
    """Return the peer of a C-STORE destination; raises BadDestination when its address is not ``host:port``."""
    host, _, port = destination.address.rpartition(":")
    if not host or not port.isdigit():
        raise BadDestination(f"destination {destination.name!r}: {destination.address!r} is not host:port")
    if destination.tls and tls is None:
        raise BadDestination(f"destination {destination.name!r} wants TLS, but no certificates are configured")
    return Peer(
        host=host.strip("[]"),
        port=int(port),
        ae_title=destination.ae_title or "ANY-SCP",
        calling_ae_title=calling_ae_title,
        timeout_seconds=destination.timeout_seconds,
        tls=tls if destination.tls else None,
    )
