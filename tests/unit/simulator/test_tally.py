"""The numbers under a simulation."""

import pytest

from simulator.sender.tally import Tally, percentile


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([], 0.5, 0.0), ([1.0], 0.99, 1.0), ([1.0, 2.0], 0.5, 1.0), (list(range(1, 101)), 0.99, 99)],
)
def test_a_percentile_is_a_value_that_occurred(values, share, expected):
    assert percentile(values, share) == expected


def test_a_summary_counts_answers_by_status_and_leaves_timeouts_out_of_the_latency():
    tally = Tally()
    tally.note_request(200, 0.002)
    tally.note_request(None, 10.0)
    tally.settled, tally.answered = 2, 1
    summary = tally.summary(2.0)
    assert summary.by_status == {"200": 1, "no answer": 1}
    assert (summary.unanswered, summary.p99, summary.rate) == (1, 0.002, 1.0)
