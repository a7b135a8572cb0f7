"""The final state does not depend on order, copies, delays or crashes, on PostgreSQL and on SQLite."""

import itertools
from collections import Counter
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event as engine_event

from tests.integration.workers.events import deliver, event, routed, said
from tests.integration.workers.settle.conftest import KilledError, QueuedAtThePlatform
from workers.settle.verifier import LEASE_SECONDS


@pytest.fixture
def unsynced(engine):
    """Disable SQLite's disk flushes, which would take a third of the time and are not tested here."""
    if engine.dialect.name == "sqlite":
        engine_event.listen(engine, "connect", lambda connection, _: connection.execute(NO_FLUSH))


NO_FLUSH = "PRAGMA synchronous = OFF"
NUMBERS = itertools.count()
KINDS = st.sampled_from(["new", "a", "b", "QUEUED", "ROUTED"])
EVENTS = st.lists(st.tuples(KINDS, st.integers(0, 40)), min_size=1, max_size=7, unique=True)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("deliver"), st.lists(st.integers(0, 6), min_size=1, max_size=4), st.booleans()),
        st.tuples(st.just("settle"), st.just([]), st.booleans()),
        st.tuples(st.just("ask"), st.just([]), st.booleans()),
        st.tuples(st.just("wait"), st.just([]), st.just(False)),
    ),
    max_size=10,
)


def payload_for(conversation, kind, at):
    if kind == "new":
        return event("new", conversation=conversation, after_ms=at)
    if kind in {"a", "b"}:
        return said(kind, conversation=conversation, after_ms=at)
    return routed(kind, conversation=conversation, after_ms=at)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(EVENTS, STEPS, st.booleans())
def test_any_order_duplication_delay_or_crash_ends_in_the_same_state(  # noqa: PLR0917  # fixtures and examples
    intake, make_settler, clock, query, engine, unsynced, events, steps, has_platform
):
    """One conversation's events go through *steps*; another conversation arrives complete and in order."""
    crashing = []

    def crash(_connection):
        if crashing:
            raise KilledError

    number = next(NUMBERS)
    bodies = [payload_for(f"p-{number}", kind, at) for kind, at in events]
    whole = [payload_for(f"q-{number}", kind, at) for kind, at in events]
    settler = make_settler(QueuedAtThePlatform() if has_platform else None)

    def take(word, payloads):
        if word == "deliver":
            intake(*[deliver(payload) for payload in payloads])
        elif word == "settle":
            settler.settle_windows()
        elif word == "ask":
            while settler.settle_updates():
                pass
        else:
            clock.seconds += 2.1

    engine_event.listen(engine, "commit", crash)
    try:
        for word, numbers, crashes in steps:
            crashing[:] = [True] if crashes else []
            with suppress(KilledError):
                take(word, [bodies[number % len(bodies)] for number in numbers])
        crashing.clear()
        clock.seconds += LEASE_SECONDS
        for word in ("deliver", "ask", "wait", "settle", "ask"):
            take(word, [*bodies, *whole])
    finally:
        engine_event.remove(engine, "commit", crash)
    assert state_of(query, f"p-{number}") == state_of(query, f"q-{number}")


def state_of(query, conversation):
    [row] = query(
        "SELECT status, routing_status, routing_queue, routing_changed_at, event_count, message_count,"
        " first_event_at, last_event_at, event_count - settled_count, window_opened_at,"
        " session_opened_at IS NULL"
        " FROM conversations WHERE conversation_id = :id",
        id=conversation,
    )
    told = query(
        "SELECT e.event_type, e.occurred_at, count(*)"
        " FROM outbox o JOIN processed_events e ON e.id = o.event_id"
        " WHERE o.conversation_id = :id GROUP BY e.event_type, e.occurred_at ORDER BY 1, 2",
        id=conversation,
    )
    implied = query(
        "SELECT count(*) FROM outbox WHERE conversation_id = :id AND event_id IS NULL", id=conversation
    )
    assert implied[0][0] <= 1
    return row, Counter(told)
