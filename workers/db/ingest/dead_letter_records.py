"""Record in the database why an event is dead-lettered, before it becomes a dead letter."""

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
"""Maps each column of `dead_letters` to the attribute of a DeadLetter that fills it."""

_get_values: Final = attrgetter(*_COLUMNS.values())

# If a dead letter arrives again, after a crash or through the records queue, its record stays unchanged. A
# new reason replaces the recorded reason only after an operator has replayed or resent the event.
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

MAX_REASON: Final = 300
"""Maximum length of a reason: enough for a handler's reason of 200 characters and the number of attempts."""
MAX_KEY: Final = 500
"""Maximum length of an id or key, in characters: PostgreSQL refuses index entries above 2,700 bytes."""

_CODE: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """The record of a dead letter; the comments on the table's columns explain the fields.

    `reason` names a field of the event but never contains its value. `body_sha256` is in hexadecimal.
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
    """Return a dead letter whose values PostgreSQL and SQLite can store, whatever values a handler has set.

    A replaced value loses its meaning, but the record of a dead letter must never be refused.
    """
    reason = "".join([char if char.isprintable() else "?" for char in dead_letter.reason[:MAX_REASON]])
    optional = ("idempotency_key", "event_type", "conversation_id", "destination")
    code: object = dead_letter.code
    is_code = isinstance(code, str) and _CODE.fullmatch(code)
    return replace(
        dead_letter,
        message_id=_take_key(dead_letter.message_id) or dead_letter.body_sha256,
        code=dead_letter.code if is_code else "invalid_code",
        reason=reason,
        received_at_us=_clamp(dead_letter.received_at_us, MIN_RECEIVED_US, MAX_RECEIVED_US),
        attempt=_clamp(dead_letter.attempt, 1, 1_000_000),
        **{name: _take_key(getattr(dead_letter, name)) for name in optional},
    )


def make_minimal(dead_letter: DeadLetter, now_us: int) -> DeadLetter:
    """Return a record with only the ids of a dead letter, for use if the database refused its full record."""
    return DeadLetter(
        message_id=make_storable(dead_letter).message_id,
        code="unrecordable",
        reason="record: the database refused its values",
        body_sha256=dead_letter.body_sha256,
        source=OTHER,
        received_at_us=now_us,
        attempt=1,
    )


def record_dead_letters(
    connection: Connection, dead_letters: Iterable[DeadLetter], now_us: int
) -> frozenset[str]:
    """Record dead letters; return the message ids whose record is new or was renewed after a decision."""
    # Keep the first of several copies, because PostgreSQL cannot update a row twice in one statement.
    storable = [make_storable(dead_letter) for dead_letter in dead_letters]
    first = {dead_letter.message_id: dead_letter for dead_letter in reversed(storable)}
    rows = [(*_get_values(first[message_id]), now_us) for message_id in sorted(first)]
    return frozenset(message_id for (message_id,) in _RECORD.execute(connection, rows))


def _take_key(value: Any) -> Any:
    """Return *value* if it can be stored and indexed: text without NUL or lone surrogates; else None."""
    if not isinstance(value, str) or not 0 < len(value) <= MAX_KEY:
        return None
    return None if "\0" in value or any("\ud800" <= char <= "\udfff" for char in value) else value


def _clamp(value: object, lowest: int, highest: int) -> int:
    return min(max(value, lowest), highest) if isinstance(value, int) else lowest
