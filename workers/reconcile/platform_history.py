"""Ask the platform which conversations there were, and what was said in them.

Source:
    `POST /api/v2/analytics/conversations/details/query`, `GET /api/v2/analytics/conversations/details`,
    `GET /api/v2/conversations/messages/{id}`, `POST /api/v2/conversations/messages/{id}/messages/bulk`:
    models ConversationQuery, AnalyticsConversationWithoutAttributesMultiGetResponse, MessageConversation and
    TextMessageListing of the official Python SDK, release 269.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from workers.db.reconcile import PlatformCount
from workers.genesys import PlatformRefusedError, platform_state_of
from workers.parsing import ENDED, moment_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from workers.genesys import GenesysClient

PAGE_SIZE: Final = 100

COUNTED_AT_ONCE: Final = 100
"""Ids in one address; a hundred of 36 characters are some 4 kB."""

MESSAGE_COUNT: Final = "oMessageCount"
"""The metric of a session that counts messages, both the customer's and those sent to them. The platform does
not document when it appears: a conversation without it is read."""

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

    def conversations(
        self, from_us: int, to_us: int, page: int, *, started_from_us: int | None = None
    ) -> tuple[list[str], bool]:
        """Return a page of the conversations that started on the interval's days, and whether it is the last.

        They come newest first. With *started_from_us*, the page with an older one is the last: at 100 events
        a second a day has thousands of pages.

        Raises:
            PlatformUnavailableError, PlatformRefusedError: As the client's.
        """
        start, end = sorted((from_us, to_us))
        content = {
            "interval": f"{_written(start)}/{_written(end)}",
            "order": "desc",
            "orderBy": "conversationStart",
            "paging": {"pageSize": PAGE_SIZE, "pageNumber": page},
            "segmentFilters": SEGMENT_FILTERS,
        }
        answer = self._client.query("/api/v2/analytics/conversations/details/query", content)
        listed = _objects(answer.get("conversations"))
        ids = [each["conversationId"] for each in listed if isinstance(each.get("conversationId"), str)]
        is_older = started_from_us is not None and any(
            each.get("conversationStart", _written(end)) < _written(started_from_us) for each in listed
        )
        return ids, is_older or len(listed) < PAGE_SIZE

    def counts(self, conversation_ids: Sequence[str]) -> dict[str, PlatformCount]:
        """Return what analytics report of at most COUNTED_AT_ONCE conversations; one request.

        Raises:
            PlatformUnavailableError, PlatformRefusedError: As the client's.
        """
        answer = self._client.get("/api/v2/analytics/conversations/details", id=",".join(conversation_ids))
        return {
            str(each.get("conversationId")): PlatformCount(
                _messages_of(each), bool(each.get("conversationEnd"))
            )
            for each in _objects(answer.get("conversations"))
        }

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

    def messages(self, conversation_id: str, message_ids: Sequence[str]) -> list[dict[str, Any]]:
        """Return at most MESSAGES_AT_ONCE messages, each as the platform's model MessageData; one request.

        Raises:
            PlatformUnavailableError, PlatformRefusedError: As the client's.
        """
        path = f"/api/v2/conversations/messages/{quote(conversation_id, safe='')}/messages/bulk"
        return _objects(self._client.query(path, list(message_ids)).get("entities"))


def _messages_of(conversation: Mapping[str, Any]) -> int | None:
    """Return the sum of the sessions' counts; None if no session has one."""
    found = [
        metric.get("value")
        for participant in _objects(conversation.get("participants"))
        for session in _objects(participant.get("sessions"))
        for metric in _objects(session.get("metrics"))
        if metric.get("name") == MESSAGE_COUNT
    ]
    counts = [value for value in found if isinstance(value, int)]
    return sum(counts) if counts else None


def _statuses_of(conversation: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for participant in _objects(conversation.get("participants")):
        for message in _objects(participant.get("messages")):
            if isinstance(message.get("messageId"), str):
                yield message["messageId"], str(message.get("messageStatus"))


def _objects(found: Any) -> list[dict[str, Any]]:
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _written(at_us: int) -> str:
    return moment_of(at_us).isoformat(timespec="milliseconds").replace("+00:00", "Z")
