"""Deliveries that were redelivered too often are processed alone."""

import sqlite3

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from messaging.clock import SystemClock
from messaging.errors import RetryLaterError
from tests.integration.workers.consuming import processor
from tests.integration.workers.events import deliver, said
from workers.db.ingest import Suspects
from workers.db.ingest.suspect_marks import POISON_ENDS
from workers.intake import reading
from workers.parsing.events import CONVERSATION_MESSAGE


class WorkerKilledError(BaseException):
    """Simulates SIGKILL: only the test itself catches this exception."""


@pytest.fixture
def deadly(engine, handlers):
    """Return a function that processes deliveries; a handler kills the worker on the text "poison"."""

    def kills(connection, events, now_us):
        if any(each.event.text == "poison" for each in events):
            raise WorkerKilledError
        return {}

    handlers[CONVERSATION_MESSAGE] = (*handlers[CONVERSATION_MESSAGE], kills)

    def work(*deliveries):
        # A killed worker loses what it had in memory, so each attempt gets a new worker.
        return processor(engine, handlers)(*deliveries)

    return work


def test_a_poison_event_is_dead_lettered_and_the_other_events_are_processed(deadly, query):
    """Guarantee 7.4."""
    payloads = [said("before"), said("poison"), said("after")]
    for attempt in range(1, 4):
        with pytest.raises(WorkerKilledError):
            deadly(*[deliver(each, attempt=attempt, message_id=each["message"]["text"]) for each in payloads])
    last = [deliver(each, attempt=4, message_id=each["message"]["text"]) for each in payloads]
    rejected = deadly(*last)
    assert rejected == {last[1].tag}
    assert query("SELECT message_id, code FROM dead_letters") == [("poison", "poison")]
    # The key lets reconciliation recognise the event.
    assert query("SELECT count(*) FROM dead_letters WHERE idempotency_key IS NOT NULL") == [(1,)]
    assert query("SELECT text FROM conversation_messages ORDER BY text") == [("after",), ("before",)]
    assert query("SELECT count(*) FROM suspects") == [(0,)]


def test_an_event_that_ends_each_worker_that_parses_it_is_dead_lettered_without_a_key(
    deadly, query, monkeypatch
):
    def die(*_arguments):
        raise WorkerKilledError

    monkeypatch.setattr(reading, "read_body", die)
    suspect = deliver(said("poison"), attempt=2, message_id="poison")
    for _ in range(POISON_ENDS + 1):
        with pytest.raises(WorkerKilledError):
            deadly(suspect)
    assert deadly(suspect) == {suspect.tag}
    assert query("SELECT code, idempotency_key FROM dead_letters") == [("poison", None)]


def test_a_harmless_suspect_is_processed_and_its_mark_is_cleared(intake, query):
    assert intake(deliver(said("a"), attempt=9)) == frozenset()
    assert query("SELECT message_count FROM conversations") == [(1,)]
    assert query("SELECT count(*) FROM suspects") == [(0,)]


def test_a_worker_in_an_outage_takes_back_only_its_own_mark(engine, query):
    held, other = Suspects(engine, SystemClock()), Suspects(engine, SystemClock())

    def hold():
        with held.attempt("a"):
            other.mark("a")
            raise RetryLaterError("the database is away")

    with pytest.raises(RetryLaterError):
        hold()
    assert query("SELECT attempts FROM suspects") == [(1,)]


def test_an_outage_during_an_attempt_never_makes_an_event_poison(engine, handlers, query):
    outage = [True]

    def fails(connection, events, now_us):
        if outage and connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        elif outage:
            busy = sqlite3.OperationalError("locked")
            busy.sqlite_errorname = "SQLITE_BUSY"
            raise OperationalError("INSERT", {}, busy)
        return {}

    handlers[CONVERSATION_MESSAGE] = (*handlers[CONVERSATION_MESSAGE], fails)
    suspect = deliver(said("a"), attempt=2)
    for intake in [processor(engine, handlers) for _ in range(4)]:
        for _ in range(3):
            with pytest.raises(RetryLaterError):
                intake(suspect)
    outage.clear()

    assert intake(suspect) == frozenset()
    assert query("SELECT count(*) FROM dead_letters") == [(0,)]
    assert query("SELECT count(*) FROM suspects") == [(0,)]


def test_a_poison_event_that_is_held_is_still_poison_for_the_next_worker(engine, handlers, query):
    for _ in range(2):
        Suspects(engine, SystemClock()).mark("poison")
    poison = deliver(said("poison"), attempt=4, message_id="poison")
    _rename(engine, "dead_letters", "unmigrated")
    for _ in range(2):
        with pytest.raises(RetryLaterError):
            processor(engine, handlers)(poison)
    _rename(engine, "unmigrated", "dead_letters")
    assert processor(engine, handlers)(poison) == {poison.tag}
    assert query("SELECT code FROM dead_letters") == [("poison",)]


def test_the_error_that_holds_an_event_is_raised_even_if_its_mark_cannot_be_cleared(engine):
    def attempt_and_fail():
        with Suspects(engine, SystemClock()).attempt("m-1"):
            _rename(engine, "suspects", "unmigrated")
            raise RetryLaterError("away")

    with pytest.raises(RetryLaterError, match="away"):
        attempt_and_fail()


def _rename(engine, table, name):
    with engine.begin() as connection:
        connection.execute(text(f"ALTER TABLE {table} RENAME TO {name}"))
