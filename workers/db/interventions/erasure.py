"""Erase the personal data of conversations from the tables.

Bodies and texts go. The rows that name an event by its ids stay: without its idempotency key, a copy of an
erased event would take effect again, and bring its data back.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import LargeBinary, delete, func, literal, or_, select, update

from workers.db.models import (
    conversation_messages,
    deliveries,
    discarded_letters,
    duplicate_events,
    event_payloads,
    message_receipts,
    processed_events,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from sqlalchemy import Column, ColumnElement, Connection

SEARCH_ROWS: Final = 10_000
"""Bodies searched in one statement, by their ids: some milliseconds, so that progress can be shown."""


def needles_of(identifier: str) -> tuple[bytes, ...]:
    """Return the forms in which a JSON body can hold *identifier* as a whole string."""
    texts = (json.dumps(identifier, ensure_ascii=is_ascii) for is_ascii in (False, True))
    return tuple({form.encode() for text in texts for form in (text, text.replace("/", "\\/"))})


def last_event_id(connection: Connection) -> int:
    """Return the highest id of a kept body, 0 without one."""
    return connection.scalar(select(func.max(event_payloads.c.event_id))) or 0


def conversations_with(connection: Connection, needles: Iterable[bytes], above: int) -> set[str]:
    """Return the conversations of the bodies with any of *needles*.

    Args:
        connection: In a transaction.
        needles: As of `needles_of`.
        above: Only the SEARCH_ROWS ids above this one are searched.
    """
    ids = event_payloads.c.event_id
    of_events = (
        select(processed_events.c.conversation_id)
        .join(event_payloads, ids == processed_events.c.id)
        .where(ids > above, ids <= above + SEARCH_ROWS, _has_any(connection, event_payloads.c.body, needles))
    )
    return set(connection.scalars(of_events))


def erase_conversations(
    connection: Connection,
    conversation_ids: Iterable[str],
    needles: Iterable[bytes],
    *,
    now: datetime,
    dry_run: bool,
) -> dict[str, int]:
    """Erase the content of conversations; unsent deliveries are given up, without dead letters.

    Args:
        connection: In a transaction.
        conversation_ids: The platform's ids.
        needles: Discarded dead letters whose body has one of these go too: only their body names a customer.
        now: The present.
        dry_run: Only count.

    Returns:
        How many rows were erased, or would be, by table.
    """
    chosen = list(conversation_ids)
    given_up = {"outcome": "dead", "reason": "erased", "finished_at": now, "dead_lettered_at": now}
    unsent = deliveries.c.conversation_id.in_(chosen) & deliveries.c.outcome.is_(None)
    events = select(processed_events.c.id).where(processed_events.c.conversation_id.in_(chosen))
    of_messages = conversation_messages.c.conversation_id.in_(chosen)
    of_receipts = message_receipts.c.conversation_id.in_(chosen)
    texts = or_(conversation_messages.c.text.is_not(None), conversation_messages.c.content.is_not(None))
    letters = _has_any(connection, discarded_letters.c.body, [*needles, *map(str.encode, chosen)])
    statements: tuple[Any, ...] = (
        (update(deliveries).values(given_up), unsent),
        (delete(event_payloads), event_payloads.c.event_id.in_(events)),
        (
            update(duplicate_events).values(body=b""),
            duplicate_events.c.event_id.in_(events) & (func.length(duplicate_events.c.body) > 0),
        ),
        (update(conversation_messages).values(text=None, content=None), of_messages & texts),
        (
            update(message_receipts).values(reasons=None),
            of_receipts & message_receipts.c.reasons.is_not(None),
        ),
        (delete(discarded_letters), letters),
    )
    return dict(_carry_out(connection, statements, dry_run=dry_run))


def _carry_out(connection: Connection, statements: Any, *, dry_run: bool) -> Iterator[tuple[str, int]]:
    for statement, condition in statements:
        table = statement.table
        if dry_run:
            yield table.name, connection.scalar(select(func.count()).select_from(table).where(condition)) or 0
        else:
            yield table.name, connection.execute(statement.where(condition)).rowcount


def _has_any(connection: Connection, body: Column[Any], needles: Iterable[bytes]) -> ColumnElement[bool]:
    if connection.dialect.name == "sqlite":
        return or_(*(func.instr(body, literal(needle, LargeBinary)) > 0 for needle in needles))
    return or_(*(func.position(literal(needle, LargeBinary).op("IN")(body)) > 0 for needle in needles))
