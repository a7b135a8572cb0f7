"""Put on record why an event is dead-lettered, before it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from workers.tables.database import DIGEST, INTEGER, MOMENT, TEXT, RowStatement

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

# What comes by again, after a crash or as a dead letter that waits for its record, has one: the first stands.
# Only of one that a person ran again, or sent again, and that died again does the new reason count.
_RECORD: Final = RowStatement(
    """
    INSERT INTO dead_letters (
        message_id, code, reason, body_sha256, source, received_at, recorded_at, attempts, idempotency_key)
    SELECT {message_id}, {code}, {reason}, {body_sha256}, {source}, {received_at}, {recorded_at}, {attempts},
        {idempotency_key}
    FROM {rows} WHERE true
    ON CONFLICT (message_id) DO UPDATE SET code = excluded.code, reason = excluded.reason,
        source = excluded.source, recorded_at = excluded.recorded_at, attempts = excluded.attempts,
        intervention_id = NULL, decided_at = NULL,
        idempotency_key = COALESCE(dead_letters.idempotency_key, excluded.idempotency_key)
    WHERE dead_letters.intervention_id IS NOT NULL
        AND (excluded.source = 'replay' OR excluded.code IN ('delivery_refused', 'delivery_given_up'))
    RETURNING message_id
    """,
    {
        "message_id": TEXT,
        "code": TEXT,
        "reason": TEXT,
        "body_sha256": DIGEST,
        "source": TEXT,
        "received_at": MOMENT,
        "recorded_at": MOMENT,
        "attempts": INTEGER,
        "idempotency_key": TEXT,
    },
)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One event that cannot be processed, and why.

    Args:
        message_id: The accepted request.
        code: What is wrong, one stable word.
        reason: What is wrong, naming the field and never its value.
        body_sha256: Of the raw body, hexadecimal.
        source: webhook, reconcile or replay.
        received_at_us: When the edge had read it.
        attempt: Which delivery this was, from 1.
        idempotency_key: The event's, by which reconcile knows it; None if its body was not read.
    """

    message_id: str
    code: str
    reason: str
    body_sha256: str
    source: str
    received_at_us: int
    attempt: int
    idempotency_key: str | None = None


def record_dead_letters(
    connection: Connection, dead_letters: Iterable[DeadLetter], now_us: int
) -> frozenset[str]:
    """Record the reasons in the connection's transaction.

    Returns:
        The message ids of those that had no record, or none since they were run again.
    """
    # The first of several copies, since PostgreSQL changes no row twice in one statement.
    first_of: dict[str, DeadLetter] = {}
    for each in dead_letters:
        first_of.setdefault(each.message_id, each)
    rows = [
        (
            each.message_id,
            each.code,
            each.reason,
            each.body_sha256,
            each.source,
            each.received_at_us,
            now_us,
            each.attempt,
            each.idempotency_key,
        )
        for _, each in sorted(first_of.items())
    ]
    if not rows:
        return frozenset()
    return frozenset(message_id for (message_id,) in _RECORD.execute(connection, rows))
