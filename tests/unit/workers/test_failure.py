import pytest

from messaging.errors import RejectedEventError
from workers.intake.failure import (
    HANDLER_FAILED,
    MOST_PAUSED_SECONDS,
    TOO_SLOW,
    Failure,
    HandlerFailedError,
    failure_of,
    pause_before_next,
)

FAILED = Failure(HANDLER_FAILED, "handler a:b: KeyError", is_final=False)


@pytest.mark.parametrize(
    ("tries", "attempts", "pause"), [(0, 3, 1.0), (1, 3, 4.0), (2, 3, None), (0, 1, None), (9, 3, None)]
)
def test_pauses_grow_until_the_attempts_are_used_up(tries, attempts, pause):
    assert pause_before_next(FAILED, tries, attempts) == pause


@pytest.mark.parametrize(("asked", "given"), [(30.0, 30.0), (0.0, 0.0), (-1.0, 0.0), (1e9, 300.0)])
def test_a_handler_gets_the_delay_that_it_asks_for_within_bounds(asked, given):
    error = HandlerFailedError("a:b", "RetryLaterError", delay=asked)

    assert pause_before_next(failure_of(error), 0, 3) == given


@pytest.mark.parametrize("attempts", [2, 3, 10, 100])
def test_all_pauses_together_stay_below_the_brokers_patience(attempts):
    pauses = [pause_before_next(FAILED, tries, attempts) or 0.0 for tries in range(attempts)]

    assert sum(pauses) <= MOST_PAUSED_SECONDS


@pytest.mark.parametrize(
    "error", [RejectedEventError("x", "y"), HandlerFailedError("a:b", "QueryCanceled", code=TOO_SLOW)]
)
def test_what_no_retry_can_help_is_given_up_at_once(error):
    assert pause_before_next(failure_of(error), 0, 3) is None


def test_a_reason_names_handler_and_type_and_never_the_errors_text():
    error = HandlerFailedError("acme.crm:on_message", "ValueError")
    with pytest.raises(ValueError, match="personal") as caught:
        int("personal")
    error.__cause__ = caught.value

    failure = failure_of(error)

    assert failure.reason == "handler acme.crm:on_message: ValueError"
    assert failure.where.startswith("test_failure.py:")
    assert "personal" not in str(failure)
