"""The drain rate, the allowance of a backlog and Retry-After are calculated from samples of the depth."""

import pytest

from webhook_api.backpressure.admission import (
    DepthSample,
    Pressure,
    Watermarks,
    allow_backlog,
    retry_after,
    update,
)

MARKS = Watermarks(high=1000, low=600)


def _after(*samples):
    """Apply samples: (time, depth, events published since the previous sample)."""
    pressure = Pressure()
    for at, depth, published in samples:
        pressure = update(pressure, DepthSample(at=at, depth=depth), published, MARKS)
    return pressure


@pytest.mark.parametrize(
    ("samples", "rate"),
    [
        ([(10.0, 1000, 0), (10.5, 1050, 100), (12.0, 900, 200)], 200.0),
        ([(10.0, 100, 0), (11.0, 5000, 0)], 0.0),
        ([*((10.0 + second, 1000, 0) for second in range(5)), (15.0, 500, 0)], 100.0),
        ([(10.0, 1000, 0), (12.0, 0, 0), (20.0, 0, 8)], 500.0),
        ([(10.0, 1000, 0), (12.0, 900, 0), (14.0, 700, 0)], 75.0),
    ],
    ids=[
        "published events",
        "a growing queue",
        "totals that change every five seconds",
        "idle workers",
        "a smoothed rate",
    ],
)
def test_the_drain_rate_is_the_rate_at_which_workers_acknowledge_events(samples, rate):
    assert _after(*samples).drain_rate == pytest.approx(rate)


@pytest.mark.parametrize(
    ("processes", "low", "depth", "in_flight", "allowed"),
    [
        (1, 600, 0, 0, 600),
        (1, 600, 100, 200, 300),
        (1, 600, 599, 0, 1),
        (1, 600, 600, 0, 0),
        (1, 600, 500, 100, 0),
        (4, 600, 0, 0, 85),
        (4, 600, 600, 0, 0),
        (4, 3, 0, 0, 1),
        (4, 3, 2, 0, 1),
        (4, 3, 2, 1, 0),
        (4, 1, 1, 0, 0),
        (4, 0, 0, 0, 1),
        (4, 0, 0, 1, 0),
    ],
)
def test_each_process_republishes_its_share_up_to_the_low_watermark(
    processes, low, depth, in_flight, allowed
):
    marks = Watermarks(high=1000, low=low)
    assert allow_backlog(Pressure(), depth, in_flight, marks, processes) == allowed


@pytest.mark.parametrize(
    ("pressure", "least", "most"),
    [
        (Pressure(is_shedding=True, depth=1600, drain_rate=100.0), 10, 15),
        (Pressure(depth=None), 30, 30),
        (Pressure(depth=5000, drain_rate=0.0), 30, 30),
        (Pressure(depth=5000, drain_rate=0.001), 30, 30),
        (Pressure(depth=601, drain_rate=1e6), 1, 1),
        (Pressure(depth=0, drain_rate=10.0), 1, 1),
    ],
)
def test_retry_after_is_the_time_to_the_low_watermark_plus_jitter_within_its_limits(pressure, least, most):
    answers = {retry_after(pressure, MARKS, maximum=30) for _ in range(200)}
    assert (min(answers), max(answers)) == (least, most)
