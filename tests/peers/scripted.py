"""Peers that misbehave in a way that a test writes down: slow, refusing, aborting, out of resources."""

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pynetdicom import AE, AllStoragePresentationContexts, evt

PLAIN = ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2"]


@dataclass
class ScriptedScp:
    """A storage SCP whose answers are taken from a script, then success."""

    port: int
    received: list[str] = field(default_factory=list)
    associations: int = 0


@contextmanager
def scripted_scp(
    *,
    statuses: Sequence[int] = (),
    sop_classes: Sequence[str] = (),
    calling_titles: Sequence[str] = (),
    on_store: Callable[[Any], None] | None = None,
) -> Iterator[ScriptedScp]:
    """Run a storage SCP: answers ``statuses`` in turn, then success; only ``sop_classes`` when given."""
    entity = AE(ae_title="SCRIPTED")
    entity.supported_contexts = AllStoragePresentationContexts[:120] if not sop_classes else []
    for uid in sop_classes:
        entity.add_supported_context(uid, PLAIN)
    entity.add_supported_context("1.2.840.10008.1.1")
    if calling_titles:
        entity.require_calling_aet = list(calling_titles)
    script = list(statuses)
    peer = ScriptedScp(0)

    def store(event: Any) -> int:
        if on_store is not None:
            on_store(event)
        status = script.pop(0) if script else 0
        if status == 0:
            peer.received.append(str(event.request.AffectedSOPInstanceUID))
        return status

    def accepted(event: Any) -> None:
        peer.associations += 1

    server: Any = entity.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, store), (evt.EVT_ACCEPTED, accepted)]
    )
    peer.port = int(server.socket.getsockname()[1])
    try:
        yield peer
    finally:
        server.shutdown()


@contextmanager
def silent_server(*, answer: bytes = b"") -> Iterator[int]:
    """Listen, take connections, say ``answer`` (or nothing), and never close: yields the port."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.2)
    stop = threading.Event()
    held: list[socket.socket] = []

    def serve() -> None:
        while not stop.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            held.append(connection)
            if answer:
                connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        stop.set()
        thread.join()
        listener.close()
        for connection in held:
            connection.close()
