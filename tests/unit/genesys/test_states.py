from types import SimpleNamespace

import pytest

from workers.genesys import ConversationStates, PlatformState, PlatformUnavailableError
from workers.genesys.states import derive_state
from workers.parsing import ALERTING, ENDED
from workers.parsing.events import QUEUED, ROUTED

CUSTOMER = {"purpose": "customer", "messages": [{"state": "connected"}]}
WAITING = {"purpose": "acd", "queueId": "q1", "messages": [{"state": "connected"}]}
WAITED = {"purpose": "acd", "queueId": "q1", "messages": [{"state": "disconnected"}]}
RUNG = {"purpose": "agent", "userId": "u1", "messages": [{"state": "alerting"}]}
TALKING = {"purpose": "agent", "userId": "u1", "messages": [{"state": "connected"}]}
LEFT = TALKING | {"endTime": "2026-01-01T00:00:00Z"}
GONE = {"purpose": "customer", "messages": [{"state": "disconnected"}]}


@pytest.mark.parametrize(
    ("participants", "state"),
    [
        ([CUSTOMER, WAITING], PlatformState(QUEUED, "q1")),
        ([CUSTOMER, WAITED, RUNG], PlatformState(ALERTING, "q1")),
        ([CUSTOMER, WAITED, TALKING], PlatformState(ROUTED, "q1")),
        # After a transfer, the first agent has left and the contact is waiting again.
        ([CUSTOMER, WAITED, LEFT, WAITING | {"queueId": "q2"}], PlatformState(QUEUED, "q2")),
        # The second wait names no queue, and its queue might differ from that of the first wait.
        ([CUSTOMER, WAITED, LEFT, {"purpose": "acd", "state": "connected"}], PlatformState(QUEUED)),
        ([GONE, WAITED, LEFT], PlatformState(ENDED, "q1")),
        ([CUSTOMER], PlatformState(None)),
        (None, PlatformState(None)),
        # MessageConversation is flatter: the state is a field of the participant, not of its messages.
        ([{"purpose": "acd", "state": "connected", "queue": {"id": "q3"}}], PlatformState(QUEUED, "q3")),
        # A newer version of the platform might send values that this version does not know.
        ([CUSTOMER, {"purpose": "hologram"}, "text", WAITING], PlatformState(QUEUED, "q1")),
        ([{"purpose": "agent", "messages": [{"state": "levitating"}]}], PlatformState(None)),
    ],
)
def test_the_routing_state_is_derived_from_the_participants(participants, state):
    assert derive_state({"participants": participants}) == state


@pytest.mark.parametrize(
    "participant", [{"purpose": "acd", "messages": 1}, {"purpose": "acd", "queue": "q1"}, {"purpose": []}]
)
def test_an_answer_that_cannot_be_read_counts_as_no_answer(participant):
    client = SimpleNamespace(get=lambda _path: {"participants": [participant]})
    with pytest.raises(PlatformUnavailableError):
        ConversationStates(client).find("c-1")


def test_a_conversation_with_an_end_has_ended():
    ended = {"participants": [CUSTOMER, WAITING], "endTime": "2026-01-01T00:00:00Z"}
    assert derive_state(ended) == PlatformState(ENDED, "q1")
