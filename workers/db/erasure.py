"""Erase the personal data of conversations from the tables.

Bodies and texts are erased. The rows that identify an event by its ids stay, because without the idempotency
key, a copy of an erased event would take effect again and restore the erased data.
"""

import json
import re
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from workers.db.engine import transact
from workers.db.models import (
    conversation_messages,
    deliveries,
    discarded_dead_letters,
    event_conflicts,
    event_payloads,
    message_receipts,
    processed_events,
)

UUID_FORM: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
"""A UUID is never part of a longer id, so it can be searched for without quotes, even in damaged bodies."""

_WITH_BODIES: Final = (event_payloads, event_conflicts)
_ESCAPE: Final = re.compile(r"\\u([0-9a-f]{4})")
SEARCH_ROWS: Final = 10_000
"""Number of event ids that a statement searches: it takes milliseconds, so progress is shown often."""


def encode_needles(identifiers: Iterable[str]) -> set[bytes]:
    """Return all forms that *identifiers* can have in a body: JSON strings, and UUIDs also without quotes."""
    identifiers = list(identifiers)
    texts = [json.dumps(one, ensure_ascii=is_ascii) for one in identifiers for is_ascii in (False, True)]
    # Java and .NET write the hexadecimal digits of an escape in upper case, Python in lower case.
    texts += [_ESCAPE.sub(lambda found: rf"\u{found[1].upper()}", text) for text in texts]
    forms = {form.encode() for text in texts for form in (text, text.replace("/", "\\/"))}
    return forms | {one.encode() for one in identifiers if UUID_FORM.fullmatch(one)}


def search_conversations(
    engine: sa.Engine,
    needles: Iterable[bytes],
    report: Callable[[int, int], None] = lambda _done, _total: None,
) -> set[str]:
    """Return the ids of the conversations with a stored body that contains any of *needles*.

    Every body is read, including those of conflicts. After each statement, *report* is called with the id
    above which the statement searched, and with the last id.
    """
    wanted, found = list(needles), set[str]()
    if not wanted:
        return found
    events = processed_events.c
    last: int = transact(engine, sa.Connection.scalar, sa.select(sa.func.max(events.id))) or 0
    tables = [(one.c.event_id, _has_any(engine.dialect, one.c.body, wanted)) for one in _WITH_BODIES]

    def search(connection: sa.Connection, above: int) -> set[str]:
        conditions = (
            (ids == events.id) & (ids > above) & (ids <= above + SEARCH_ROWS) & is_named
            for ids, is_named in tables
        )
        named = (sa.select(events.conversation_id).where(condition) for condition in conditions)
        return {one for query in named for one in connection.scalars(query)}

    for above in range(0, last, SEARCH_ROWS):
        found |= transact(engine, search, above)
        report(above, last)
    return found


def erase_conversations(
    connection: sa.Connection, conversation_ids: Iterable[str], *, now: datetime, dry_run: bool
) -> dict[str, int]:
    """Erase the content of conversations, and abandon their unsent deliveries; return row counts by table."""
    chosen = list(conversation_ids)
    given_up = {"outcome": "abandoned", "reason": "erased", "finished_at": now}
    events = sa.select(processed_events.c.id).where(processed_events.c.conversation_id.in_(chosen))
    messages, receipts, conflicts = conversation_messages.c, message_receipts.c, event_conflicts.c
    unsent = deliveries.c.conversation_id.in_(chosen) & deliveries.c.outcome.is_(None)
    has_text = messages.text.is_not(None) | messages.content.is_not(None)
    texts = messages.conversation_id.in_(chosen) & has_text
    reasons = receipts.conversation_id.in_(chosen) & receipts.reasons.is_not(None)
    bodies = conflicts.event_id.in_(events) & (sa.func.length(conflicts.body) > 0)
    statements: tuple[tuple[Any, sa.ColumnElement[bool]], ...] = (
        (sa.update(deliveries).values(given_up), unsent),
        (sa.delete(event_payloads), event_payloads.c.event_id.in_(events)),
        (sa.update(event_conflicts).values(body=b""), bodies),
        (sa.update(conversation_messages).values(text=None, content=None), texts),
        (sa.update(message_receipts).values(reasons=None), reasons),
    )
    if not dry_run:
        # Wait for the transactions that are leasing some of these deliveries. The update below then also
        # finds the deliveries that they have parked. No more can be parked while these rows are locked.
        connection.execute(sa.select(deliveries.c.outbox_id).where(unsent).with_for_update())
    erased = {}
    for statement, condition in statements:
        rows = sa.select(sa.func.count()).select_from(statement.table).where(condition)
        change = statement.where(condition)
        counted = connection.scalar(rows) if dry_run else connection.execute(change).rowcount
        erased[statement.table.name] = counted or 0
    return erased


def erase_discarded(connection: sa.Connection, needle: bytes, *, dry_run: bool) -> set[int]:
    """Delete the discarded dead letters whose body contains *needle*; return their row ids."""
    columns = discarded_dead_letters.c
    statement: Any = (
        sa.select(columns.id) if dry_run else sa.delete(discarded_dead_letters).returning(columns.id)
    )
    return set(connection.scalars(statement.where(_has_any(connection.dialect, columns.body, [needle]))))


def _has_any(dialect: sa.Dialect, body: sa.Column[Any], needles: Iterable[bytes]) -> sa.ColumnElement[bool]:
    literals = [sa.literal(needle, sa.LargeBinary) for needle in needles]
    if dialect.name == "sqlite":
        return sa.or_(*(sa.func.instr(body, literal) > 0 for literal in literals))
    return sa.or_(*(sa.func.position(literal.op("IN")(body)) > 0 for literal in literals))
