"""The gate believes what is trustworthy, counts in between, and never takes unknown for empty."""

import pytest

from webhook_api.pressure.admission import UNKNOWN_AFTER_SECONDS, DepthSample, Watermarks
from webhook_api.pressure.gate import Gate


class MovedClock:
    """A clock that the test moves."""

    def __init__(self):
        self.seconds = 100.0

    def now_us(self):
        return int(self.seconds * 1_000_000)

    def monotonic(self):
        return self.seconds


@pytest.fixture
def clock():
    return MovedClock()


@pytest.fixture
def gate(clock):
    return Gate(Watermarks(high=100, low=50), retry_after_max=30, processes=2, clock=clock)


def _sample(clock, depth, **changes):
    return DepthSample(at=clock.monotonic(), depth=depth, **changes)


def test_nothing_known_lets_everything_in(gate):
    for _ in range(1000):
        gate.count_published()

    assert not gate.is_shedding


def test_events_published_since_the_sample_count_for_every_process_of_the_host(gate, clock):
    gate.on_sample(_sample(clock, 80))
    for _ in range(9):
        gate.count_published()
    assert not gate.is_shedding

    gate.count_published()

    assert gate.is_shedding


@pytest.mark.parametrize(("ready", "room"), [(0, 25), (10, 20), (49, 2), (60, 2), (95, 0), (500, 0)])
def test_a_backlog_fills_the_queue_to_the_low_watermark_and_trickles_up_to_the_high_one(gate, ready, room):
    assert gate.on_ready_count(ready) == room


def test_the_broker_s_own_answer_is_believed_where_it_is_larger(gate, clock):
    gate.on_ready_count(500)

    gate.on_sample(_sample(clock, 0))

    assert gate.is_shedding


def test_an_old_answer_of_the_broker_is_not_believed(gate, clock):
    gate.on_ready_count(500)
    clock.seconds += 10

    gate.on_sample(_sample(clock, 0))

    assert not gate.is_shedding


@pytest.mark.parametrize("by", ["management API", "connection"])
def test_a_falling_depth_during_an_alarm_is_no_all_clear(gate, clock, by):
    gate.on_sample(_sample(clock, 200))
    clock.seconds += 5
    gate.on_blocked(is_blocked=by == "connection")

    gate.on_sample(_sample(clock, 0, is_trusted=by == "connection"))

    assert gate.is_shedding


def test_shedding_ends_when_nothing_has_been_known_for_long(gate, clock):
    gate.on_sample(_sample(clock, 200))
    clock.seconds += UNKNOWN_AFTER_SECONDS + 1

    gate.tick()

    assert not gate.is_shedding
    assert gate.status()["queue_depth"] is None
