"""The delivery worker: one thread per destination, so that a dead or slow peer never delays another."""

import os
import socket
import threading
import uuid
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from coread.deliver.commitment import CommitmentBook, commitment_listener
from coread.deliver.lane import Lane, LaneSettings, LaneState
from coread.deliver.outbox import Outbox
from coread.deliver.transport import Credentials, transport_of
from coread.domain.work import DeliveryState, Destination


@dataclass(frozen=True, slots=True)
class DestinationState:
    """One destination for people: how its peer is, and how many objects stand where."""

    lane: LaneState
    counts: Mapping[DeliveryState, int]


class DeliveryWorker:
    """Sends everything that is queued for the enabled destinations until stopped.

    ``listen`` (host, port) is where peers send storage commitment reports that do not come on our own association.
    Raises BadDestination at once when a destination's address or options make no sense.
    """

    def __init__(
        self,
        outbox: Outbox,
        destinations: Sequence[Destination],
        *,
        credentials: Credentials | None = None,
        settings: LaneSettings | None = None,
        listen: tuple[str, int] | None = None,
    ) -> None:
        self._book = CommitmentBook()
        self._credentials = credentials or Credentials()
        self._listen = listen if any(item.storage_commitment for item in destinations) else None
        self._open = ExitStack()
        self._outbox = outbox
        owner = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._lanes = [
            Lane(
                outbox,
                destination,
                transport_of(destination, self._credentials, self._book),
                owner=owner,
                settings=settings or LaneSettings(),
            )
            for destination in destinations
            if destination.enabled
        ]
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start one thread per destination; does nothing when they run."""
        if self._threads:
            return
        if self._listen is not None:
            host, port = self._listen
            title = self._credentials.calling_ae_title
            self._open.enter_context(commitment_listener(self._book, host=host, port=port, ae_title=title))
        for lane in self._lanes:
            thread = threading.Thread(target=lane.run, name=f"deliver-{lane.destination.name}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self, *, seconds: float = 10.0) -> bool:
        """Ask every lane to end and wait so long; True when all have ended (rows of the others keep their lease)."""
        for lane in self._lanes:
            lane.stop()
        for thread in self._threads:
            thread.join(seconds)
        ended = not any(thread.is_alive() for thread in self._threads)
        self._threads.clear()
        self._open.close()
        return ended

    def wake(self) -> None:
        """Look for work now, e.g. after results were stored."""
        for lane in self._lanes:
            lane.wake()

    def state(self) -> tuple[DestinationState, ...]:
        """Return how each enabled destination stands."""
        counts = self._outbox.delivery_counts()
        return tuple(DestinationState(lane.state(), counts.get(lane.destination.name, {})) for lane in self._lanes)
