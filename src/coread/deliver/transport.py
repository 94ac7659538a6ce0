"""One destination's way of taking objects, chosen by its protocol: the worker's loop knows only this contract."""

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from coread.deliver.association import echo
from coread.deliver.commitment import CommitmentAnswer, CommitmentBook, request_commitment
from coread.deliver.errors import BadDestination, ObjectRefused
from coread.deliver.outcome import SendResult
from coread.deliver.peer import Peer, peer_of
from coread.deliver.send import send_objects
from coread.deliver.stow import stow_objects
from coread.deliver.web import WebService, probe
from coread.domain.work import DeliveryProtocol, Destination


class Transport(Protocol):
    """How objects reach one destination."""

    def send(self, paths: Sequence[Path]) -> tuple[SendResult, ...]:
        """Send files; one result for each, never an exception."""

    def probe(self) -> None:
        """Raise PeerFailed unless the peer answers a question that costs nothing."""

    def commit(self, objects: Sequence[tuple[str, str]]) -> CommitmentAnswer:
        """Ask the peer to commit to (SOP class, SOP instance) pairs; raises PeerFailed."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What we show to peers."""

    calling_ae_title: str = "COREAD"
    tls: ssl.SSLContext | None = None
    headers: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """HTTP headers by destination name, e.g. ``Authorization``."""


@dataclass(frozen=True, slots=True)
class DicomTransport:
    """C-STORE, C-ECHO and storage commitment."""

    peer: Peer
    book: CommitmentBook
    commitment_seconds: float = 10.0

    def send(self, paths: Sequence[Path]) -> tuple[SendResult, ...]:
        """Send over one association."""
        return send_objects(self.peer, paths)

    def probe(self) -> None:
        """C-ECHO; a peer that knows no Verification is alive too."""
        try:
            echo(self.peer)
        except ObjectRefused:
            return

    def commit(self, objects: Sequence[tuple[str, str]]) -> CommitmentAnswer:
        """N-ACTION, then the report."""
        return request_commitment(self.peer, objects, book=self.book, wait_seconds=self.commitment_seconds)


@dataclass(frozen=True, slots=True)
class WebTransport:
    """STOW-RS."""

    service: WebService

    def send(self, paths: Sequence[Path]) -> tuple[SendResult, ...]:
        """Send in as few requests as possible."""
        return stow_objects(self.service, paths)

    def probe(self) -> None:
        """A search for one study."""
        try:
            probe(self.service)
        except ObjectRefused:
            return

    def commit(self, objects: Sequence[tuple[str, str]]) -> CommitmentAnswer:
        """DICOMweb has no storage commitment in this version."""
        raise BadDestination(
            f"{self.service}: storage commitment of {len(objects)} objects needs a C-STORE destination"
        )


def transport_of(destination: Destination, credentials: Credentials, book: CommitmentBook) -> Transport:
    """Return the transport of a destination; raises BadDestination when its address or options make no sense."""
    if destination.protocol is DeliveryProtocol.C_STORE:
        peer = peer_of(destination, calling_ae_title=credentials.calling_ae_title, tls=credentials.tls)
        return DicomTransport(peer, book)
    if destination.storage_commitment:
        raise BadDestination(f"destination {destination.name!r}: storage commitment needs C-STORE")
    headers = credentials.headers.get(destination.name, {})
    return WebTransport(WebService(destination.address, destination.timeout_seconds, headers, credentials.tls))
