"""Make the request that tells a destination of one event, signed by the Standard Webhooks scheme.

Source: The Standard Webhooks specification, "Payload structure" and "Webhook headers".
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from standardwebhooks.webhooks import Webhook

USER_AGENT: Final = "open-messaging-ingest"


@dataclass(frozen=True, slots=True)
class Message:
    """One event for one destination.

    Args:
        outbox_id: Its row in the outbox; it rises with the order within the conversation.
        conversation_id: The platform's conversation.
        event_type: What is told.
        occurred_at: The platform's clock.
        created_at_us: When it was put into the outbox, microseconds since the epoch.
        late: Whether something newer of its conversation went before.
        verified: Whether the platform confirmed the routing; None: it was not asked.
        payload: What the platform sent, byte for byte; None of a session that nobody notified.
        is_lost: Whether there was a payload, and it has been deleted for its age.
    """

    outbox_id: int
    conversation_id: str
    event_type: str
    occurred_at: datetime
    created_at_us: int
    late: bool
    verified: bool | None
    payload: bytes | None
    is_lost: bool = False

    @property
    def webhook_id(self) -> str:
        """Return what is equal in every attempt, and in no other event's even of another database."""
        return webhook_id_of(self.outbox_id, self.created_at_us)


def webhook_id_of(outbox_id: int, created_at_us: int) -> str:
    """Return the id of the message that a row of the outbox becomes."""
    return f"msg_{created_at_us:x}_{outbox_id}"


def body_of(message: Message) -> bytes:
    """Return the request's body: JSON, with the payload in it as it came, byte for byte."""
    envelope = {
        "type": message.event_type,
        "timestamp": message.occurred_at.astimezone(UTC).isoformat(timespec="microseconds"),
        "conversation_id": message.conversation_id,
        "sequence": message.outbox_id,
        "late": message.late,
        "verified": message.verified,
    }
    head = json.dumps(envelope, ensure_ascii=False, separators=(",", ":"))
    return head[:-1].encode() + b',"data":' + (message.payload or b"null") + b"}"


def headers_of(webhook_id: str, body: bytes, signers: Sequence[Webhook], now: datetime) -> dict[str, str]:
    """Return the headers of one attempt; the signature covers id, time and body.

    Args:
        webhook_id: Equal in all attempts.
        body: What is sent.
        signers: One for each secret.
        now: When it is sent; receivers refuse what is older than some minutes.
    """
    text = body.decode()
    return {
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
        "Idempotency-Key": webhook_id,
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signer.sign(webhook_id, now, text) for signer in signers),
    }
