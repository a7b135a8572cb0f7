"""Ask the platform which conversations there were, and what was said in them.

Source:
    `POST /api/v2/analytics/conversations/details/query`, `GET /api/v2/conversations/messages/{id}`,
    `POST /api/v2/conversations/messages/{id}/messages/bulk`: models ConversationQuery, MessageConversation
    and TextMessageListing of the official Python SDK, release 269.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from workers.genesys import PlatformRefusedError, platform_state_of
from workers.parsing import ENDED, moment_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from workers.genesys import GenesysClient

PAGE_SIZE: Final = 100

MESSAGES_AT_ONCE: Final = 200
"""The platform allows 1,000 and advises against it."""

SEGMENT_FILTERS: Final = [
    {
        "type": "and",
        "predicates": [
            {"dimension": "mediaType", "value": "message"},
            {"dimension": "messageType", "value": "open"},
        ],
    }
]


@dataclass(frozen=True, slots=True)
class Overview:
    """What a conversation holds, without its words.

    Args:
        message_ids: Every message.
        fingerprint: Changes with each new message and each new status of one.
        is_ended: Whether the customer has left.
    """

    message_ids: Sequence[str]
    fingerprint: str
    is_ended: bool


class PlatformHistory:
    """The platform's word on what happened.

    Args:
        client: The way to it, within the budget.
    """

    def __init__(self, client: GenesysClient) -> None:
        self._client = client

    def conversations(self, from_us: int, to_us: int, page: int) -> tuple[list[str], bool]:
        """Return a page of the conversations that started on the interval's days, and whether it is the last.

        Raises:
            PlatformUnavailableError, PlatformRefusedError: As the client's.
        """
        start, end = sorted((from_us, to_us))
        content = {
            "interval": f"{_written(start)}/{_written(end)}",
            "order": "asc",
            "orderBy": "conversationStart",
            "paging": {"pageSize": PAGE_SIZE, "pageNumber": page},
            "segmentFilters": SEGMENT_FILTERS,
        }
        answer = self._client.query("/api/v2/analytics/conversations/details/query", content)
        listed = _objects(answer.get("conversations"))
        ids = [each["conversationId"] for each in listed if isinstance(each.get("conversationId"), str)]
        return ids, len(listed) < PAGE_SIZE

    def overview(self, conversation_id: str) -> Overview | None:
        """Return which messages there are; None where the platform has no such conversation.

        Raises:
            PlatformUnavailableError, PlatformRefusedError: As the client's.
        """
        try:
            answer = self._client.get(f"/api/v2/conversations/messages/{quote(conversation_id, safe='')}")
        except PlatformRefusedError as error:
            if error.is_of_no_conversation:
                return None
            raise
        statuses = dict(_statuses_of(answer))
        digest = hashlib.sha256(repr(sorted(statuses.items())).encode()).hexdigest()
        return Overview(tuple(statuses), digest, platform_state_of(answer).status == ENDED)

    def messages(self, conversation_id: str, message_ids: Sequence[str]) -> Iterator[Mapping[str, Any]]:
        """Yield the messages, each as the platform's model MessageData.

        Raises:
            PlatformUnavailableError, PlatformRefusedError: As the client's.
        """
        path = f"/api/v2/conversations/messages/{quote(conversation_id, safe='')}/messages/bulk"
        for start in range(0, len(message_ids), MESSAGES_AT_ONCE):
            answer = self._client.query(path, list(message_ids[start : start + MESSAGES_AT_ONCE]))
            yield from _objects(answer.get("entities"))


def _statuses_of(conversation: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for participant in _objects(conversation.get("participants")):
        for message in _objects(participant.get("messages")):
            if isinstance(message.get("messageId"), str):
                yield message["messageId"], str(message.get("messageStatus"))


def _objects(found: Any) -> list[dict[str, Any]]:
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _written(at_us: int) -> str:
    return moment_of(at_us).isoformat(timespec="milliseconds").replace("+00:00", "Z")
