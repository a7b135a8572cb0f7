import pytest

from workers.handlers.routing import QUEUED, ROUTED, RoutingState, refusal_of

BEFORE = RoutingState()
QUEUED_AT_10 = RoutingState(QUEUED, 10, 0)
ROUTED_AT_10 = RoutingState(ROUTED, 10, 5)


@pytest.mark.parametrize(
    ("state", "status", "occurred_at_us", "sequence", "refusal"),
    [
        (BEFORE, QUEUED, 5, 0, None),
        (BEFORE, ROUTED, 5, 0, None),
        (QUEUED_AT_10, ROUTED, 11, 0, None),
        (QUEUED_AT_10, ROUTED, 10, 1, None),
        (ROUTED_AT_10, QUEUED, 11, 0, None),
        (BEFORE, None, 5, 0, "no_routing_status"),
        (BEFORE, "CONTACT-LOST", 5, 0, "unknown_routing_status"),
        (QUEUED_AT_10, QUEUED, 11, 0, "no_transition"),
        (QUEUED_AT_10, ROUTED, 9, 0, "late_update"),
        (ROUTED_AT_10, QUEUED, 10, 4, "late_update"),
    ],
)
def test_only_explicit_transitions_forward_in_time_count(state, status, occurred_at_us, sequence, refusal):
    assert refusal_of(state, status, occurred_at_us, sequence) == refusal
