"""Find all that happened to the events which an id names; on PostgreSQL every query has an index."""

import re
from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Table, or_, select, union_all

from workers.db import models
from workers.db.timeline import (
    Timeline,
    add_conflicts,
    add_gaps,
    add_outbox,
    add_routing,
    read_rows,
    trace_dead_letter,
    trace_event,
)

MAX_EVENTS: Final = 500
"""Events, and dead letters, that one search shows: the newest."""

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_MAX_ID: Final = 2**63 - 1


def find_timelines(connection: Connection, identifier: str) -> list[Timeline]:
    """Return the timelines of all events and dead letters that *identifier* names, oldest first.

    It is the id of a message (ours or the platform's), request, conversation, event or dead letter, an
    idempotency key, or the SHA-256 of a body.
    """
    rows = _find_events(connection, identifier)
    rows_by_key = {row.idempotency_key: row for row in rows}
    dead = _find_dead_letters(connection, identifier, rows_by_key)
    timelines = [trace_event(row) for row in rows]
    by_id = {timeline.event_id: timeline for timeline in timelines if timeline.event_id is not None}
    add_conflicts(connection, by_id)
    add_gaps(connection, {timeline.idempotency_key: timeline for timeline in timelines})
    add_routing(connection, by_id)
    add_outbox(connection, by_id, rows)
    ids = [row.intervention_id for row in dead]
    decisions = read_rows(connection, models.interventions.c.intervention_id, ids)
    processed = _find_processed(connection, dead)
    timelines += [
        trace_dead_letter(
            row, decisions, is_processed=not processed.isdisjoint({row.message_id, row.idempotency_key})
        )
        for row in dead
    ]
    for timeline in timelines:
        timeline.steps.sort(key=lambda step: (step.at is None, step.at))
    return sorted(timelines, key=lambda timeline: timeline.steps[0].at)  # type: ignore[arg-type, return-value]


def _find_events(connection: Connection, identifier: str) -> list[Any]:
    """Return the rows of processed_events; each condition has an index, so each is a query of its own."""
    e, copies = models.processed_events.c, models.duplicate_events.c
    conditions = [column == identifier for column in (e.idempotency_key, e.conversation_id, e.message_id)]
    if identifier.isdecimal() and int(identifier) <= _MAX_ID:
        conditions.append(e.id == int(identifier))
    conflicts = select(copies.event_id).where(_is_copy(models.duplicate_events, identifier))
    conditions.append(e.id.in_(sorted(connection.scalars(conflicts))))
    rows = _read_newest(connection, conditions)
    if not rows or _SHA256.fullmatch(identifier):
        # Last: their indexes are Bloom filters, which take tenths of a second on millions of rows.
        ids = union_all(
            *(
                select(table.c.event_id).where(table.c.platform_message_id == identifier)
                for table in (models.conversation_messages, models.message_receipts)
            )
        )
        conditions = [e.request_id == identifier, e.id.in_(sorted(connection.scalars(ids)))]
        if _SHA256.fullmatch(identifier):
            conditions.append(e.body_sha256 == bytes.fromhex(identifier))
        rows |= _read_newest(connection, conditions)
    return [rows[event_id] for event_id in sorted(rows)][-MAX_EVENTS:]


def _read_newest(connection: Connection, conditions: Iterable[ColumnElement[bool]]) -> dict[int, Any]:
    rows: dict[int, Any] = {}
    for condition in conditions:
        query = select(models.processed_events).where(condition).order_by(models.processed_events.c.id.desc())
        rows.update({row.id: row for row in connection.execute(query.limit(MAX_EVENTS))})
    return rows


def _is_copy(table: Table, identifier: str) -> ColumnElement[bool]:
    """Return the condition of a row that has the identifier as message id, or as its body's SHA-256."""
    condition: ColumnElement[bool] = table.c.message_id == identifier
    if _SHA256.fullmatch(identifier):
        condition = or_(condition, table.c.body_sha256 == bytes.fromhex(identifier))
    return condition


def _find_dead_letters(connection: Connection, identifier: str, keys: Iterable[str]) -> list[Any]:
    d, rows = models.dead_letters.c, dict[str, Any]()
    conditions = [
        _is_copy(models.dead_letters, identifier),
        d.conversation_id == identifier,
        d.idempotency_key.in_([identifier, *keys]),
    ]
    for condition in conditions:
        query = select(models.dead_letters).where(condition).order_by(d.recorded_at.desc()).limit(MAX_EVENTS)
        rows.update({row.message_id: row for row in connection.execute(query)})
    return sorted(rows.values(), key=lambda row: row.recorded_at)[-MAX_EVENTS:]


def _find_processed(connection: Connection, dead: Iterable[Any]) -> set[str]:
    """Return the message ids and idempotency keys with which the events of dead letters were processed."""
    e, found = models.processed_events.c, set[str]()
    rows = [row for row in dead if row.decided_at is not None]
    for column, name in ((e.message_id, "message_id"), (e.idempotency_key, "idempotency_key")):
        values = [getattr(row, name) for row in rows]
        found.update(getattr(row, name) for row in read_rows(connection, column, values))
    return found
