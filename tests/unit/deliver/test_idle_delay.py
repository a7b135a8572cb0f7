"""How often an idle process looks for something to deliver."""

from itertools import accumulate

import pytest

from workers.deliver.deliverer import BUSY_SECONDS, IDLE_SECONDS, idle_delay

LONGEST_WAY_SECONDS = 0.1
"""What an event that needs no window may take from the edge to its destination, in the median."""


def test_an_idle_process_looks_less_and_less_often_until_a_delivery_is_due():
    pauses = list(
        accumulate(
            [False] * 4 + [True], lambda delay, busy: idle_delay(delay, is_busy=busy), initial=BUSY_SECONDS
        )
    )
    assert pauses == pytest.approx([0.02, 0.04, 0.08, 0.08, 0.08, 0.02])


def test_the_longest_pause_leaves_room_within_the_time_that_an_event_may_take():
    assert IDLE_SECONDS < LONGEST_WAY_SECONDS
