"""Build the key that decides whether an event is new.

The guide's key is `conversationId:timestamp`. Alone it drops real events, because several events of one
conversation fall into one millisecond; what follows it here keeps them apart
(docs/decisions/0101-idempotency-key.md).
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

DIGEST_BYTES = 16
"""128 bits: two events of one conversation, type and microsecond never collide by chance."""


def idempotency_key(conversation_id: str, occurred_at: datetime, kind: str, discriminator: str) -> str:
    """Return the key of one event.

    Args:
        conversation_id: As the platform gives it.
        occurred_at: UTC; any spelling of one instant gives one key.
        kind: The last word of the event type, so that two types in one moment differ.
        discriminator: What keeps two events of one kind and moment apart.
    """
    moment = occurred_at.isoformat(timespec="microseconds")[:26]
    return f"{conversation_id}:{moment}Z:{kind}:{discriminator}"


def digest_of(fields: Mapping[str, Any]) -> str:
    """Return a digest of the known business fields, for events without an identifier of their own.

    Unknown fields are no part of it: a copy of an event that gained one is still that event.
    """
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.blake2b(canonical.encode(), digest_size=DIGEST_BYTES).hexdigest()
