import pytest

from workers.genesys import PlatformState
from workers.genesys.states import derive_state
from workers.parsing import ALERTING, ENDED
from workers.parsing.events import QUEUED, ROUTED

CUSTOMER = {"purpose": "customer", "messages": [{"state": "connected"}]}
WAITING = {"purpose": "acd", "queueId": "q1", "messages": [{"state": "connected"}]}
WAITED = {"purpose": "acd", "queueId": "q1", "messages": [{"state": "disconnected"}]}
RUNG = {"purpose": "agent", "userId": "u1", "messages": [{"state": "alerting"}]}
TALKING = {"purpose": "agent", "userId": "u1", "messages": [{"state": "connected"}]}
LEFT = {
    "purpose": "agent",
    "userId": "u1",
    "endTime": "2026-01-01T00:00:00Z",
    "messages": [{"state": "connected"}],
}
GONE = {"purpose": "customer", "messages": [{"state": "disconnected"}]}


@pytest.mark.parametrize(
    ("conversation", "state"),
    [
        ({"participants": [CUSTOMER, WAITING]}, PlatformState(QUEUED, "q1")),
        ({"participants": [CUSTOMER, WAITED, RUNG]}, PlatformState(ALERTING, "q1")),
        ({"participants": [CUSTOMER, WAITED, TALKING]}, PlatformState(ROUTED, "q1")),
        # A transfer: the first agent has left, the contact waits again.
        (
            {"participants": [CUSTOMER, WAITED, LEFT, {**WAITING, "queueId": "q2"}]},
            PlatformState(QUEUED, "q2"),
        ),
        # Where it waits is not said: where it waited before says nothing of it.
        (
            {"participants": [CUSTOMER, WAITED, LEFT, {"purpose": "acd", "state": "connected"}]},
            PlatformState(QUEUED),
        ),
        ({"participants": [GONE, WAITED, LEFT]}, PlatformState(ENDED, "q1")),
        (
            {"participants": [CUSTOMER, WAITING], "endTime": "2026-01-01T00:00:00Z"},
            PlatformState(ENDED, "q1"),
        ),
        ({"participants": [CUSTOMER]}, PlatformState(None)),
        ({"participants": []}, PlatformState(None)),
        ({}, PlatformState(None)),
        # MessageConversation, which is flatter: the state is the participant's.
        (
            {"participants": [{"purpose": "acd", "state": "connected", "queue": {"id": "q3"}}]},
            PlatformState(QUEUED, "q3"),
        ),
        # What a newer platform may send.
        ({"participants": [CUSTOMER, {"purpose": "hologram"}, "text", WAITING]}, PlatformState(QUEUED, "q1")),
        (
            {"participants": [{"purpose": "agent", "messages": [{"state": "levitating"}]}]},
            PlatformState(None),
        ),
    ],
)
def test_the_routing_state_follows_from_the_participants(conversation, state):
    assert derive_state(conversation) == state
