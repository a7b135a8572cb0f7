"""The delay before an attempt grows to a cap, with jitter."""

import pytest

from messaging.clock import CAP_SECONDS, delay_before


def test_the_first_attempt_does_not_wait():
    assert delay_before(1) == 0.0


@pytest.mark.parametrize("attempt", [2, 5, 10, 1000, 10**9])
def test_later_attempts_wait_at_most_the_cap(attempt):
    delays = {delay_before(attempt) for _ in range(50)}

    assert all(0 < delay <= CAP_SECONDS for delay in delays)
    assert len(delays) > 1


def test_the_delay_grows():
    assert max(delay_before(2) for _ in range(50)) < min(delay_before(8) for _ in range(50))
