"""Read event type and conversation from a body, as far as it has them: for the records of dead letters."""

from __future__ import annotations

import re
from typing import Final

from messaging.errors import RejectedEventError
from workers.parsing.json_body import parse_body

_IDENTIFIER: Final = re.compile(r"[\w:.\-]{1,200}", re.ASCII)


def read_identifiers(body: bytes) -> tuple[str | None, str | None]:
    """Return event type and conversation of a body that could not be processed; no other text of it."""
    try:
        payload = parse_body(body)
    except RejectedEventError:
        return None, None
    return _identifier(payload.get("eventType", payload.get("type"))), _identifier(
        payload.get("conversationId")
    )


def _identifier(value: object) -> str | None:
    return value if isinstance(value, str) and _IDENTIFIER.fullmatch(value) else None
