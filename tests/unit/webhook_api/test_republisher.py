"""The backlog goes fast where nobody waits, and leaves the greater part to requests where they come."""

import pytest

from webhook_api.handover.republisher import IDLE_SLICE_EVENTS, slice_events


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [(0, IDLE_SLICE_EVENTS), (1, 90), (5, 50), (8, 20), (9, 18), (20, 40), (100, 200), (1_000_000, 200)],
)
def test_a_slice_follows_what_came_in_since_the_slice_before(accepted, expected):
    assert slice_events(accepted) == expected


def test_a_slice_is_never_empty():
    assert all(slice_events(accepted) > 0 for accepted in range(1000))
