"""Erase the personal data of conversations from the tables.

Bodies and texts are erased. The rows that identify an event by its ids stay: without its idempotency key, a
copy of an erased event would take effect again, and restore its data.
"""

import json
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from typing import Any, Final

import sqlalchemy as sa

from workers.db.engine import transact
from workers.db.models import (
    conversation_messages,
    deliveries,
    discarded_dead_letters,
    duplicate_events,
    event_payloads,
    message_receipts,
    processed_events,
)

SEARCH_ROWS: Final = 10_000
"""How many bodies, by id, one statement searches: it takes milliseconds, so that progress can be shown."""


def encode_needles(identifier: str) -> tuple[bytes, ...]:
    """Return the forms in which a JSON body can hold *identifier* as a whole string."""
    texts = (json.dumps(identifier, ensure_ascii=is_ascii) for is_ascii in (False, True))
    return tuple({form.encode() for text in texts for form in (text, text.replace("/", "\\/"))})


def search_conversations(
    engine: sa.Engine,
    needles: Iterable[bytes],
    report: Callable[[int, int], None] = lambda _done, _total: None,
) -> set[str]:
    """Return the conversations of kept bodies that contain any of *needles*; reads every body.

    *report* is called after each statement with the last event id searched and the last id to search.
    """
    wanted, found = list(needles), set[str]()
    if not wanted:
        return found
    ids = event_payloads.c.event_id
    last: int = transact(engine, lambda connection: connection.scalar(sa.select(sa.func.max(ids)))) or 0

    def search(connection: sa.Connection, above: int) -> set[str]:
        query = (
            sa.select(processed_events.c.conversation_id)
            .join(event_payloads, ids == processed_events.c.id)
            .where(ids > above, ids <= above + SEARCH_ROWS)
            .where(_has_any(connection, event_payloads.c.body, wanted))
        )
        return set(connection.scalars(query))

    for above in range(0, last, SEARCH_ROWS):
        found |= transact(engine, partial(search, above=above))
        report(above, last)
    return found


def erase_conversations(
    connection: sa.Connection,
    conversation_ids: Iterable[str],
    needles: Iterable[bytes],
    *,
    now: datetime,
    dry_run: bool,
) -> dict[str, int]:
    """Erase the content of conversations; unsent deliveries are given up without dead letters.

    Discarded dead letters whose body contains one of *needles* are erased too: only their body names a
    customer. Returns the number of rows that are erased, or would be, by table.
    """
    chosen = list(conversation_ids)
    given_up = {"outcome": "abandoned", "reason": "erased", "finished_at": now}
    events = sa.select(processed_events.c.id).where(processed_events.c.conversation_id.in_(chosen))
    messages, receipts, conflicts = conversation_messages.c, message_receipts.c, duplicate_events.c
    unsent = deliveries.c.conversation_id.in_(chosen) & deliveries.c.outcome.is_(None)
    has_text = messages.text.is_not(None) | messages.content.is_not(None)
    texts = messages.conversation_id.in_(chosen) & has_text
    reasons = receipts.conversation_id.in_(chosen) & receipts.reasons.is_not(None)
    bodies = conflicts.event_id.in_(events) & (sa.func.length(conflicts.body) > 0)
    discarded = _has_any(connection, discarded_dead_letters.c.body, [*needles, *map(str.encode, chosen)])
    statements: tuple[tuple[Any, sa.ColumnElement[bool]], ...] = (
        (sa.update(deliveries).values(given_up), unsent),
        (sa.delete(event_payloads), event_payloads.c.event_id.in_(events)),
        (sa.update(duplicate_events).values(body=b""), bodies),
        (sa.update(conversation_messages).values(text=None, content=None), texts),
        (sa.update(message_receipts).values(reasons=None), reasons),
        (sa.delete(discarded_dead_letters), discarded),
    )
    erased = {}
    for statement, condition in statements:
        rows = sa.select(sa.func.count()).select_from(statement.table).where(condition)
        change = statement.where(condition)
        counted = connection.scalar(rows) if dry_run else connection.execute(change).rowcount
        erased[statement.table.name] = counted or 0
    return erased


def _has_any(
    connection: sa.Connection, body: sa.Column[Any], needles: Iterable[bytes]
) -> sa.ColumnElement[bool]:
    literals = [sa.literal(needle, sa.LargeBinary) for needle in needles]
    if connection.dialect.name == "sqlite":
        return sa.or_(*(sa.func.instr(body, literal) > 0 for literal in literals))
    return sa.or_(*(sa.func.position(literal.op("IN")(body)) > 0 for literal in literals))
