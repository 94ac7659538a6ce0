"""Slows down password guessing: per account and address together, and per address alone."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock


@dataclass(frozen=True, slots=True)
class ThrottleSettings:
    """How many failures are free and how long the pauses grow."""

    free_per_account: int = 5
    free_per_address: int = 25
    first_pause_seconds: float = 30.0
    longest_pause_seconds: float = 900.0
    forget_seconds: float = 3600.0
    remembered: int = 10_000


@dataclass(frozen=True, slots=True)
class _Failures:
    count: int
    last: float
    blocked_until: float


class LoginThrottle:
    """Counts failed logins in memory; pauses double. A pause never locks an account for other addresses."""

    def __init__(self, settings: ThrottleSettings | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings or ThrottleSettings()
        self._clock = clock
        self._failures: OrderedDict[tuple[str, str], _Failures] = OrderedDict()
        self._lock = Lock()

    def seconds_to_wait(self, account: str, address: str) -> float:
        """Return how long this account from this address must wait; 0 when it may try now."""
        now = self._clock()
        with self._lock:
            ends = [self._failures[key].blocked_until for key in _keys(account, address) if key in self._failures]
        return max([0.0, *(end - now for end in ends)])

    def failed(self, account: str, address: str) -> None:
        """Count one failed login."""
        free = (self._settings.free_per_account, self._settings.free_per_address)
        with self._lock:
            for key, allowed in zip(_keys(account, address), free, strict=True):
                self._count(key, allowed)

    def succeeded(self, account: str, address: str) -> None:
        """Forget the failures of this account from this address (not those of the address)."""
        with self._lock:
            self._failures.pop(_keys(account, address)[0], None)

    def _count(self, key: tuple[str, str], allowed: int) -> None:
        now = self._clock()
        before = self._failures.pop(key, None)
        fresh = before is None or now - before.last > self._settings.forget_seconds
        count = 1 if before is None or fresh else before.count + 1
        pause = 0.0
        if count >= allowed:
            doubled = self._settings.first_pause_seconds * 2.0 ** min(count - allowed, 16)
            pause = min(self._settings.longest_pause_seconds, doubled)
        self._failures[key] = _Failures(count, now, now + pause)
        while len(self._failures) > self._settings.remembered:
            self._failures.popitem(last=False)


def _keys(account: str, address: str) -> tuple[tuple[str, str], tuple[str, str]]:
    return ((account.casefold(), address), ("", address))
