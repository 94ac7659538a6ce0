"""The delivery worker: one thread per destination, so that a dead or slow peer never delays another."""

import os
import socket
import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from coread.deliver.commitment import CommitmentBook
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

    Raises BadDestination at once when a destination's address or options make no sense.
    """

    def __init__(
        self,
        outbox: Outbox,
        destinations: Sequence[Destination],
        *,
        credentials: Credentials | None = None,
        settings: LaneSettings | None = None,
        book: CommitmentBook | None = None,
    ) -> None:
        self.book = book or CommitmentBook()
        """Note reports here that arrive at our own SCP (N-EVENT-REPORT on the peer's association)."""
        self._outbox = outbox
        owner = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._lanes = [
            Lane(
                outbox,
                destination,
                transport_of(destination, credentials or Credentials(), self.book),
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
        return ended

    def wake(self) -> None:
        """Look for work now, e.g. after results were stored."""
        for lane in self._lanes:
            lane.wake()

    def state(self) -> tuple[DestinationState, ...]:
        """Return how each enabled destination stands."""
        counts = self._outbox.delivery_counts()
        return tuple(DestinationState(lane.state(), counts.get(lane.destination.name, {})) for lane in self._lanes)
