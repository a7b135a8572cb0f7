"""Build the key that decides whether an event is new.

The guide's key is `conversationId:timestamp`. That key alone would drop real events, because several events
of a conversation can occur in one millisecond. Further parts of our key distinguish them
(docs/decisions/0101-idempotency-key.md).
"""

import hashlib
from typing import Any

from workers.parsing.json_body import canonical_json
from workers.parsing.timestamps import canonical_text

DIGEST_BYTES = 16
"""128 bits: two events of one conversation, type and microsecond never collide by chance."""

MAX_PART = 40
"""No word of the platform in a key is longer. An index entry has at most 2,704 bytes."""


def guide_key(conversation_id: str, occurred_at_us: int, kind: str, discriminator: str) -> str:
    """Return the key of an event of the guide's envelope; all spellings of one instant give the same key."""
    return f"{literal_key(conversation_id, occurred_at_us)}:{kind}:{discriminator}"


def literal_key(conversation_id: str, occurred_at_us: int) -> str:
    """Return the guide's own key, with the time in one spelling; the event's key here begins with it."""
    return f"{conversation_id}:{canonical_text(occurred_at_us)}"


def genesys_key(integration: str | None, direction: str | None, kind: str, discriminator: str) -> str:
    """Return the key of a native event.

    The key has neither conversation nor time: the platform's history lacks them or writes them differently.
    """
    return f"{integration or '-'}:{_shorten(direction or '-')}:{_shorten(kind)}:{discriminator}"


def digest_of(value: Any) -> str:
    """Return the digest of a value of a parsed body; all spellings of the value give the same digest."""
    return hashlib.blake2b(canonical_json(value), digest_size=DIGEST_BYTES).hexdigest()


def _shorten(word: str) -> str:
    return word.lower() if len(word) <= MAX_PART else digest_of(word)
