"""Say what a simulated event is and how its body is written."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

Payload = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Happening:
    """What happens next in a conversation, before it has a number.

    Args:
        kind: A short word for tables, e.g. "message" or "receipt".
        payload: The body as an object.
    """

    kind: str
    payload: Payload


@dataclass(frozen=True, slots=True)
class Post:
    """One body to be posted.

    Args:
        event: The number of the distinct event; all bodies that tell the same event share it. None where
            the body is malformed and tells nothing.
        kind: A short word for tables; "malformed:…" where event is None.
        body: The raw bytes.
    """

    event: int | None
    kind: str
    body: bytes


def compact(payload: Payload) -> bytes:
    """Return *payload* as the platform writes it: compact UTF-8 JSON, nothing escaped that need not be."""
    return json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode()
