"""Build the key that decides whether an event is new.

The guide's key is `conversationId:timestamp`. Alone it drops real events, because several events of one
conversation fall into one millisecond; what follows it here keeps them apart
(docs/decisions/0101-idempotency-key.md).
"""

from __future__ import annotations

import hashlib
from typing import Any

from workers.parsing.json_body import canonical_json
from workers.parsing.timestamps import canonical_text

DIGEST_BYTES = 16
"""128 bits: two events of one conversation, type and microsecond never collide by chance."""

LONGEST_PART = 40
"""A word of a key that the platform has no longer one of; an index entry is 2,704 bytes at most."""


def guide_key(conversation_id: str, occurred_at_us: int, kind: str, discriminator: str) -> str:
    """Return the key of an event of the guide's envelope.

    Args:
        conversation_id: As the platform gives it.
        occurred_at_us: Microseconds since the epoch, so that any spelling of one instant gives one key.
        kind: What tells two types of event apart in one moment.
        discriminator: What keeps two events of one kind and moment apart.
    """
    return f"{conversation_id}:{canonical_text(occurred_at_us)}:{kind}:{discriminator}"


def genesys_key(integration: str | None, direction: str | None, kind: str, discriminator: str) -> str:
    """Return the key of an event of the native dialect.

    Neither conversation nor time is part of it: the platform's history has both otherwise, or not at all.
    """
    return f"{integration or '-'}:{_part(direction or '-')}:{_part(kind)}:{discriminator}"


def digest_of(value: Any) -> str:
    """Return a digest of a value of a parsed body: all of it, however it is spelt."""
    return hashlib.blake2b(canonical_json(value), digest_size=DIGEST_BYTES).hexdigest()


def _part(word: str) -> str:
    """Return a word of a key; what is too long to be one becomes its digest."""
    return word.lower() if len(word) <= LONGEST_PART else digest_of(word)
