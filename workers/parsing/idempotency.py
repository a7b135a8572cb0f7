"""Build the idempotency key, which decides whether an event is new.

The guide's key is `conversationId:timestamp`. That key alone would drop real events, because several events
of a conversation can occur in the same millisecond. Our key has further parts that distinguish those events
(docs/decisions/0101-idempotency-key.md).
"""

import hashlib
import json
from typing import Any

from workers.parsing.timestamps import canonical_text

DIGEST_BYTES = 16
"""Size of a digest. With 128 bits, two different events practically never have the same digest."""

MAX_PART = 40
"""A longer part of a key is replaced by its digest, because the size of index entries is limited."""


def guide_key(conversation_id: str, occurred_at_us: int, kind: str, discriminator: str) -> str:
    """Return the key of an event in the guide's envelope; it does not depend on how the time was written."""
    return f"{literal_key(conversation_id, occurred_at_us)}:{kind}:{discriminator}"


def literal_key(conversation_id: str, occurred_at_us: int) -> str:
    """Return the key that the guide defines, with the time in canonical form; our key begins with it."""
    return f"{conversation_id}:{canonical_text(occurred_at_us)}"


def genesys_key(integration: str | None, direction: str | None, kind: str, discriminator: str) -> str:
    """Return a native event's key, without conversation and time, which the history omits or rewrites."""
    return f"{integration or '-'}:{_shorten(direction or '-')}:{_shorten(kind)}:{discriminator}"


def digest_of(value: Any) -> str:
    """Return the digest of a value of a parsed body; it does not depend on how the JSON was written."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(canonical.encode(), digest_size=DIGEST_BYTES).hexdigest()


def _shorten(word: str) -> str:
    return word.lower() if len(word) <= MAX_PART else digest_of(word)
