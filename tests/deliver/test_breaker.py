"""Laws of the breaker and the back-off."""

import random

from hypothesis import given
from hypothesis import strategies as st

from coread.deliver.breaker import Breaker, BreakerPolicy, BreakerState, retry_delay

POLICY = BreakerPolicy(failures=3, open_seconds=10.0, longest_seconds=60.0)


def test_it_opens_at_the_limit_probes_after_the_wait_and_closes_on_success() -> None:
    breaker = Breaker(POLICY)
    for _ in range(2):
        breaker = breaker.after_failure(0.0)
        assert breaker.state(0.0) is BreakerState.CLOSED
    breaker = breaker.after_failure(0.0)
    assert breaker.state(9.9) is BreakerState.OPEN
    assert breaker.state(10.0) is BreakerState.HALF_OPEN
    breaker = breaker.after_failure(10.0)
    assert breaker.remaining(10.0) == 20.0
    assert breaker.after_success().state(10.0) is BreakerState.CLOSED


@given(st.lists(st.booleans(), max_size=60))
def test_it_never_waits_longer_than_the_policy_says(outcomes: list[bool]) -> None:
    breaker, now = Breaker(POLICY), 0.0
    for good in outcomes:
        breaker = breaker.after_success() if good else breaker.after_failure(now)
        assert 0.0 <= breaker.remaining(now) <= POLICY.longest_seconds
        now += 7.0


@given(st.integers(1, 10_000), st.integers())
def test_the_delay_is_bounded_and_never_zero(attempts: int, seed: int) -> None:
    delay = retry_delay(attempts, rng=random.Random(seed), first_seconds=2.0, longest_seconds=600.0)
    assert 1.0 <= delay <= 600.0
