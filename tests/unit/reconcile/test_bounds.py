"""A comparison begins on schedule, covers a limited period, and detects a mismatch."""

import pytest

from workers.db.reconcile import Arrivals, ComparisonWatermarks
from workers.reconcile.bounds import MARGIN_US, compare_from, compare_to, is_due, is_mismatch

HOUR = 3_600_000_000
DAY = 24 * HOUR
NOW = 1000 * DAY


@pytest.mark.parametrize(
    ("watermarks", "due"),
    [
        (ComparisonWatermarks(), True),
        (ComparisonWatermarks(started_us=NOW - HOUR), True),
        (ComparisonWatermarks(started_us=NOW - HOUR + 1), False),
        (ComparisonWatermarks(started_us=NOW - DAY, is_under_way=True), False),
        (ComparisonWatermarks(started_us=NOW - DAY, is_blocked=True), False),
    ],
)
def test_the_next_comparison_begins_an_interval_after_the_start_of_the_previous_comparison(watermarks, due):
    assert is_due(watermarks, NOW, HOUR) is due


@pytest.mark.parametrize(
    ("first", "start"), [(None, NOW), (NOW - HOUR, NOW - HOUR), (NOW - 8 * DAY, NOW - 7 * DAY)]
)
def test_events_before_the_first_comparison_or_the_horizon_are_not_compared(first, start):
    assert compare_from(ComparisonWatermarks(first_from_us=first), NOW, 7 * DAY) == start


@pytest.mark.parametrize(
    ("waiting", "newest", "late", "end"),
    [
        (0, None, None, NOW - MARGIN_US),
        (0, NOW - HOUR, None, NOW - MARGIN_US),
        (5, NOW - HOUR, None, NOW - HOUR - MARGIN_US),
        (5, NOW + HOUR, None, NOW - MARGIN_US),
        (5, None, None, NOW - MARGIN_US),
        (0, NOW, NOW - HOUR, NOW - HOUR - MARGIN_US),
        (5, NOW - HOUR, NOW - DAY, NOW - DAY - MARGIN_US),
        (5, NOW - DAY, NOW - HOUR, NOW - DAY - MARGIN_US),
    ],
)
def test_the_cutoff_is_earlier_than_any_event_in_the_queue_or_a_journal(waiting, newest, late, end):
    assert compare_to(NOW, waiting=waiting, arrivals=Arrivals(newest, late)) == end


@pytest.mark.parametrize(
    ("ours", "unmatched", "is_wrong"),
    [(0, 0, False), (49, 49, False), (50, 2, False), (50, 3, True), (100, 5, False), (100, 6, True)],
)
def test_a_history_that_lacks_more_than_a_twentieth_of_our_events_is_a_mismatch(ours, unmatched, is_wrong):
    assert is_mismatch(ours, unmatched) is is_wrong
