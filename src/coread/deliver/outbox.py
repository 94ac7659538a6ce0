"""What the delivery worker needs from the store: rows that survive a kill at any moment."""

from datetime import datetime
from pathlib import Path
from typing import Protocol

from coread.domain.work import Delivery, DeliveryState, EvidenceRecord


class Outbox(Protocol):
    """The delivery rows. Every change is one transaction with its history row."""

    def claim_delivery(self, destination: str, owner: str, lease_seconds: float) -> Delivery | None:
        """Take the next due row (queued, or sending with an expired lease): SENDING, attempts + 1."""

    def delivery_sent(self, delivery_id: int) -> None:
        """Record that the peer answered success."""

    def delivery_retry(self, delivery_id: int, error: str, next_attempt_at: datetime) -> None:
        """Queue again for a later moment."""

    def delivery_dead(self, delivery_id: int, error: str) -> None:
        """Make it a dead letter."""

    def delivery_committed(self, delivery_id: int) -> None:
        """Record the peer's storage commitment."""

    def delivery_commit_failed(self, delivery_id: int, error: str) -> None:
        """Queue again: the peer does not have it after all."""

    def deliveries(
        self, study_uid: str | None = None, destination: str | None = None, state: DeliveryState | None = None
    ) -> tuple[Delivery, ...]:
        """Return rows by destination and state."""

    def delivery_counts(self) -> dict[str, dict[DeliveryState, int]]:
        """Return how many rows each destination has in each state."""

    def evidence_record(self, evidence_id: int) -> EvidenceRecord | None:
        """Return the object that a row sends."""

    def path_of(self, relative: str) -> Path:
        """Return the file of a stored object."""

    def change_token(self) -> int:
        """Return a number that grows with every change."""
