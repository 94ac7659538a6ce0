"""One destination's lane: claims its rows, sends them, records what became of each. One thread runs it.

Nothing here waits for another destination. A kill at any moment leaves rows that are sent again, and the peer
recognises the same SOP Instance UID.
"""

import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from coread.deliver.breaker import Breaker, BreakerPolicy, BreakerState, retry_delay
from coread.deliver.errors import ObjectRefused, PeerFailed
from coread.deliver.outbox import Outbox
from coread.deliver.outcome import SendResult
from coread.deliver.transport import Transport
from coread.domain.errors import CoreadError, InvalidRecord
from coread.domain.work import Delivery, DeliveryState, Destination, EvidenceRecord


@dataclass(frozen=True, slots=True)
class LaneSettings:
    """How a lane paces itself."""

    poll_seconds: float = 0.25
    """How often the store's change token is looked at while there is nothing to do."""
    due_seconds: float = 2.0
    """How often rows are asked for although nothing changed (their time may have come)."""
    batch: int = 8
    """Objects sent over one association while the peer is well."""
    first_retry_seconds: float = 2.0
    longest_retry_seconds: float = 600.0
    commitment_delay_seconds: float = 1.0
    """Objects that are sent within this time are asked for together."""
    commitment_retry_seconds: float = 60.0
    lease_margin_seconds: float = 30.0
    """How much longer than the peer's own time-outs a row is ours; after a kill it waits at most this long more."""
    breaker: BreakerPolicy = field(default_factory=BreakerPolicy)


@dataclass(frozen=True, slots=True)
class LaneState:
    """How one destination stands, for people."""

    destination: str
    breaker: BreakerState
    retry_in_seconds: float
    last_success_at: datetime | None
    last_error: str
    last_error_at: datetime | None


@dataclass(frozen=True, slots=True)
class _Claimed:
    delivery: Delivery
    evidence: EvidenceRecord


class Lane:
    """The work of one destination; ``run`` returns after ``stop``."""

    def __init__(
        self, outbox: Outbox, destination: Destination, transport: Transport, *, owner: str, settings: LaneSettings
    ) -> None:
        self.destination = destination
        self._outbox = outbox
        self._transport = transport
        self._owner = owner
        self._settings = settings
        self._breaker = Breaker(settings.breaker)
        self._rng = random.Random()
        self._stopping = threading.Event()
        self._woken = threading.Event()
        self._token = -1
        self._claim_at = 0.0
        self._commit_at = 0.0 if destination.storage_commitment else float("inf")
        self._last_success_at: datetime | None = None
        self._last_error = ""
        self._last_error_at: datetime | None = None

    def run(self) -> None:
        """Work until stopped."""
        while not self._stopping.is_set():
            try:
                pause = self.step()
            except Exception as problem:  # noqa: BLE001  the lane's edge: the error is shown in state(), rows keep their lease
                self._note_error(f"{type(problem).__name__}: {problem}")
                pause = self._settings.due_seconds
            if pause > 0:
                self._woken.wait(pause)
                self._woken.clear()

    def stop(self) -> None:
        """Ask ``run`` to return after the object under way."""
        self._stopping.set()
        self._woken.set()

    def wake(self) -> None:
        """Look for work now."""
        self._claim_at = 0.0
        self._woken.set()

    def state(self) -> LaneState:
        """Return how this destination stands."""
        breaker, now = self._breaker, time.monotonic()
        return LaneState(
            self.destination.name,
            breaker.state(now),
            breaker.remaining(now),
            self._last_success_at,
            self._last_error,
            self._last_error_at,
        )

    def step(self) -> float:
        """Do one piece of work; return how long to wait before the next (0: at once)."""
        now = time.monotonic()
        state = self._breaker.state(now)
        if state is BreakerState.OPEN:
            return min(self._breaker.remaining(now), 1.0)
        if state is BreakerState.HALF_OPEN and not self._probe():
            return 0.0
        if now >= self._commit_at:
            self._commit()
        if not self._worth_claiming(now):
            return self._settings.poll_seconds
        claimed = self._claim()
        if not claimed:
            return self._settings.poll_seconds
        self._claim_at = 0.0
        self._send(claimed)
        return 0.0

    def _worth_claiming(self, now: float) -> bool:
        """Say whether rows may be due: claiming writes, reading the change token does not."""
        token = self._outbox.change_token()
        if token == self._token and now < self._claim_at:
            return False
        self._token = token
        self._claim_at = now + self._settings.due_seconds
        return True

    def _probe(self) -> bool:
        try:
            self._transport.probe()
        except PeerFailed as problem:
            self._peer_failed(problem)
            return False
        self._breaker = self._breaker.after_success()
        return True

    def _claim(self) -> list[_Claimed]:
        """Claim up to a batch; one object only while the peer is in doubt."""
        limit = 1 if self._breaker.failures else self._settings.batch
        lease = 2 * self.destination.timeout_seconds * limit + self._settings.lease_margin_seconds
        claimed: list[_Claimed] = []
        while len(claimed) < limit and not self._stopping.is_set():
            delivery = self._outbox.claim_delivery(self.destination.name, self._owner, lease)
            if delivery is None:
                break
            evidence = self._outbox.evidence_record(delivery.evidence_id)
            if evidence is None:
                self._outbox.delivery_dead(delivery.delivery_id, "the object is no longer in the store")
                continue
            claimed.append(_Claimed(delivery, evidence))
        return claimed

    def _send(self, claimed: Sequence[_Claimed]) -> None:
        results = self._transport.send([self._outbox.path_of(item.evidence.path) for item in claimed])
        peer_problem: PeerFailed | None = None
        for item, result in zip(claimed, results, strict=True):
            if isinstance(result.error, PeerFailed):
                peer_problem = result.error
            self._record(item.delivery, result)
        if peer_problem is not None:
            self._peer_failed(peer_problem)

    def _record(self, delivery: Delivery, result: SendResult) -> None:
        try:
            if result.error is None:
                self._outbox.delivery_sent(delivery.delivery_id)
                self._succeeded()
            else:
                self._record_error(delivery, result.error)
        except InvalidRecord as moved:
            # Another deliverer took the row after our lease ran out: its word stands, ours changes nothing.
            self._note_error(f"delivery {delivery.delivery_id} was taken over: {moved}")

    def _record_error(self, delivery: Delivery, error: CoreadError) -> None:
        hopeless = isinstance(error, ObjectRefused) and error.permanent
        if isinstance(error, ObjectRefused):
            self._note_error(str(error))
        if hopeless or delivery.attempts >= self.destination.max_attempts:
            self._outbox.delivery_dead(delivery.delivery_id, str(error))
            return
        delay = retry_delay(
            delivery.attempts,
            rng=self._rng,
            first_seconds=self._settings.first_retry_seconds,
            longest_seconds=self._settings.longest_retry_seconds,
        )
        self._outbox.delivery_retry(delivery.delivery_id, str(error), datetime.now(UTC) + timedelta(seconds=delay))

    def _succeeded(self) -> None:
        self._breaker = self._breaker.after_success()
        self._last_success_at = datetime.now(UTC)
        if self.destination.storage_commitment:
            self._commit_at = min(self._commit_at, time.monotonic() + self._settings.commitment_delay_seconds)

    def _peer_failed(self, problem: PeerFailed) -> None:
        self._breaker = self._breaker.after_failure(time.monotonic())
        self._note_error(str(problem))

    def _note_error(self, text: str) -> None:
        self._last_error = text
        self._last_error_at = datetime.now(UTC)

    def _commit(self) -> None:
        """Ask for commitment of everything that was sent; also of what was sent before a restart."""
        self._commit_at = time.monotonic() + self._settings.commitment_retry_seconds
        waiting: dict[str, Delivery] = {}
        pairs: list[tuple[str, str]] = []
        for delivery in self._outbox.deliveries(destination=self.destination.name, state=DeliveryState.SENT):
            evidence = self._outbox.evidence_record(delivery.evidence_id)
            if evidence is not None:
                waiting[evidence.sop_instance_uid] = delivery
                pairs.append((evidence.sop_class_uid, evidence.sop_instance_uid))
        if not pairs:
            return
        try:
            answer = self._transport.commit(pairs)
        except PeerFailed as problem:
            self._note_error(str(problem))
            return
        for uid, delivery in waiting.items():
            if uid in answer.committed:
                self._outbox.delivery_committed(delivery.delivery_id)
            elif uid in answer.failed:
                reason = f"storage commitment failed with reason 0x{answer.failed[uid]:04X}"
                self._outbox.delivery_commit_failed(delivery.delivery_id, reason)
                self._note_error(reason)
