"""The store's delivery rows in memory, with the same moves: lets the worker be tested without a database."""

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from coread.domain.states import DELIVERY_MOVES, check_move
from coread.domain.work import Delivery, DeliveryState, EvidenceKind, EvidenceRecord


class MemoryOutbox:
    """Thread-safe rows; checks every move against the table."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._rows: dict[int, Delivery] = {}
        self._leases: dict[int, datetime] = {}
        self._evidence: dict[int, EvidenceRecord] = {}
        self._token = 0

    def add(self, path: Path, *, sop_class_uid: str, sop_instance_uid: str, destinations: tuple[str, ...]) -> None:
        """Queue one object for these destinations."""
        with self._lock:
            evidence_id = len(self._evidence) + 1
            self._evidence[evidence_id] = EvidenceRecord(
                evidence_id,
                1,
                EvidenceKind.SECONDARY_CAPTURE,
                sop_class_uid,
                sop_instance_uid,
                "1.2.3",
                "1.2",
                str(path),
                "",
                path.stat().st_size if path.exists() else 0,
                datetime.now(UTC),
            )
            for name in destinations:
                number = len(self._rows) + 1
                self._rows[number] = Delivery(number, evidence_id, name, DeliveryState.QUEUED, 0, datetime.now(UTC))
            self._token += 1

    def claim_delivery(self, destination: str, owner: str, lease_seconds: float) -> Delivery | None:  # noqa: ARG002
        now = datetime.now(UTC)
        with self._lock:
            for number, found in self._rows.items():
                row = found
                if row.destination != destination:
                    continue
                if row.state is DeliveryState.SENDING and self._leases[number] < now:
                    row = self._move(number, DeliveryState.QUEUED)
                if row.state is DeliveryState.QUEUED and (row.next_attempt_at or now) <= now:
                    self._leases[number] = now + timedelta(seconds=lease_seconds)
                    return self._move(number, DeliveryState.SENDING, attempts=row.attempts + 1)
        return None

    def _move(self, number: int, state: DeliveryState, **changes: object) -> Delivery:
        row = self._rows[number]
        check_move(DELIVERY_MOVES, row.state, state)
        self._rows[number] = replace(row, state=state, **changes)  # type: ignore[arg-type]
        self._token += 1
        return self._rows[number]

    def delivery_sent(self, delivery_id: int) -> None:
        with self._lock:
            self._move(delivery_id, DeliveryState.SENT, last_error="", finished_at=datetime.now(UTC))

    def delivery_retry(self, delivery_id: int, error: str, next_attempt_at: datetime) -> None:
        with self._lock:
            self._move(delivery_id, DeliveryState.QUEUED, last_error=error, next_attempt_at=next_attempt_at)

    def delivery_dead(self, delivery_id: int, error: str) -> None:
        with self._lock:
            self._move(delivery_id, DeliveryState.DEAD, last_error=error)

    def delivery_committed(self, delivery_id: int) -> None:
        with self._lock:
            self._move(delivery_id, DeliveryState.COMMITTED)

    def delivery_commit_failed(self, delivery_id: int, error: str) -> None:
        with self._lock:
            self._move(delivery_id, DeliveryState.QUEUED, last_error=error)

    def requeue_delivery(self, delivery_id: int, actor: str) -> None:  # noqa: ARG002
        with self._lock:
            self._move(delivery_id, DeliveryState.QUEUED, attempts=0, next_attempt_at=None)

    def deliveries(
        self,
        study_uid: str | None = None,  # noqa: ARG002
        destination: str | None = None,
        state: DeliveryState | None = None,
    ) -> tuple[Delivery, ...]:
        with self._lock:
            return tuple(
                row
                for row in self._rows.values()
                if destination in (None, row.destination) and state in (None, row.state)
            )

    def delivery_counts(self) -> dict[str, dict[DeliveryState, int]]:
        counts: dict[str, dict[DeliveryState, int]] = {}
        for row in self.deliveries():
            states = counts.setdefault(row.destination, {})
            states[row.state] = states.get(row.state, 0) + 1
        return counts

    def evidence_record(self, evidence_id: int) -> EvidenceRecord | None:
        return self._evidence.get(evidence_id)

    def path_of(self, relative: str) -> Path:
        return Path(relative)

    def change_token(self) -> int:
        return self._token

    def states(self, destination: str) -> list[DeliveryState]:
        """Return the states of one destination's rows."""
        return [row.state for row in self.deliveries(destination=destination)]
