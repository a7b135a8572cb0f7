"""Urgent callers and background callers share the request budget, on PostgreSQL and on SQLite."""

import pytest
from sqlalchemy import event

from tests.fakes.clock import FakeClock
from workers.genesys import PlatformBusyError, RequestBudget

LIMIT = 300
MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US


class OutOfTurnError(Exception):
    """Raised instead of waiting if a caller would have to wait for its turn."""


def waits(_seconds):
    raise OutOfTurnError


@pytest.fixture
def clock():
    return FakeClock(1_800_000_000.0)


@pytest.fixture
def urgent(engine, clock):
    return RequestBudget(engine, "client", LIMIT, clock)


@pytest.fixture
def background(engine, clock):
    return RequestBudget(engine, "client", LIMIT, clock, is_background=True, wait=waits)


def takes(budget):
    try:
        budget.take()
    except (PlatformBusyError, OutOfTurnError):
        return False
    return True


def test_busy_background_callers_never_make_an_urgent_caller_wait(urgent, background, clock):
    """Guarantee 7.15."""
    for _ in range(60):
        while takes(background):
            pass
        assert takes(urgent)
        clock.us += MINUTE_US // 60


def test_background_callers_get_a_tenth_while_urgent_callers_take_all_they_can(urgent, background, clock):
    ends_us, counts = clock.us + 2 * MINUTE_US, {True: 0, False: 0}
    while clock.us < ends_us:
        counts[True] += takes(urgent)
        counts[False] += takes(background)
        clock.us += 50_000
    assert 0.08 * 2 * LIMIT <= counts[False] <= 0.13 * 2 * LIMIT
    assert counts[True] + counts[False] <= 2 * LIMIT


def test_background_callers_use_the_requests_that_urgent_callers_leave(background, clock):
    began_us, taken = clock.us, 0
    while clock.us < began_us + MINUTE_US:
        taken += takes(background)
        clock.us += 50_000
    assert 0.9 * LIMIT <= taken <= LIMIT


def test_a_background_caller_waits_for_its_turn_but_not_for_the_end_of_a_pause(engine, clock, urgent):
    background = RequestBudget(engine, "client", LIMIT, clock, is_background=True, wait=clock.wait)
    for _ in range(100):
        background.take()
    urgent.pause(60)
    with pytest.raises(PlatformBusyError) as told:
        background.take()
    assert 55 < told.value.delay <= 60


def test_a_host_whose_clock_was_an_hour_ahead_neither_delays_callers_nor_ends_a_pause(engine, clock, urgent):
    ahead = FakeClock(clock.seconds + 3600.0)
    RequestBudget(engine, "client", LIMIT, ahead).take()
    urgent.take()
    assert takes(urgent)
    RequestBudget(engine, "client", LIMIT, ahead).take()
    urgent.pause(30)
    assert not takes(urgent)
    clock.us += 31 * 1_000_000
    assert takes(urgent)


def test_a_request_whose_transaction_is_rolled_back_does_not_use_the_budget(engine, urgent):
    def fail(_connection):
        raise LookupError

    event.listen(engine, "commit", fail)
    with pytest.raises(LookupError):
        urgent.take()
    event.remove(engine, "commit", fail)
    assert takes(urgent)
