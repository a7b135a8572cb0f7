"""Store messages, which settle later puts in order."""

from collections.abc import Sequence
from operator import attrgetter
from typing import Final

from sqlalchemy import Connection

from workers.db.engine import insert_into
from workers.db.models import conversation_messages
from workers.handlers.handler import Skips
from workers.parsing import ClaimedEvent

_COLUMNS: Final = {
    "event_id": "event_id",
    "conversation_id": "arrival.event.conversation_id",
    "occurred_at": "arrival.event.occurred_at_us",
    "sequence": "arrival.event.sequence",
    "received_at": "arrival.received_at_us",
    "position": "position",
    "platform_message_id": "arrival.event.platform_message_id",
    "sender": "arrival.event.sender",
    "text": "arrival.event.text",
    "content": "arrival.event.content",
}
"""Maps each column of `conversation_messages` to the attribute of a ClaimedEvent that fills it."""

_get_values: Final = attrgetter(*_COLUMNS.values())
_BUFFER: Final = insert_into(conversation_messages, _COLUMNS)


def conversation_message(connection: Connection, events: Sequence[ClaimedEvent], now_us: int) -> Skips:  # noqa: ARG001  # the signature of every handler
    """Store the messages; settle sorts them by occurred_at, sequence, received_at and event_id."""
    _BUFFER.execute(connection, list(map(_get_values, events)))
    return {}
