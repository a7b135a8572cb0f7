"""Shedding starts at the high watermark, ends at the low one, and says how long it will take."""

import pytest

from webhook_api.backpressure.admission import (
    DepthSample,
    Pressure,
    Watermarks,
    backlog_allowance,
    is_over,
    mark_stale,
    retry_after,
    update,
)

MARKS = Watermarks(high=1000, low=600)


@pytest.mark.parametrize(
    ("was_shedding", "depth", "expected"),
    [
        (False, 0, False),
        (False, 999, False),
        (False, 1000, True),
        (True, 1000, True),
        (True, 601, True),
        (True, 600, False),
        (True, 0, False),
    ],
)
def test_two_watermarks_with_hysteresis(was_shedding, depth, expected):
    assert is_over(was_shedding, depth, MARKS) is expected


def _after(*samples):
    """Update with (at, depth, published since the sample before) one after the other."""
    pressure = Pressure()
    for at, depth, published in samples:
        pressure = update(pressure, DepthSample(at=at, depth=depth), published, MARKS)
    return pressure


def test_the_drain_rate_is_what_went_away_beside_what_was_added():
    assert _after((10.0, 1000, 0), (12.0, 900, 300)).drain_rate == pytest.approx(200.0)


def test_a_growing_queue_has_no_negative_drain_rate():
    assert _after((10.0, 100, 0), (11.0, 5000, 0)).drain_rate == 0.0


def test_totals_that_move_every_five_seconds_give_the_true_rate():
    still = [(10.0 + second, 1000, 0) for second in range(5)]

    assert _after(*still, (15.0, 500, 0)).drain_rate == pytest.approx(100.0)


def test_workers_that_wait_for_events_do_not_count_as_slow():
    busy = _after((10.0, 1000, 0), (12.0, 0, 0))

    idle = update(busy, DepthSample(at=20.0, depth=0), published=8, marks=MARKS)

    assert idle.drain_rate == busy.drain_rate == pytest.approx(500.0)


def test_a_sample_taken_during_an_alarm_changes_nothing():
    shedding = Pressure(is_shedding=True, depth=2000, drain_rate=50.0, sampled_at=10.0)

    assert (
        update(shedding, DepthSample(at=12.0, depth=0, is_trusted=False), published=0, marks=MARKS)
        == shedding
    )


@pytest.mark.parametrize(("now", "expected"), [(10.0, 2000), (25.0, 2000), (25.1, None)])
def test_an_old_sample_is_kept_for_fifteen_seconds_and_then_unknown(now, expected):
    shedding = Pressure(is_shedding=True, depth=2000, drain_rate=50.0, sampled_at=10.0)

    after = mark_stale(shedding, now)

    assert after.depth == expected
    assert after.is_shedding is (expected is not None)


def test_retry_after_is_the_time_to_the_low_watermark_stretched_at_random():
    pressure = Pressure(is_shedding=True, depth=1600, drain_rate=100.0)

    answers = {retry_after(pressure, MARKS, maximum=30) for _ in range(200)}

    assert min(answers) == 10
    assert max(answers) == 15


def test_retry_after_follows_the_recovery_while_nothing_more_is_published():
    """Ten seconds of 500 events a second, of which workers take 400; then they take the rest."""
    pressure, told = Pressure(), []
    for half in range(60):
        seconds = half / 2
        depth = max(0, 1000 + int(100 * min(seconds, 10.0) - 400 * max(0.0, seconds - 10.0)))
        published = 250 if 0 < seconds <= 10.0 else 0
        pressure = update(pressure, DepthSample(at=100.0 + seconds, depth=depth), published, MARKS)
        if seconds > 10.0 and pressure.is_shedding:
            told.append(((depth - MARKS.low) / 400, retry_after(pressure, MARKS, maximum=30)))

    assert len(told) == 6
    assert all(left * 0.9 - 1 <= seconds <= left * 1.5 * 1.1 + 1 for left, seconds in told)


@pytest.mark.parametrize(
    ("processes", "low", "depth", "in_flight", "allowed"),
    [
        (1, 600, 0, 0, 600),
        (1, 600, 100, 0, 500),
        (1, 600, 100, 200, 300),
        (1, 600, 599, 0, 1),
        (1, 600, 600, 0, 0),
        (1, 600, 500, 100, 0),
        (1, 600, 900, 0, 0),
        (4, 600, 0, 0, 85),
        (4, 600, 597, 0, 1),
        (4, 600, 600, 0, 0),
        (4, 3, 0, 0, 1),
        (4, 3, 2, 0, 1),
        (4, 3, 2, 1, 0),
        (4, 1, 0, 0, 1),
        (4, 1, 1, 0, 0),
        (4, 0, 0, 0, 1),
        (4, 0, 0, 1, 0),
        (4, 0, 1, 0, 0),
    ],
)
def test_a_process_s_backlog_gets_its_share_up_to_the_low_watermark_and_an_event_if_any(
    processes, low, depth, in_flight, allowed
):
    marks = Watermarks(high=1000, low=low)
    assert backlog_allowance(Pressure(), depth, in_flight, marks, processes) == allowed


@pytest.mark.parametrize(
    ("pressure", "expected"),
    [
        (Pressure(depth=None), 30),
        (Pressure(depth=5000, drain_rate=0.0), 30),
        (Pressure(depth=5000, drain_rate=0.001), 30),
        (Pressure(depth=601, drain_rate=1e6), 1),
        (Pressure(depth=0, drain_rate=10.0), 1),
    ],
)
def test_retry_after_stays_within_its_bounds(pressure, expected):
    assert retry_after(pressure, MARKS, maximum=30) == expected
