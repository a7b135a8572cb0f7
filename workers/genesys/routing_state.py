"""Say where the platform has a conversation: in a routing queue, with a person, or ended.

The platform has no such field; it follows from the participants.

Source:
    Genesys Cloud, `GET /api/v2/conversations/{conversationId}`: models Conversation, Participant and Message
    of the official Python SDK, release 269.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from workers.parsing import ALERTING, ENDED, QUEUED, ROUTED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_AGENTS: Final = frozenset({"agent", "user"})
_GONE: Final = frozenset({"disconnected", "terminated"})


@dataclass(frozen=True, slots=True)
class PlatformState:
    """What the platform says of one conversation.

    Args:
        status: QUEUED, ROUTED, ALERTING, ENDED, or None where it is none of these.
        routing_queue: The routing queue's id, where it waits in one or came out of one.
    """

    status: str | None
    routing_queue: str | None = None


def platform_state_of(conversation: Mapping[str, Any]) -> PlatformState:
    """Derive the state from a Conversation or a MessageConversation; what is unknown is passed over."""
    participants = [each for each in conversation.get("participants") or () if isinstance(each, dict)]
    queue = next((_queue_of(each) for each in reversed(participants) if _queue_of(each)), None)
    if conversation.get("endTime") or _has_left(participants):
        return PlatformState(ENDED, queue)
    agents = {state for each in participants if each.get("purpose") in _AGENTS for state in _states_of(each)}
    if "connected" in agents:
        return PlatformState(ROUTED, queue)
    if "alerting" in agents:
        return PlatformState(ALERTING, queue)
    waiting = [
        each for each in participants if each.get("purpose") == "acd" and "connected" in _states_of(each)
    ]
    return PlatformState(QUEUED, _queue_of(waiting[-1])) if waiting else PlatformState(None, queue)


def _has_left(participants: list[dict[str, Any]]) -> bool:
    customers = [each for each in participants if each.get("purpose") in {"customer", "external"}]
    return bool(customers) and all(set(_states_of(each)) <= _GONE for each in customers)


def _states_of(participant: Mapping[str, Any]) -> Iterator[str]:
    """Yield the states of a participant's communications; one that has an end is over whatever it says."""
    if participant.get("endTime"):
        yield "disconnected"
        return
    messages = [each for each in participant.get("messages") or () if isinstance(each, dict)]
    states = [each.get("state") for each in messages if "state" in each] or [participant.get("state")]
    for state in states:
        yield str(state).lower() if state else "connected"


def _queue_of(participant: Mapping[str, Any]) -> str | None:
    queue = participant.get("queueId") or (participant.get("queue") or {}).get("id")
    return str(queue) if queue else None
