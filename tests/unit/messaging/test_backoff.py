import pytest

from messaging.clock import CAP_SECONDS, delay_before


@pytest.mark.parametrize("attempt", [2, 5, 10, 1000, 10**9])
def test_the_delay_before_an_attempt_grows_to_a_cap_with_jitter(attempt):
    delays = {delay_before(attempt) for _ in range(50)}
    assert delay_before(1) == 0.0
    assert all(0 < delay <= CAP_SECONDS for delay in delays)
    assert len(delays) > 1
    assert attempt < 10 or min(delays) > max(delay_before(2) for _ in range(50))
