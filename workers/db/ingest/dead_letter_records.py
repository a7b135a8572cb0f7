"""Record in SQL why an event is dead-lettered, before it becomes a dead letter."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, Final

from sqlalchemy import Connection

from messaging.envelope import MAX_RECEIVED_US, MIN_RECEIVED_US, OTHER
from workers.db.engine import insert_into
from workers.db.models import dead_letters as table

_COLUMNS: Final = {
    **{name: name for name in ("message_id", "code", "reason", "body_sha256", "source")},
    "received_at": "received_at_us",
    "attempts": "attempt",
    **{name: name for name in ("idempotency_key", "event_type", "conversation_id", "destination")},
}
"""The attribute of a dead letter for each column."""

_get_values: Final = attrgetter(*_COLUMNS.values())

# A dead letter that arrives again, after a crash or through the records queue, already has a record, which
# stays. A new reason replaces the old one only after an operator has replayed or resent the event.
_RECORD: Final = insert_into(
    table,
    (*_COLUMNS, "recorded_at"),
    """
    ON CONFLICT (message_id) DO UPDATE SET code = excluded.code, reason = excluded.reason,
        source = excluded.source, recorded_at = excluded.recorded_at, attempts = excluded.attempts,
        intervention_id = NULL, decided_at = NULL,
        idempotency_key = COALESCE(dead_letters.idempotency_key, excluded.idempotency_key)
    WHERE dead_letters.intervention_id IS NOT NULL
        AND (excluded.source = 'replay' OR excluded.code IN ('delivery_refused', 'delivery_given_up'))
    RETURNING message_id
    """,
)

UNRECORDABLE: Final = "unrecordable"
INVALID_CODE: Final = "invalid_code"
MAX_REASON: Final = 300
"""Characters: enough for a handler's reason of 200 and the number of attempts."""
MAX_KEY: Final = 500
"""Characters of an id or a key. PostgreSQL refuses an index entry above 2,700 bytes."""
MAX_ATTEMPTS: Final = 1_000_000

_CODE: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One event that cannot be processed, and why.

    Args:
        code: A stable code of the problem.
        reason: A description of the problem, which names the field but never its value.
        body_sha256: The SHA-256 of the raw body, in hexadecimal.
        source: webhook, reconcile, replay, ingest or other.
        attempt: The number of this delivery, from 1.
        idempotency_key: The event's key, by which reconcile finds it; None if its body was not parsed.
        destination: The service that did not accept it; None for an event that intake could not process.
    """

    message_id: str
    code: str
    reason: str
    body_sha256: str
    source: str
    received_at_us: int
    attempt: int
    idempotency_key: str | None = None
    event_type: str | None = None
    conversation_id: str | None = None
    destination: str | None = None


def make_storable(dead_letter: DeadLetter) -> DeadLetter:
    """Return a dead letter that both databases can store, whatever a handler or a publisher put into it.

    A value that has to be replaced loses its meaning, but recording a dead letter must never fail.
    """
    reason = "".join([char if char.isprintable() else "?" for char in dead_letter.reason[:MAX_REASON]])
    optional = ("idempotency_key", "event_type", "conversation_id")
    code: object = dead_letter.code
    is_code = isinstance(code, str) and _CODE.fullmatch(code)
    return replace(
        dead_letter,
        message_id=_take_key(dead_letter.message_id) or dead_letter.body_sha256,
        code=dead_letter.code if is_code else INVALID_CODE,
        reason=reason,
        received_at_us=_clamp(dead_letter.received_at_us, MIN_RECEIVED_US, MAX_RECEIVED_US),
        attempt=_clamp(dead_letter.attempt, 1, MAX_ATTEMPTS),
        **{name: _take_key(getattr(dead_letter, name)) for name in optional},
    )


def make_minimal(dead_letter: DeadLetter, now_us: int) -> DeadLetter:
    """Return the record of a dead letter whose own record the database refused; only its id is kept."""
    return DeadLetter(
        message_id=make_storable(dead_letter).message_id,
        code=UNRECORDABLE,
        reason="record: the database refused its values",
        body_sha256=dead_letter.body_sha256,
        source=OTHER,
        received_at_us=now_us,
        attempt=1,
    )


def record_dead_letters(
    connection: Connection, dead_letters: Iterable[DeadLetter], now_us: int
) -> frozenset[str]:
    """Record the reasons in the connection's transaction.

    Returns:
        The message ids of dead letters without a record, or without one since an operator's decision.
    """
    # Keep the first of several copies, because PostgreSQL cannot update a row twice in one statement.
    first: dict[str, DeadLetter] = {}
    for dead_letter in map(make_storable, dead_letters):
        first.setdefault(dead_letter.message_id, dead_letter)
    rows = [(*_get_values(first[message_id]), now_us) for message_id in sorted(first)]
    if not rows:
        return frozenset()
    return frozenset(message_id for (message_id,) in _RECORD.execute(connection, rows))


def _take_key(value: Any) -> Any:
    """Return a text that can be stored and indexed: no NUL, no lone surrogate, not too long; else None."""
    if not isinstance(value, str) or not 0 < len(value) <= MAX_KEY:
        return None
    return None if "\0" in value or any("\ud800" <= char <= "\udfff" for char in value) else value


def _clamp(value: object, lowest: int, highest: int) -> int:
    return min(max(value, lowest), highest) if isinstance(value, int) else lowest
