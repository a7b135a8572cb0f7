"""Query the platform for the state of conversations, and cache the answers.

The platform's answer has no field for the routing state, so the state is derived from the participants.

Source:
    Genesys Cloud, `GET /api/v2/conversations/{conversationId}`: models Conversation, Participant and Message
    of the official Python SDK, release 269.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from cachetools import TTLCache

from workers.genesys.client import GenesysClient
from workers.genesys.errors import PlatformRefusedError, PlatformUnavailableError
from workers.genesys.tokens import RETRY_SECONDS
from workers.parsing import ALERTING, ENDED, QUEUED, ROUTED

CACHE_SECONDS: Final = 10.0
"""How long an answer is cached. The guide: "Cache the API response for ten seconds to reduce call volume"."""

REFUSED_SECONDS: Final = 300.0
"""How long a refusal to return a conversation is cached, for example if we may not access its division."""

CACHE_CONVERSATIONS: Final = 10_000


@dataclass(frozen=True, slots=True)
class PlatformState:
    """A conversation's state: QUEUED, ROUTED, ALERTING, ENDED or None, and its last routing queue."""

    status: str | None
    routing_queue: str | None = None


class ConversationStates:
    """Returns the states of conversations on the platform. Only one thread may use it."""

    def __init__(self, client: GenesysClient, timer: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._states = TTLCache[str, PlatformState | None](CACHE_CONVERSATIONS, CACHE_SECONDS, timer)
        self._refused = TTLCache[str, PlatformRefusedError](CACHE_CONVERSATIONS, REFUSED_SECONDS, timer)

    def find(
        self, conversation_id: str, is_enough: Callable[[PlatformState | None], bool] = lambda _: True
    ) -> PlatformState | None:
        """Return the platform's state of a conversation, or None if the platform has no such conversation.

        If *is_enough* rejects the cached state, the platform is queried. After a refusal, each call raises
        PlatformRefusedError for REFUSED_SECONDS, without another query about this conversation.
        """
        if (refusal := self._refused.get(conversation_id)) is not None:
            raise refusal
        if conversation_id in self._states and is_enough(self._states[conversation_id]):
            return self._states[conversation_id]
        state = None
        try:
            state = derive_state(self._client.get(f"/api/v2/conversations/{quote(conversation_id, safe='')}"))
        except (AttributeError, TypeError):
            reason = "the platform's answer about a conversation cannot be read"
            raise PlatformUnavailableError(reason, delay=RETRY_SECONDS) from None
        except PlatformRefusedError as error:
            if not error.is_of_no_conversation:
                if not error.is_of_credentials:
                    self._refused[conversation_id] = error
                raise
        self._states[conversation_id] = state
        return state


def derive_state(conversation: Mapping[str, Any]) -> PlatformState:
    """Return the state of the platform's Conversation or MessageConversation; ignore unknown values."""
    participants = [item for item in conversation.get("participants") or () if isinstance(item, dict)]
    queues = [queue for item in participants if (queue := _read_queue(item))]
    queue = queues[-1] if queues else None
    customers = _select(participants, {"customer", "external"})
    gone = {"disconnected", "terminated"}
    has_left = bool(customers) and all(gone.issuperset(_read_states(item)) for item in customers)
    if conversation.get("endTime") or has_left:
        return PlatformState(ENDED, queue)
    agents = {state for item in _select(participants, {"agent", "user"}) for state in _read_states(item)}
    if "connected" in agents:
        return PlatformState(ROUTED, queue)
    if "alerting" in agents:
        return PlatformState(ALERTING, queue)
    waiting = [item for item in _select(participants, {"acd"}) if "connected" in _read_states(item)]
    return PlatformState(QUEUED, _read_queue(waiting[-1])) if waiting else PlatformState(None, queue)


def _select(participants: list[dict[str, Any]], purposes: AbstractSet[str]) -> list[dict[str, Any]]:
    return [item for item in participants if item.get("purpose") in purposes]


def _read_states(participant: Mapping[str, Any]) -> Iterator[str]:
    """Yield the states of a participant's messages, or only "disconnected" if the participant has left."""
    if participant.get("endTime"):
        yield "disconnected"
        return
    messages = [item for item in participant.get("messages") or () if isinstance(item, dict)]
    states = [item.get("state") for item in messages if "state" in item] or [participant.get("state")]
    for state in states:
        yield str(state).lower() if state else "connected"


def _read_queue(participant: Mapping[str, Any]) -> str | None:
    queue = participant.get("queueId") or (participant.get("queue") or {}).get("id")
    return str(queue) if queue else None
