"""Read the list of conversations, their message counts and their messages from the platform.

Source:
    `POST /api/v2/analytics/conversations/details/query`, `GET /api/v2/analytics/conversations/details`,
    `GET /api/v2/conversations/messages/{id}`, `POST /api/v2/conversations/messages/{id}/messages/bulk`:
    models ConversationQuery, AnalyticsConversationWithoutAttributesMultiGetResponse, MessageConversation and
    TextMessageListing of the official Python SDK, release 269.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from messaging.log import logger
from workers.db.reconcile import PlatformCount
from workers.genesys import GenesysClient, PlatformRefusedError, PlatformUnavailableError, derive_state
from workers.parsing import ENDED, moment_of

PAGE_SIZE: Final = 100

MAX_COUNTS: Final = 100
"""Maximum number of conversations in a request for counts; 100 ids of 36 characters make a URL of 4 kB."""

MESSAGE_COUNT: Final = "oMessageCount"
"""A session's metric that counts messages in both directions. The platform does not document when it is
present, so a conversation without the metric is read."""

MAX_MESSAGES: Final = 200
"""Maximum number of messages in a request; the platform allows 1,000, but advises smaller requests."""

IS_OPEN_MESSAGING: Final = (
    {"dimension": "mediaType", "value": "message"},
    {"dimension": "messageType", "value": "open"},
)


@dataclass(frozen=True, slots=True)
class Overview:
    """A conversation without its texts. A new message or a message's new status changes the fingerprint."""

    message_ids: Sequence[str]
    fingerprint: str
    is_ended: bool


class PlatformHistory:
    """Reads the platform's history; methods can raise PlatformUnavailableError and PlatformRefusedError."""

    def __init__(self, client: GenesysClient) -> None:
        self._client = client
        self._failed = ""

    def list_conversations(
        self, from_us: int, to_us: int, page: int, *, started_from_us: int | None = None
    ) -> tuple[list[str], bool]:
        """Return a page of the interval's conversations, newest first, and whether it is the last page.

        The platform lists whole days. If *started_from_us* is set, the first page with an older conversation
        counts as the last page, because a day with 100 events a second has thousands of pages.
        """
        start, end = sorted((from_us, to_us))
        content = {
            "interval": f"{_format_time(start)}/{_format_time(end)}",
            "order": "desc",
            "orderBy": "conversationStart",
            "paging": {"pageSize": PAGE_SIZE, "pageNumber": page},
            "segmentFilters": [{"type": "and", "predicates": list(IS_OPEN_MESSAGING)}],
        }
        answer = self._client.query("/api/v2/analytics/conversations/details/query", content)
        listed = select_objects(answer.get("conversations"))
        ids = [item["conversationId"] for item in listed if isinstance(item.get("conversationId"), str)]
        is_older = started_from_us is not None and any(
            item.get("conversationStart", _format_time(end)) < _format_time(started_from_us)
            for item in listed
        )
        return ids, is_older or len(listed) < PAGE_SIZE

    def answers_others(self, failure: PlatformUnavailableError, subject: str, now_us: int) -> bool:
        """Return True if two requests for *subject* failed in a row but a different request is answered."""
        has_failed = self._failed == subject
        self._failed = subject if failure.may_have_arrived else ""
        if has_failed and failure.may_have_arrived:
            try:
                self.list_conversations(now_us - 1_000_000, now_us, 1)
            except PlatformRefusedError as error:
                if error.is_of_credentials:
                    raise
            self._failed = ""
            return True
        return False

    def read_counts(self, conversation_ids: Sequence[str]) -> dict[str, PlatformCount]:
        """Return the message counts of at most MAX_COUNTS conversations from analytics, with one request.

        If the platform refuses the request, the result is empty, so all these conversations are read.
        """
        try:
            ids = ",".join(conversation_ids)
            answer = self._client.get("/api/v2/analytics/conversations/details", id=ids)
        except PlatformRefusedError as error:
            if error.is_of_credentials:
                raise
            logger().warning("conversations_uncounted", reason=str(error))
            return {}
        items = select_objects(answer.get("conversations"))
        counts = [PlatformCount(_count_messages(item), bool(item.get("conversationEnd"))) for item in items]
        return {str(item.get("conversationId")): count for item, count in zip(items, counts, strict=True)}

    def read_overview(self, conversation_id: str) -> Overview | None:
        """Return an overview of a conversation's messages; None if the platform has no such conversation."""
        try:
            answer = self._client.get(f"/api/v2/conversations/messages/{quote(conversation_id, safe='')}")
        except PlatformRefusedError as error:
            if error.is_of_no_conversation:
                return None
            raise
        messages = _select_nested(answer, "participants", "messages")
        statuses = {
            message["messageId"]: str(message.get("messageStatus"))
            for message in messages
            if isinstance(message.get("messageId"), str)
        }
        digest = hashlib.sha256(repr(sorted(statuses.items())).encode()).hexdigest()
        return Overview(tuple(statuses), digest, derive_state(answer).status == ENDED)

    def read_messages(self, conversation_id: str, message_ids: Sequence[str]) -> list[dict[str, Any]]:
        """Return at most MAX_MESSAGES messages as the platform's MessageData objects, with one request."""
        path = f"/api/v2/conversations/messages/{quote(conversation_id, safe='')}/messages/bulk"
        return select_objects(self._client.query(path, list(message_ids)).get("entities"))


def _count_messages(conversation: Mapping[str, Any]) -> int | None:
    """Return the sum of the message counts of a conversation's sessions; None if no session has a count."""
    counts = [
        metric["value"]
        for metric in _select_nested(conversation, "participants", "sessions", "metrics")
        if metric.get("name") == MESSAGE_COUNT and isinstance(metric.get("value"), int)
    ]
    return sum(counts) if counts else None


def _select_nested(whole: Mapping[str, Any], name: str, *names: str) -> list[dict[str, Any]]:
    """Return the objects in the innermost lists; *name* and *names* are the keys that lead to them."""
    items = select_objects(whole.get(name))
    return [found for item in items for found in _select_nested(item, *names)] if names else items


def select_objects(value: Any) -> list[dict[str, Any]]:
    """Return the objects in a list from the platform; return an empty list if *value* is not a list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _format_time(at_us: int) -> str:
    return moment_of(at_us).isoformat(timespec="milliseconds").replace("+00:00", "Z")
