"""One association with a peer through pynetdicom, with its failures translated into this room's errors."""

import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from coread.deliver.checkpoint import guard
from coread.deliver.errors import (
    ObjectRefused,
    PeerAborted,
    PeerFailed,
    PeerRefused,
    PeerTimedOut,
    PeerUnreachable,
)
from coread.deliver.peer import Peer

MAX_CONTEXTS = 128
"""Presentation context IDs are the odd numbers from 1 to 255 (PS3.8 section 9.3.2.2)."""


_VERIFICATION = "1.2.840.10008.1.1"


@dataclass(frozen=True, slots=True)
class ProposedContext:
    """One presentation context: an abstract syntax with one or more transfer syntaxes."""

    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


def _entity(peer: Peer, sockets: list[Any]) -> Any:
    from pynetdicom import AE, _config

    class Caller(AE):  # type: ignore[misc,unused-ignore]
        """Notes the socket that it opens: pynetdicom forgets to close it when the connection fails."""

        def _create_socket(self, *arguments: Any) -> Any:
            made = super()._create_socket(*arguments)
            sockets.append(made.socket)
            return made

    # The documented switch that makes a C-STORE of a path send the file's bytes as they are, piece by piece.
    _config.STORE_SEND_CHUNKED_DATASET = True
    entity = Caller(ae_title=peer.calling_ae_title)
    entity.acse_timeout = peer.timeout_seconds
    entity.dimse_timeout = peer.timeout_seconds
    entity.network_timeout = max(peer.timeout_seconds, 60.0)
    entity.connection_timeout = min(peer.timeout_seconds, 10.0)
    return entity


def _tune(timeout_seconds: float, opened: list[bool]) -> Callable[[Any], None]:
    """Return a handler that sets TCP_NODELAY and a time-out, so that a peer that stops reading cannot hold us."""

    def connection_open(event: Any) -> None:
        raw = event.assoc.dul.socket.socket
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw.settimeout(timeout_seconds)
        opened.append(True)

    return connection_open


@contextmanager
def associated(
    peer: Peer,
    contexts: Sequence[ProposedContext],
    *,
    handlers: Sequence[tuple[Any, Callable[..., Any]]] = (),
) -> Iterator[Any]:
    """Yield an established association and release it at the end.

    Raises PeerFailed when there is none, and ObjectRefused when the peer takes no presentation context.
    """
    from pynetdicom import evt
    from pynetdicom.presentation import build_context

    sockets: list[Any] = []
    entity = _entity(peer, sockets)
    opened: list[bool] = []
    started = time.monotonic()
    association = entity.associate(
        peer.host,
        peer.port,
        contexts=[build_context(item.abstract_syntax, list(item.transfer_syntaxes)) for item in contexts],
        ae_title=peer.ae_title,
        tls_args=None if peer.tls is None else (peer.tls, peer.host),
        evt_handlers=[(evt.EVT_CONN_OPEN, _tune(peer.timeout_seconds, opened)), *handlers],
    )
    if not association.is_established:
        for unused in sockets:
            unused.close()
        raise _why_not(peer, association, opened=bool(opened), seconds=time.monotonic() - started)
    guard(association)
    try:
        yield association
    except BaseException:
        association.abort()
        raise
    if association.is_established:
        association.release()


def _why_not(peer: Peer, association: Any, *, opened: bool, seconds: float) -> PeerFailed | ObjectRefused:
    if not opened:
        return PeerUnreachable(f"{peer} cannot be reached: check address, port and that the peer is running")
    if association.is_rejected:
        answer = association.acceptor.primitive
        because = f": {answer.reason_str}" if answer is not None else ""
        return PeerRefused(
            f"{peer} rejected the association{because}; check that it knows our AE title {peer.calling_ae_title!r}"
        )
    if association.rejected_contexts:
        return ObjectRefused(f"{peer} accepts none of the offered SOP classes and transfer syntaxes", status=0x0122)
    if seconds >= peer.timeout_seconds * 0.9:
        return PeerTimedOut(f"{peer} did not answer the association request in {peer.timeout_seconds:g} s")
    return PeerAborted(f"{peer} cut the connection during association negotiation")


def echo(peer: Peer) -> None:
    """Send C-ECHO; raises PeerFailed unless the peer answers success."""
    contexts = [ProposedContext(_VERIFICATION, ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2"))]
    with associated(peer, contexts) as association:
        status = association.send_c_echo()
        if "Status" not in status:
            raise PeerTimedOut(f"{peer} did not answer C-ECHO in {peer.timeout_seconds:g} s")
        if status.Status != 0:
            raise PeerRefused(f"{peer} answered C-ECHO with status 0x{status.Status:04X}")
