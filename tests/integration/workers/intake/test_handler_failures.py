"""An exception in a handler is attributed to the event that caused it, unless the database is away."""

import sys
from contextlib import suppress

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError, NoResultFound

from messaging.clock import SystemClock
from messaging.errors import RejectedEventError, RetryLaterError
from tests.integration.workers.conftest import ON_POSTGRESQL
from tests.integration.workers.consuming import processor
from tests.integration.workers.events import deliver, said
from workers.intake import Intake
from workers.parsing.events import CONVERSATION_MESSAGE

PERSONAL = "a customer's words"
ABSENT = "postgresql+psycopg://absent@127.0.0.1:9/none"


def missing_table(connection):
    connection.execute(text("SELECT * FROM no_such_table"))


def swallowed(connection):
    with suppress(DBAPIError):
        missing_table(connection)


def quoting(_connection):
    raise ValueError(PERSONAL)


FAULTS = {
    "no result": lambda connection: connection.execute(text("SELECT 1 WHERE 1 = 0")).one(),
    "a missing table": missing_table,
    "a violated constraint": lambda connection: connection.execute(
        text("UPDATE conversations SET status = NULL")
    ),
    "a rolled back transaction": lambda connection: connection.rollback(),
    "a wrong parameter": lambda connection: connection.execute(text("SELECT :value"), {"value": object()}),
    "an error": quoting,
    "an exit": lambda _connection: sys.exit(3),
    "a number": lambda _connection: 7,
    "an empty list": lambda _connection: [],
    "another database": lambda _connection: create_engine(ABSENT).connect(),
}


@pytest.fixture
def failing(handlers):
    """Return a function that adds a handler, which fails on "sick", and returns the sizes of failed calls."""

    def install(fault):
        calls = []

        def handler(connection, events, now_us):
            if any(each.event.text == "sick" for each in events):
                calls.append(len(events))
                return fault(connection)
            return {}

        handlers[CONVERSATION_MESSAGE] = (*handlers[CONVERSATION_MESSAGE], handler)
        return calls

    return install


@pytest.mark.parametrize("fault", FAULTS)
def test_a_failing_event_is_retried_alone_and_then_dead_lettered(engine, handlers, failing, query, fault):
    """Guarantee 7.2."""
    if fault == "another database" and engine.dialect.name == "sqlite":
        pytest.skip(
            "SQLite accepts statements after a failed one, so the service itself would have lost a connection"
        )
    calls = failing(FAULTS[fault])
    deliveries = [deliver(said("sick" if number == 5 else f"m{number}")) for number in range(16)]

    rejected = processor(engine, handlers)(*deliveries)

    assert rejected == {deliveries[5].tag}
    assert calls[-3:] == [1, 1, 1]
    [(code, reason)] = query("SELECT code, reason FROM dead_letters")
    assert code == "handler_failed"
    assert reason.startswith(f"handler {__name__}:failing.<locals>.install.<locals>.handler: ")
    assert reason.endswith("(3 attempts)")
    assert query("SELECT count(*), sum(message_count) FROM processed_events, conversations") == [(15, 225)]


def test_a_handlers_error_is_logged_and_recorded_without_its_text(engine, handlers, failing, query, capsys):
    failing(quoting)
    processor(engine, handlers)(deliver(said("sick")))
    [(reason,)] = query("SELECT reason FROM dead_letters")
    assert "ValueError" in reason
    assert PERSONAL not in reason + capsys.readouterr().out


@pytest.mark.parametrize(
    "answer",
    [
        lambda own: {own - 1: "spam"},
        lambda own: {own: "spam", own - 1: "spam"},
        lambda own: {str(own): "spam"},
        lambda own: {float(own): "spam"},
        lambda own: {own: ""},
        lambda own: {own: None},
        lambda own: {own: PERSONAL * 100},
        lambda own: {own: "two\nlines"},
        lambda own: {own: "\0"},
    ],
)
def test_an_invalid_skip_reason_from_a_handler_fails_only_the_event_being_handled(
    engine, handlers, query, answer, capsys
):
    def by_index(_connection, events, _now_us):
        own = [each.event_id for each in events if each.event.text == "sick"]
        return answer(own[0]) if own else None

    intake = processor(engine, handlers | {CONVERSATION_MESSAGE: (*handlers[CONVERSATION_MESSAGE], by_index)})
    intake(deliver(said("others")))
    sick = deliver(said("sick"))

    assert intake(sick, deliver(said("well"))) == {sick.tag}
    assert query("SELECT outcome, reason FROM processed_events") == [("processed", None)] * 2
    [(code, reason)] = query("SELECT code, reason FROM dead_letters")
    assert code == "handler_failed"
    assert "returned a reason" in reason
    assert PERSONAL not in reason + capsys.readouterr().out


def test_a_handler_can_skip_its_own_events_with_a_reason(engine, handlers, query):
    def skips(_connection, events, _now_us):
        return {each.event_id: "spam" for each in events if each.event.text == "spam"} or None

    handlers[CONVERSATION_MESSAGE] = (*handlers[CONVERSATION_MESSAGE], skips)
    assert processor(engine, handlers)(deliver(said("spam")), deliver(said("well"))) == set()
    assert query("SELECT outcome, reason FROM processed_events ORDER BY outcome") == [
        ("processed", None),
        ("skipped", "spam"),
    ]


def test_no_other_event_fails_if_a_handler_suppresses_a_failed_statement(engine, handlers, failing, query):
    failing(swallowed)
    rejected = processor(engine, handlers)(deliver(said("sick")), deliver(said("well")))
    # SQLite accepts further statements after a failed one, so no event fails there.
    assert len(rejected) == (0 if engine.dialect.name == "sqlite" else 1)
    assert query("SELECT text FROM conversation_messages WHERE text = 'well'") == [("well",)]


def test_an_event_that_succeeds_when_it_is_retried_takes_effect_once(engine, handlers, failing, query):
    failures = [NoResultFound(), NoResultFound()]

    def fails_twice(_connection):
        if failures:
            raise failures.pop()

    failing(fails_twice)
    assert processor(engine, handlers)(deliver(said("sick")), deliver(said("well"))) == set()
    assert query("SELECT message_count FROM conversations") == [(2,)]
    assert query("SELECT count(*) FROM dead_letters") == [(0,)]


def test_a_handler_can_request_a_later_retry(engine, handlers, failing, query):
    def asks(_connection):
        raise RetryLaterError("a row is not there yet", delay=42.0)

    failing(asks)
    sick, well = deliver(said("sick")), deliver(said("well"))
    settlement = Intake(engine, handlers, SystemClock()).process([sick, well])
    assert settlement.retries == {sick.tag: 42.0}
    assert settlement.rejected == frozenset()
    assert query("SELECT text FROM conversation_messages") == [("well",)]


def test_a_handler_can_reject_an_event_at_once(engine, handlers, failing, query):
    def refuses(_connection):
        raise RejectedEventError("unknown_customer", "customer: not known here")

    calls = failing(refuses)
    processor(engine, handlers)(deliver(said("sick")))
    assert calls == [1]
    assert query("SELECT code, reason FROM dead_letters") == [
        ("unknown_customer", "customer: not known here")
    ]


@ON_POSTGRESQL
def test_only_the_event_whose_statement_is_too_slow_is_dead_lettered(
    engine, handlers, failing, query, monkeypatch
):
    monkeypatch.setattr("workers.intake.dispatch.LONG_SECONDS", 0.1)

    def sleeps(connection):
        connection.execute(text("SET LOCAL statement_timeout = 200"))
        connection.execute(text("SELECT pg_sleep(20)"))

    calls = failing(sleeps)
    sick = deliver(said("sick"))
    assert processor(engine, handlers)(deliver(said("well")), sick) == {sick.tag}
    assert calls == [2, 1]
    assert query("SELECT code FROM dead_letters") == [("too_slow",)]
