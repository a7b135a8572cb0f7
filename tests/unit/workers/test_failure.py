from math import inf, nan

import pytest

from messaging.errors import RejectedEventError
from workers.intake.failure import (
    HANDLER_FAILED,
    MAX_TOTAL_DELAY_SECONDS,
    TOO_SLOW,
    Failure,
    HandlerFailedError,
    choose_delay,
    describe_failure,
)

FAILED = Failure(HANDLER_FAILED, "handler a:b: KeyError", is_final=False)


@pytest.mark.parametrize(
    ("attempt", "attempts", "delay"), [(1, 3, 1.0), (2, 3, 4.0), (3, 3, None), (1, 1, None), (10, 3, None)]
)
def test_delays_grow_until_the_attempts_are_used_up(attempt, attempts, delay):
    assert choose_delay(FAILED, attempt, attempts) == delay


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        *[(30.0, 30.0), (0.0, 0.0), (-1.0, 0.0), (1e9, 300.0), (10**400, 300.0), (-(10**400), 0.0)],
        *[(None, 1.0), ("60", 1.0), (nan, 1.0), (inf, 1.0), (-inf, 1.0)],
    ],
)
def test_a_handler_gets_the_delay_that_it_requests_within_bounds(asked, given):
    error = HandlerFailedError("a:b", "RetryLaterError", delay=asked)
    assert choose_delay(describe_failure(error), 1, 3) == given


@pytest.mark.parametrize("attempts", [2, 3, 10, 100])
def test_all_delays_together_stay_below_the_brokers_time_limit(attempts):
    delays = [choose_delay(FAILED, attempt, attempts) or 0.0 for attempt in range(1, attempts + 1)]
    assert sum(delays) <= MAX_TOTAL_DELAY_SECONDS


@pytest.mark.parametrize(
    "error", [RejectedEventError("x", "y"), HandlerFailedError("a:b", "QueryCanceled", code=TOO_SLOW)]
)
def test_a_final_failure_is_not_retried(error):
    assert choose_delay(describe_failure(error), 1, 3) is None


def test_a_reason_names_the_handler_and_the_type_of_the_error_but_omits_its_text():
    error = HandlerFailedError("acme.crm:on_message", "ValueError")
    with pytest.raises(ValueError, match="personal") as caught:
        int("personal")
    error.__cause__ = caught.value
    failure = describe_failure(error)
    assert failure.reason == "handler acme.crm:on_message: ValueError"
    assert failure.where.startswith("test_failure.py:")
    assert "personal" not in str(failure)
