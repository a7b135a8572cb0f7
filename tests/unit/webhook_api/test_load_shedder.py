"""The load shedder combines reports, probes and its own count, and never treats an unknown depth as empty."""

import pytest

from tests.fakes.clock import FakeClock
from webhook_api.backpressure import DepthSample, LoadShedder, Watermarks
from webhook_api.backpressure.admission import UNKNOWN_AFTER_SECONDS


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def shedders(clock):
    """The load shedders of two processes on one host."""
    marks = Watermarks(high=100, low=50)
    return [LoadShedder(marks, retry_after_max=30, processes=2, clock=clock) for _ in range(2)]


@pytest.fixture
def shedder(shedders):
    return shedders[0]


def _sample(clock, depth, **changes):
    return DepthSample(at=clock.monotonic(), depth=depth, **changes)


def test_requests_are_not_refused_while_the_depth_is_unknown(shedder):
    for _ in range(1000):
        shedder.count_published()
    assert not shedder.is_shedding


def test_events_published_since_the_sample_count_towards_the_depth_at_once(shedder, clock):
    shedder.on_sample(_sample(clock, 80))
    shedder.count_published(19)
    assert not shedder.is_shedding
    shedder.count_published()
    assert shedder.is_shedding


def test_events_of_other_processes_count_towards_the_drain_rate(shedder, clock):
    shedder.on_sample(_sample(clock, 40))
    clock.seconds += 4
    shedder.count_published(30)
    shedder.on_sample(_sample(clock, 60))
    # Each process published 30 events and the queue grew by 20, so 40 were acknowledged in four seconds.
    assert shedder.status()["drain_rate_per_s"] == 10


def test_a_backlog_fills_the_queue_to_the_low_watermark_counting_unacknowledged_deliveries(shedder, clock):
    assert [shedder.on_probe_answered(ready) for ready in (0, 50)] == [16, 0]
    shedder.on_sample(_sample(clock, 30, unacknowledged=30))
    assert shedder.on_probe_answered(0) == 6


def test_events_published_since_the_probe_reduce_the_allowance(shedder):
    shedder.count_published(10)
    shedder.on_probe_sent()
    shedder.count_published(10)
    assert shedder.on_probe_answered(10) == 10


def test_the_backlog_waits_while_requests_are_refused(shedder, clock):
    shedder.on_sample(_sample(clock, 100))
    clock.seconds += 1
    shedder.on_sample(_sample(clock, 51))
    assert shedder.is_shedding
    assert shedder.on_probe_answered(51) == 0


@pytest.mark.parametrize("is_late", [False, True])
def test_all_processes_together_republish_up_to_the_low_watermark(shedders, is_late):
    """Each process publishes its whole allowance, either at once or while the other's probe is answered."""
    queued, allowances = 0, [0, 0]
    for turn in range(50):
        mine, other = turn % 2, 1 - turn % 2
        shedders[mine].on_probe_sent()
        counted = queued
        if is_late:
            queued += allowances[other]
            shedders[other].count_published(allowances[other])
        allowances[mine] = shedders[mine].on_probe_answered(counted)
        if not is_late:
            queued += allowances[mine]
            shedders[mine].count_published(allowances[mine])
        assert queued <= 50 + len(shedders), "a share below one event counts as one"
    assert queued >= 45


@pytest.mark.parametrize(("age", "is_believed"), [(0, True), (10, False)])
def test_a_fresh_probe_overrides_a_management_api_that_reports_0(shedder, clock, age, is_believed):
    """Guarantee 5.3."""
    shedder.on_probe_answered(500)
    clock.seconds += age
    shedder.on_sample(_sample(clock, 0))
    assert shedder.is_shedding is is_believed


def test_shedding_ends_once_a_probe_shows_a_depth_at_the_low_watermark(shedder, clock):
    shedder.on_sample(_sample(clock, 200, unacknowledged=5))
    clock.seconds += 1
    shedder.on_probe_answered(46)
    assert shedder.is_shedding
    shedder.on_probe_answered(45)
    assert not shedder.is_shedding
    shedder.on_sample(_sample(clock, 200, unacknowledged=5))
    assert not shedder.is_shedding


@pytest.mark.parametrize(("depths", "is_shedding"), [([51, 60], False), ([56, 60], True), ([90, 95], True)])
def test_shedding_ends_in_a_process_that_missed_the_low_watermark(shedder, clock, depths, is_shedding):
    """A clear rise that stays far below the high watermark means that another process is accepting events."""
    for depth in (120, *depths):
        shedder.on_sample(_sample(clock, depth))
    assert shedder.is_shedding is is_shedding


@pytest.mark.parametrize("is_probed", [True, False])
def test_shedding_ends_after_a_long_time_without_a_report_even_if_probes_are_answered(
    shedder, clock, is_probed
):
    shedder.on_sample(_sample(clock, 200))
    clock.seconds += UNKNOWN_AFTER_SECONDS + 1
    if is_probed:
        shedder.on_probe_answered(200)
    shedder.tick()
    assert shedder.status()["queue_depth"] is None
    assert not shedder.is_shedding


@pytest.mark.parametrize("by", ["management API", "connection"])
def test_a_falling_depth_during_an_alarm_does_not_end_shedding(shedder, clock, by):
    shedder.on_sample(_sample(clock, 200))
    clock.seconds += 5
    shedder.on_blocked(is_blocked=by == "connection")
    shedder.on_sample(_sample(clock, 0, is_trusted=by == "connection"))
    shedder.on_probe_answered(0)
    assert shedder.is_shedding
