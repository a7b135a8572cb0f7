"""Counts are parsed from the edge's metrics, and the difference between two readings is recorded."""

import pytest

from webhook_api.answers import BOUNDS_SECONDS
from webhook_api.health import Health
from webhook_api.metrics import render_metrics
from workers.db.stats import WITHIN
from workers.observe.edge_answers import find_rise, parse_counts

JOURNAL = {"accepted": 0, "republished": 0, "broker": "up"}


def process(pid, durations, longest_s, **refused):
    return {
        "pid": pid,
        "journal": JOURNAL,
        "answers": {"durations": durations, "seconds": 1.0, "longest_s": longest_s, "refused": refused},
    }


def test_the_columns_match_the_edges_histogram_bounds():
    assert tuple(WITHIN) == BOUNDS_SECONDS


def test_metrics_are_read_by_process_and_column():
    processes = [
        process(7, [1, 2, 3, 4, 5, 6], 12.5, **{"401": 2, "429": 3, "400": 1, "408": 1}),
        process(8, [0, 0, 0, 0, 0, 0], 0.0),
    ]
    counts = parse_counts(render_metrics(lambda: Health(True, {"processes": processes})).decode())
    within = {"within_10_ms": 1, "within_100_ms": 3, "within_1_s": 6, "within_3_s": 10, "within_10_s": 15}
    refused = {"status_401": 2, "status_413": 0, "status_429": 3, "status_503": 0, "other_refusals": 2}
    assert counts["7"] == {"answered": 21, **within, **refused, "longest_us": 12_500_000}
    assert set(counts["8"].values()) == {0}
    assert set(counts) == {"7", "8"}


@pytest.mark.parametrize(
    ("before", "now", "rise"),
    [
        pytest.param({}, {"a": 2, "b": 0}, {"a": 2, "b": 0}, id="a new process"),
        pytest.param({"a": 2, "b": 1}, {"a": 5, "b": 1}, {"a": 3, "b": 0}, id="the same process"),
        pytest.param({"a": 2, "b": 1}, {"a": 9, "b": 0}, {"a": 9, "b": 0}, id="another with the same id"),
    ],
)
def test_an_increase_is_counted_from_the_last_reading_of_the_same_process(before, now, rise):
    assert find_rise({**now, "longest_us": 3}, before) == rise
