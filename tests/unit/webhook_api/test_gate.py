"""The gate believes what is trustworthy, counts in between, and never takes unknown for empty."""

import pytest

from webhook_api.backpressure import DepthSample, Gate, Watermarks
from webhook_api.backpressure.admission import UNKNOWN_AFTER_SECONDS
from webhook_api.host_table import HostTable


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
def make_gates(clock, tmp_path):
    """Make the gates of two processes of one host."""
    gates = []

    def make(low):
        names = ("1", "2")
        for name in names:
            (tmp_path / name).mkdir()
            table = HostTable(tmp_path)
            table.join(name, lambda: dict.fromkeys(names, 0))
            marks = Watermarks(high=100, low=low)
            gates.append(Gate(marks, table, retry_after_max=30, processes=2, clock=clock))
        return gates

    yield make
    for gate in gates:
        gate._table.close()


@pytest.fixture
def gates(make_gates):
    return make_gates(low=50)


@pytest.fixture
def gate(gates):
    return gates[0]


def _sample(clock, depth, **changes):
    return DepthSample(at=clock.monotonic(), depth=depth, **changes)


def test_nothing_known_lets_everything_in(gate):
    for _ in range(1000):
        gate.count_published()

    assert not gate.is_shedding


def test_events_published_since_the_sample_count_at_once(gate, clock):
    gate.on_sample(_sample(clock, 80))
    gate.count_published(19)
    assert not gate.is_shedding

    gate.count_published()

    assert gate.is_shedding


def test_what_another_process_published_is_no_slowness_of_the_workers(gates, clock):
    one, other = gates
    for gate in gates:
        gate.on_sample(_sample(clock, 40))
    clock.seconds += 4
    other.count_published(60)
    other.on_sample(_sample(clock, 60))
    one.on_sample(_sample(clock, 60))

    # 60 came in and 20 are left of them: 40 were taken away in four seconds.
    assert one.status()["drain_rate_per_s"] == 10


@pytest.mark.parametrize(("ready", "room"), [(0, 25), (10, 20), (49, 1), (50, 0), (60, 0), (95, 0), (500, 0)])
def test_a_backlog_fills_the_queue_to_the_low_watermark_and_no_further(gate, ready, room):
    assert gate.on_ready_count(ready, has_backlog=True) == room


def test_a_process_without_a_backlog_takes_no_room(gates):
    one, other = gates
    assert one.on_ready_count(0, has_backlog=False) == 0

    assert other.on_ready_count(0, has_backlog=True) == 25


@pytest.mark.parametrize("low", [0, 1])
def test_whatever_the_low_watermark_an_empty_queue_takes_a_backlog_s_event_of_one_process(make_gates, low):
    one, other = make_gates(low)

    assert one.on_ready_count(0, has_backlog=True) == 1
    assert other.on_ready_count(0, has_backlog=True) == 0

    one.count_published()
    one.on_question()
    assert one.on_ready_count(1, has_backlog=True) == 0
    assert other.on_ready_count(0, has_backlog=True) == 1


def test_deliveries_that_workers_hold_take_room_too(gate, clock):
    gate.on_sample(_sample(clock, 30, unacknowledged=30))

    assert gate.on_ready_count(0, has_backlog=True) == 10


def test_what_was_published_since_the_question_takes_room(gate):
    gate.count_published(10)
    gate.on_question()
    gate.count_published(10)

    assert gate.on_ready_count(10, has_backlog=True) == 15


def test_a_backlog_gets_nothing_while_requests_are_refused(gate, clock):
    gate.on_sample(_sample(clock, 100))
    clock.seconds += 1
    gate.on_sample(_sample(clock, 51))
    assert gate.is_shedding

    assert gate.on_ready_count(51, has_backlog=True) == 0


@pytest.mark.parametrize("is_late", [False, True])
def test_all_processes_together_never_publish_past_the_low_watermark(gates, is_late):
    """Each publishes all that it may, at once or only while the broker is counting for the other."""
    queued, rooms = 0, [0, 0]
    for turn in range(50):
        mine, other = turn % 2, 1 - turn % 2
        gates[mine].on_question()
        counted = queued
        if is_late:
            queued += rooms[other]
            gates[other].count_published(rooms[other])
        rooms[mine] = gates[mine].on_ready_count(counted, has_backlog=True)
        if not is_late:
            queued += rooms[mine]
            gates[mine].count_published(rooms[mine])
        assert queued <= 50
    assert queued >= 45


def test_a_fresh_answer_of_the_broker_is_believed_over_an_api_that_says_0(gate, clock):
    gate.on_ready_count(500, has_backlog=False)

    gate.on_sample(_sample(clock, 0))

    assert gate.is_shedding


def test_shedding_ends_with_the_broker_s_own_count_and_not_with_totals_of_seconds_ago(gate, clock):
    gate.on_sample(_sample(clock, 200, unacknowledged=5))
    clock.seconds += 1
    gate.on_ready_count(46, has_backlog=False)
    assert gate.is_shedding

    gate.on_ready_count(45, has_backlog=False)
    assert not gate.is_shedding
    gate.on_sample(_sample(clock, 200, unacknowledged=5))

    assert not gate.is_shedding


def test_a_process_that_missed_the_low_watermark_opens_with_the_one_that_saw_it(gates, clock):
    one, other = gates
    for gate in gates:
        gate.on_sample(_sample(clock, 120))
    one.on_sample(_sample(clock, 50))
    one.count_published(20)
    one.on_sample(_sample(clock, 70))

    other.on_sample(_sample(clock, 70))

    assert not other.is_shedding


def test_what_others_publish_while_the_queue_is_nearly_full_is_no_all_clear(gates, clock):
    one, other = gates
    one.on_sample(_sample(clock, 90))
    other.on_sample(_sample(clock, 110))
    one.count_published(5)
    one.on_sample(_sample(clock, 95))

    other.on_sample(_sample(clock, 95))

    assert other.is_shedding


def test_without_the_api_a_probe_s_answer_keeps_no_judgement_alive(gate, clock):
    gate.on_sample(_sample(clock, 200))
    clock.seconds += UNKNOWN_AFTER_SECONDS + 1
    gate.on_ready_count(200, has_backlog=False)

    gate.tick()

    assert gate.status()["queue_depth"] is None
    assert not gate.is_shedding


def test_an_old_answer_of_the_broker_is_not_believed(gate, clock):
    gate.on_ready_count(500, has_backlog=False)
    clock.seconds += 10

    gate.on_sample(_sample(clock, 0))

    assert not gate.is_shedding


@pytest.mark.parametrize("by", ["management API", "connection"])
def test_a_falling_depth_during_an_alarm_is_no_all_clear(gate, clock, by):
    gate.on_sample(_sample(clock, 200))
    clock.seconds += 5
    gate.on_blocked(is_blocked=by == "connection")

    gate.on_sample(_sample(clock, 0, is_trusted=by == "connection"))
    gate.on_ready_count(0, has_backlog=False)

    assert gate.is_shedding


def test_shedding_ends_when_nothing_has_been_known_for_long(gate, clock):
    gate.on_sample(_sample(clock, 200))
    clock.seconds += UNKNOWN_AFTER_SECONDS + 1

    gate.tick()

    assert not gate.is_shedding
    assert gate.status()["queue_depth"] is None
