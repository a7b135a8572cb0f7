"""When the platform sends again: after no answer, 429 and 5xx, up to five times, five seconds apart."""

import pytest

from simulator.sender.retry_policy import RetryPolicy, retry_after_seconds, retry_delay

HONOURS = RetryPolicy(honours_retry_after=True)


@pytest.mark.parametrize(
    ("policy", "attempt", "status", "retry_after", "delay"),
    [
        (RetryPolicy(), 1, 200, None, None),
        (RetryPolicy(), 1, 302, None, None),
        (RetryPolicy(), 1, 400, None, None),
        (RetryPolicy(), 1, 401, None, None),
        (RetryPolicy(), 1, 413, None, None),
        (RetryPolicy(), 1, None, None, 5.0),
        (RetryPolicy(), 1, 429, None, 5.0),
        (RetryPolicy(), 1, 500, None, 5.0),
        (RetryPolicy(), 5, 503, None, 5.0),
        (RetryPolicy(), 6, 503, None, None),
        (RetryPolicy(), 1, 429, 17.0, 5.0),
        (HONOURS, 1, 429, 17.0, 17.0),
        (HONOURS, 1, 429, None, 5.0),
        (HONOURS, 6, 429, 17.0, None),
    ],
)
def test_the_platform_sends_again_when_it_says_it_does(policy, attempt, status, retry_after, delay):
    assert retry_delay(policy, attempt=attempt, status=status, retry_after=retry_after) == delay


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, None), ("7", 7.0), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("-1", None), ("", None)],
)
def test_retry_after_counts_only_in_seconds(header, seconds):
    assert retry_after_seconds(header) == seconds
