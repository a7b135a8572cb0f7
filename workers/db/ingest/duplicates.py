"""Record what came again: counted on its row, or as a conflict where it says something else."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from workers.db.engine import BulkStatement, column_kinds
from workers.db.models import duplicate_events, processed_events

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from workers.parsing import Arrival

# Rows are in the order of their keys and found one by one by index, so that two transactions lock them in
# the same order. RETURNING says which were the same; whatever is left is a conflict.
_COUNT: Final = BulkStatement(
    """
    UPDATE processed_events
    SET deliveries = deliveries + {deliveries}, last_delivered_at = {last_delivered_at}
    FROM {rows} WHERE idempotency_key = {idempotency_key} AND body_sha256 = {body_sha256}
    RETURNING idempotency_key, body_sha256
    """,
    column_kinds(processed_events, "idempotency_key", "body_sha256", "deliveries", "last_delivered_at"),
)
_RECORD: Final = BulkStatement(
    """
    INSERT INTO duplicate_events (event_id, idempotency_key, body_sha256, deliveries, first_seen_at,
        last_seen_at, message_id, source, body)
    SELECT processed_events.id, {idempotency_key}, {body_sha256}, {deliveries}, {first_seen_at},
        {first_seen_at}, {message_id}, {source}, {body}
    FROM {rows} JOIN processed_events ON processed_events.idempotency_key = {idempotency_key} WHERE true
    ON CONFLICT (event_id, body_sha256) DO UPDATE SET
        deliveries = duplicate_events.deliveries + excluded.deliveries, last_seen_at = excluded.last_seen_at
    """,
    column_kinds(
        duplicate_events,
        "idempotency_key",
        "body_sha256",
        "deliveries",
        "first_seen_at",
        "message_id",
        "source",
        "body",
    ),
)


def record_duplicates(connection: Connection, arrivals: Iterable[Arrival], now_us: int) -> int:
    """Record arrivals whose keys are known, in the transaction that found that out.

    Args:
        connection: After the claim: what another transaction committed meanwhile is seen here.
        arrivals: In the order in which they came.
        now_us: Our time.

    Returns:
        How many of them say something else than the event that is known by their key.
    """
    first_of: dict[tuple[str, str], Arrival] = {}
    deliveries: Counter[tuple[str, str]] = Counter()
    for arrival in arrivals:
        copy = (arrival.event.idempotency_key, arrival.body_sha256)
        first_of.setdefault(copy, arrival)
        deliveries[copy] += 1
    if not first_of:
        return 0
    counts = [(*copy, count, now_us) for copy, count in sorted(deliveries.items())]
    same = {(key, digest.hex()) for key, digest in _COUNT.execute(connection, counts)}
    conflicts = [count for count in counts if count[:2] not in same]
    if conflicts:
        others = [first_of[copy[:2]] for copy in conflicts]
        _RECORD.execute(
            connection,
            [
                (*count, arrival.message_id, arrival.source, arrival.body)
                for count, arrival in zip(conflicts, others, strict=True)
            ],
        )
    return sum(deliveries[count[:2]] for count in conflicts)
