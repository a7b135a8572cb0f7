"""A segment that is never proven ends the connection, so that nothing waits behind it for ever."""

from pathlib import Path

from webhook_api.journal import Segment
from webhook_api.relay.stagnation import STAGNATION_SECONDS, Stagnation

ONE = Segment(Path("1"), size=1)
TWO = Segment(Path("2"), size=1)


def test_a_segment_that_stays_the_oldest_for_too_long_is_noticed():
    stagnation = Stagnation()

    assert not stagnation.has_lasted([ONE, TWO], 100.0)
    assert not stagnation.has_lasted([ONE, TWO], 100.0 + STAGNATION_SECONDS)
    assert stagnation.has_lasted([ONE, TWO], 100.1 + STAGNATION_SECONDS)


def test_progress_and_emptiness_start_it_over():
    stagnation = Stagnation()
    stagnation.has_lasted([ONE, TWO], 100.0)

    assert not stagnation.has_lasted([TWO], 100.0 + STAGNATION_SECONDS)
    assert not stagnation.has_lasted([TWO], 100.1 + STAGNATION_SECONDS)
    assert not stagnation.has_lasted([], 1000.0)
    assert not stagnation.has_lasted([], 2000.0)


def test_a_broker_that_did_not_read_is_given_its_time_again():
    stagnation = Stagnation()
    stagnation.has_lasted([ONE], 100.0)
    stagnation.forget()

    assert not stagnation.has_lasted([ONE], 500.0)
