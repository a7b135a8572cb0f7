"""Give one body of each event type, to try a filter on.

Source: the guide's sample payload; its `message`, `routing` and `attributes` are constructed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from workers.parsing import CONVERSATION_MESSAGE, CONVERSATION_NEW, CONVERSATION_UPDATED, QUEUED

if TYPE_CHECKING:
    from collections.abc import Mapping

EXTERNAL_ID: Final = "custom-social-channel-01"

_PARTICULARS: Final[Mapping[str, Mapping[str, Any]]] = {
    CONVERSATION_NEW: {},
    CONVERSATION_MESSAGE: {"message": {"id": "message-1", "text": "Hello", "direction": "inbound"}},
    CONVERSATION_UPDATED: {"routing": {"status": QUEUED, "queueId": "queue-1"}},
}


def sample(event_type: str, *, external_id: str = EXTERNAL_ID) -> dict[str, Any]:
    """Return a body of one of the guide's three event types."""
    return {
        "eventType": event_type,
        "conversationId": "a1b2c3d4-e5f6-7890-abcd-ef1234567890",
        "timestamp": "2024-05-15T14:32:10.000Z",
        "channel": {"type": "custom", "externalId": external_id, "name": "Custom Social Integration"},
        "participants": [{"id": "ext:customer:987654", "role": "customer"}],
        "metadata": {"platformOrigin": "facebook-custom-connector"},
        **_PARTICULARS[event_type],
    }
