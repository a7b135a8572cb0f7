"""Describe what happened to an event, from its arrival to its last delivery, in chronological order."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Connection, select

from workers.db import models
from workers.db.interventions import Action


@dataclass(frozen=True, slots=True)
class TimelineStep:
    """A step in the processing of an event; *at* is None if the step has not happened yet."""

    at: datetime | None
    step: str
    detail: str = ""
    operator: str = ""
    """Who decided this step and why. This is personal data, so exports for third parties leave it out."""


@dataclass(slots=True)
class Timeline:
    """The steps of one event or dead letter, oldest first; `stopped` is None if all steps have happened."""

    message_id: str
    conversation_id: str | None
    event_type: str | None
    body_sha256: str | None
    event_id: int | None = None
    idempotency_key: str | None = None
    steps: list[TimelineStep] = field(default_factory=list)
    stopped: str | None = None
    advice: str | None = None

    def add(self, at: datetime | None, step: str, detail: str = "", operator: str = "") -> None:
        """Add a step, in any order; `find_timelines` sorts the steps."""
        self.steps.append(TimelineStep(at, step, detail, operator))

    def stop(self, place: str, advice: str) -> None:
        """Record where the event stopped and what to do; only the first call has an effect."""
        if self.stopped is None:
            self.stopped, self.advice = place, advice


def read_rows(connection: Connection, column: Column[Any], values: Iterable[Any]) -> list[Any]:
    """Return the rows of a column's table whose value in that column is one of *values*."""
    wanted = sorted({value for value in values if value is not None})
    return list(connection.execute(select(column.table).where(column.in_(wanted)))) if wanted else []


def trace_events(connection: Connection, rows: list[Any]) -> Iterable[Timeline]:
    """Return the timelines of the events with the given rows of processed_events, up to the last delivery."""
    by_id = {row.id: _trace_event(row) for row in rows}
    for row in read_rows(connection, models.event_conflicts.c.event_id, by_id):
        detail = f"message {row.message_id}, body {row.body_sha256.hex()}: known key, new body, no effect"
        by_id[row.event_id].add(row.first_seen_at, "conflict", detail)
    by_key = {row.idempotency_key: by_id[row.id] for row in rows}
    for row in read_rows(connection, models.reconciliation_gaps.c.idempotency_key, by_key):
        detail = f"not received by webhook; published again as {row.message_id}"
        by_key[row.idempotency_key].add(row.found_at, "found missing by reconciliation", detail)
    _add_routing(connection, by_id)
    _add_outbox(connection, by_id, rows)
    return by_id.values()


def _trace_event(row: Any) -> Timeline:
    digest = row.body_sha256.hex()
    ids = (row.message_id, row.conversation_id, row.event_type, digest, row.id, row.idempotency_key)
    timeline = Timeline(*ids)
    effect = "processed" if row.outcome == "processed" else "recorded without effect"
    timeline.add(row.received_at, "received", f"source {row.source}, request {row.request_id or 'unknown'}")
    timeline.add(row.processed_at, effect, row.reason or "")
    if row.times_received > 1:
        copies = f"{row.times_received} times in total; it took effect once"
        timeline.add(row.last_repeated_at, "received again", copies)
    return timeline


def trace_dead_letter(row: Any, decision: Any, *, is_processed: bool) -> Timeline:
    """Return a dead letter's timeline; *is_processed*: whether its event was processed, e.g. in a replay."""
    timeline = Timeline(row.message_id, row.conversation_id, row.event_type, row.body_sha256.hex())
    timeline.idempotency_key = row.idempotency_key
    place = f"destination {row.destination}" if row.destination else "intake"
    timeline.add(row.received_at, "received", f"source {row.source}")
    timeline.add(row.recorded_at, "dead-lettered", f"by {place}: {row.code}: {row.reason}")
    if decision is not None:
        detail = f"intervention {decision.intervention_id}"
        operator = f"{decision.operator}: {decision.reason}"
        timeline.add(row.decided_at, decision.action.replace("-", " "), detail, operator)
        is_replayed = row.decided_at is not None and decision.action == Action.REPLAY_DEAD_LETTERS
        # A typing event is not stored, so a missing row does not show that it is still in the queue.
        if is_replayed and not is_processed and not str(row.event_type).endswith(":typing"):
            timeline.stop(
                f"in the events queue since its replay at {row.decided_at.isoformat(timespec='seconds')}",
                "It should be processed or dead-lettered within seconds. If not, run omctl check.",
            )
    if row.decided_at is None:
        replay = f"omctl dead-letters replay {row.message_id}"
        command = f"omctl destinations resend {row.destination}" if row.destination else replay
        advice = f'Fix the cause, then run {command} --reason "…".'
        timeline.stop(f"in the dead-letter queue, refused by {place}", advice)
    return timeline


def _add_routing(connection: Connection, by_id: dict[int, Timeline]) -> None:
    for row in read_rows(connection, models.routing_updates.c.event_id, by_id):
        timeline = by_id[row.event_id]
        timeline.add(row.waits_since, "waits for the platform's state", row.routing_status)
        if row.decision is None:
            timeline.stop(
                "waiting for the platform to confirm the routing update",
                "Run omctl check to see whether om-settle runs and the platform answers.",
            )
            continue
        answer = f"platform: {row.platform_status or 'no answer'}, verified: {row.verified}"
        timeline.add(row.decided_at, f"routing update {row.decision}", answer)
        if row.decision == "undecided":
            timeline.stop(
                "the platform never confirmed the routing update",
                "See OpenMessagingUpdatesUndecided in om-observe's /runbook.",
            )


def _add_outbox(connection: Connection, by_id: dict[int, Timeline], rows: list[Any]) -> None:
    ids = sorted({row.conversation_id for row in rows})
    states = read_rows(connection, models.conversations.c.conversation_id, ids)
    by_conversation = {state.conversation_id: state for state in states}
    # Search by conversation too, because the outbox has an index on conversation_id but not on event_id.
    o = models.outbox.c
    query = select(models.outbox).where(o.conversation_id.in_(ids), o.event_id.in_(sorted(by_id)))
    entries = {row.id: row for row in connection.execute(query)} if by_id else {}
    for entry in entries.values():
        late = "late: a newer event was settled before it" if entry.late else ""
        by_id[entry.event_id].add(entry.created_at, "settled, put in the outbox", late)
    is_paused = models.destinations.c.paused_at.is_not(None)
    paused = set(connection.scalars(select(models.destinations.c.name).where(is_paused)))
    dead = read_rows(connection, models.dead_letters.c.body_sha256, {row.body_sha256 for row in rows})
    decided = {(row.body_sha256.hex(), row.destination) for row in dead if row.decided_at is not None}
    for row in read_rows(connection, models.deliveries.c.outbox_id, entries):
        timeline = by_id[entries[row.outbox_id].event_id]
        is_decided = (timeline.body_sha256, row.destination) in decided
        _add_delivery(timeline, row, is_paused=row.destination in paused, is_decided=is_decided)
    for row in read_rows(connection, models.failed_receipts.c.event_id, by_id):
        timeline, step = by_id[row.event_id], f"Failed receipt {row.outcome or 'waits'}"
        timeline.add(row.finished_at, step, row.problem or "")
        if row.outcome is None:
            advice = "om-deliver sends it once the platform accepts requests. If it stays, run omctl check."
            timeline.stop("its Failed receipt waits to be sent", advice)
        elif row.outcome != "sent":
            advice = "Inform the agent that the customer did not get the message; no receipt is sent again."
            timeline.stop(f"its Failed receipt was not confirmed: {row.outcome}", advice)
    settled = {entry.event_id for entry in entries.values()}
    for row in rows:
        if row.id not in settled and row.outcome == "processed":
            _add_window(by_id[row.id], row, by_conversation.get(row.conversation_id))


def _add_window(timeline: Timeline, row: Any, state: Any) -> None:
    if state is None or state.window_opened_at is None:
        return
    # If settling has failed, the start of the window was moved to the time of the next attempt.
    if not state.unsettled_because and row.processed_at < state.window_opened_at:
        return
    timeline.add(None, "waits in its conversation's window", f"until {state.window_closes_at.isoformat()}")
    if state.unsettled_because:
        timeline.stop(
            f"its conversation cannot be settled: {state.unsettled_because}",
            "See OpenMessagingConversationsUnsettled in om-observe's /runbook.",
        )
    timeline.stop(
        "in its conversation's window, not settled yet",
        "A window lasts 2 to 10 s. If it lasts longer, run omctl check: is om-settle running?",
    )


def _add_delivery(timeline: Timeline, row: Any, *, is_paused: bool, is_decided: bool) -> None:
    attempts = f"{row.attempts} failed attempts" if row.attempts else "no failed attempts"
    answer = ", ".join(str(value) for value in (row.status, row.reason) if value is not None)
    detail = f"{attempts}{', last answer: ' + answer if answer else ''}"
    if row.first_attempt_at is not None:
        timeline.add(row.first_attempt_at, f"first failed attempt at {row.destination}")
    timeline.add(row.finished_at, f"delivery to {row.destination}: {row.outcome or 'waits'}", detail)
    if row.outcome is None:
        advice = "resume" if is_paused else "test"
        timeline.stop(
            f"waiting for {'paused ' if is_paused else ''}destination {row.destination}",
            f"Run omctl destinations {advice} {row.destination}; omctl destinations list shows why it waits.",
        )
    elif row.outcome == "dead" and not is_decided:
        timeline.stop(
            f"destination {row.destination} did not accept it",
            f'Fix the cause, then run omctl destinations resend {row.destination} --reason "…".',
        )
