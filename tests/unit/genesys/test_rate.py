import pytest

from workers.genesys.budget import MINUTE_US, Rate


def requests_taken(rate, moments_us):
    """Apply the SQL statement's rule at each moment; return the moments at which a request is allowed."""
    paid_at_us, taken = 0, []
    for now_us in moments_us:
        if paid_at_us - now_us <= rate.burst_us:
            paid_at_us = max(paid_at_us, now_us) + rate.cost_us
            taken.append(now_us)
    return taken


@pytest.mark.parametrize("limit", [10, 60, 180, 300, 1000])
def test_no_minute_has_more_requests_than_the_limit(limit):
    taken = requests_taken(Rate(limit, is_background=False), range(0, 4 * MINUTE_US, 5_000))
    fullest = max(sum(start <= each < start + MINUTE_US for each in taken) for start in taken)
    assert fullest <= limit
    assert fullest >= 0.85 * limit


def test_a_tenth_of_the_limit_is_allowed_at_once():
    assert len(requests_taken(Rate(300, is_background=False), [1_000_000] * 300)) == 30


@pytest.mark.parametrize("limit", [10, 60, 300, 1000])
def test_urgent_callers_still_get_a_request_when_background_callers_get_none(limit):
    urgent, background = Rate(limit, is_background=False), Rate(limit, is_background=True)
    assert 0 <= background.ahead_us < urgent.ahead_us < urgent.burst_us
