"""When to leave a failing peer alone, and how long to wait before an object is tried again. Pure, no clock inside."""

import random
from dataclasses import dataclass
from enum import StrEnum


class BreakerState(StrEnum):
    """Closed: work. Open: leave the peer alone. Half open: one probe decides."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """How many failures in a row open the breaker, and for how long."""

    failures: int = 3
    open_seconds: float = 15.0
    longest_seconds: float = 300.0


@dataclass(frozen=True, slots=True)
class Breaker:
    """The state of one peer; every change returns a new record. Times are monotonic seconds."""

    policy: BreakerPolicy
    failures: int = 0
    openings: int = 0
    opened_at: float | None = None

    def state(self, now: float) -> BreakerState:
        """Return whether to work, to wait or to probe."""
        if self.opened_at is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if self.remaining(now) > 0 else BreakerState.HALF_OPEN

    def remaining(self, now: float) -> float:
        """Return the seconds until a probe is due."""
        if self.opened_at is None:
            return 0.0
        wait = min(self.policy.longest_seconds, self.policy.open_seconds * 2.0 ** min(self.openings - 1, 30))
        return max(0.0, self.opened_at + wait - now)

    def after_success(self) -> "Breaker":
        """Close."""
        return Breaker(self.policy)

    def after_failure(self, now: float) -> "Breaker":
        """Count one failure; opens at the limit, and at once (for twice as long) when a probe failed."""
        failures = self.failures + 1
        if self.opened_at is None and failures < self.policy.failures:
            return Breaker(self.policy, failures)
        return Breaker(self.policy, failures, self.openings + 1, now)


def retry_delay(
    attempts: int, *, rng: random.Random, first_seconds: float = 2.0, longest_seconds: float = 600.0
) -> float:
    """Return the seconds before the next attempt: doubling, bounded, with half of it by chance.

    Chance keeps objects that failed together from coming back together.
    """
    full = min(longest_seconds, first_seconds * 2.0 ** min(max(attempts - 1, 0), 30))
    return full * (0.5 + 0.5 * rng.random())
