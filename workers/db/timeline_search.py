"""Find the timelines of the events that an id identifies; PostgreSQL has indexes on large tables for this."""

import re
from collections.abc import Iterable, Iterator
from operator import attrgetter
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Connection, Table, exists, or_, select, union_all

from workers.db import models
from workers.db.timeline import Timeline, read_rows, trace_dead_letter, trace_events

MAX_EVENTS: Final = 500
"""A search returns only the newest events and the newest dead letters: at most this number of each."""

_SHA256: Final = re.compile(r"[0-9a-f]{64}")


def find_timelines(connection: Connection, identifier: str) -> list[Timeline]:
    """Return the timelines of all events and dead letters that *identifier* identifies, oldest first.

    *identifier* is the id of a message (ours or the platform's), request, conversation, event or dead letter,
    an idempotency key, or the SHA-256 of a body.
    """
    rows = _find_events(connection, identifier)
    dead = _find_dead_letters(connection, identifier, [row.idempotency_key for row in rows])
    timelines = [*trace_events(connection, rows), *_trace_dead_letters(connection, dead)]
    timelines += _trace_open_gaps(connection, identifier)
    timelines = timelines or list(_trace_suspects(connection, identifier))
    for timeline in timelines:
        timeline.steps.sort(key=lambda step: (step.at is None, step.at))
    return sorted(timelines, key=lambda timeline: timeline.steps[0].at)  # type: ignore[arg-type, return-value]


def _find_events(connection: Connection, identifier: str) -> list[Any]:
    """Return the rows of processed_events that *identifier* identifies."""
    e, conflicts = models.processed_events.c, models.event_conflicts
    conditions = [column == identifier for column in (e.idempotency_key, e.conversation_id, e.message_id)]
    if identifier.isdecimal() and int(identifier) < 2**63:
        conditions.append(e.id == int(identifier))
    conflicting = select(conflicts.c.event_id).where(_is_copy(conflicts, identifier))
    conditions.append(e.id.in_(sorted(connection.scalars(conflicting))))
    is_digest = _SHA256.fullmatch(identifier)
    rows = _read_newest(connection, e.id, conditions)
    if rows and not is_digest:
        return rows
    # Search the columns below last: even with their Bloom filters, millions of rows take tenths of a second.
    tables = (models.conversation_messages, models.message_receipts)
    ids = (select(table.c.event_id).where(table.c.platform_message_id == identifier) for table in tables)
    conditions += [e.request_id == identifier, e.id.in_(sorted(connection.scalars(union_all(*ids))))]
    if is_digest:
        conditions.append(e.body_sha256 == bytes.fromhex(identifier))
    return _read_newest(connection, e.id, conditions)


def _read_newest(
    connection: Connection, order: Column[Any], conditions: Iterable[ColumnElement[bool]]
) -> list[Any]:
    """Return the newest rows, oldest first. Each condition has an index, so each one gets its own query."""
    query = select(order.table).order_by(order.desc()).limit(MAX_EVENTS)
    # Identify rows by the primary key, the first column, because a row can change between two queries.
    rows = {row[0]: row for condition in conditions for row in connection.execute(query.where(condition))}
    return sorted(rows.values(), key=attrgetter(order.name))[-MAX_EVENTS:]


def _is_copy(table: Table, identifier: str) -> ColumnElement[bool]:
    """Return the condition for rows whose message id or body's SHA-256 is the identifier."""
    condition: ColumnElement[bool] = table.c.message_id == identifier
    if _SHA256.fullmatch(identifier):
        condition = or_(condition, table.c.body_sha256 == bytes.fromhex(identifier))
    return condition


def _find_dead_letters(connection: Connection, identifier: str, keys: Iterable[str]) -> list[Any]:
    d = models.dead_letters.c
    is_copy, has_key = _is_copy(models.dead_letters, identifier), d.idempotency_key.in_([identifier, *keys])
    return _read_newest(connection, d.recorded_at, [is_copy, d.conversation_id == identifier, has_key])


def _trace_dead_letters(connection: Connection, dead: list[Any]) -> Iterator[Timeline]:
    """Yield the timeline of each dead letter, including the operator's decision about it."""
    e, ids = models.processed_events.c, [row.intervention_id for row in dead]
    interventions = read_rows(connection, models.interventions.c.intervention_id, ids)
    decisions = {row.intervention_id: row for row in interventions}
    decided = [row for row in dead if row.decided_at is not None]
    processed = {
        getattr(found, column.name)
        for column in (e.message_id, e.idempotency_key)
        for found in read_rows(connection, column, [getattr(row, column.name) for row in decided])
    }
    for row in dead:
        is_processed = not processed.isdisjoint({row.message_id, row.idempotency_key})
        yield trace_dead_letter(row, decisions.get(row.intervention_id), is_processed=is_processed)


def _trace_open_gaps(connection: Connection, identifier: str) -> Iterator[Timeline]:
    g, e, d = models.reconciliation_gaps.c, models.processed_events.c, models.dead_letters.c
    names = (g.idempotency_key, g.conversation_id, g.message_id, g.platform_message_id)
    is_processed = exists().where(e.idempotency_key == g.idempotency_key)
    is_open = ~is_processed & ~exists().where(d.message_id == g.message_id)
    is_named = or_(*(name == identifier for name in names))
    for gap in _read_newest(connection, g.found_at, [is_named & is_open]):
        found = Timeline(gap.message_id, gap.conversation_id, gap.event_type, None, None, gap.idempotency_key)
        found.add(gap.found_at, "found missing by reconciliation")
        found.stop("in the events queue, published by reconciliation", "If it stays, run omctl check.")
        yield found


def _trace_suspects(connection: Connection, identifier: str) -> Iterator[Timeline]:
    for mark in read_rows(connection, models.suspects.c.message_id, [identifier]):
        timeline = Timeline(mark.message_id, None, None, None)
        timeline.add(mark.attempted_at, "processed alone", f"a suspect: {mark.attempts} unfinished attempts")
        advice = "After two unfinished attempts it becomes a dead letter. See journalctl -u 'om-worker@*'."
        timeline.stop("in the events queue; it may end the worker that processes it", advice)
        yield timeline
