"""Events are delivered to a real receiver, on PostgreSQL and on SQLite."""

import json
import re
import time
from dataclasses import replace

import pytest
from sqlalchemy import event as engine_event
from sqlalchemy import select, text, update

from messaging.admin import broker_session, dead_letters, peek
from messaging.clock import SystemClock
from messaging.errors import RetryLaterError
from messaging.topology import DEAD_LETTER_RECORDS
from simulator.platform import Fault
from tests.integration.workers.conftest import ON_POSTGRESQL, ON_SQLITE
from tests.integration.workers.deliver.stand import READ, SECONDS, lease_runs, new_conversations, words_of
from tests.integration.workers.events import deliver, event, payload_of, said
from tests.services import GONE, declare_topology
from workers.db.engine import DELIVER_SESSION, make_engine
from workers.db.models import deliveries
from workers.deliver import outcome, pause, resume
from workers.deliver.outcome import HttpResult
from workers.deliver.parking import find_first
from workers.deliver.recording import _FINISH, DeliveryAttempt, record
from workers.parsing import CONVERSATION_MESSAGE, moment_of


def test_a_conversation_is_delivered_in_order_with_unchanged_payloads(stand):
    body = json.dumps(said("Grüße, 👋", after_ms=5, sequence=2), indent=3, ensure_ascii=False).encode()
    early = said("second", after_ms=5, sequence=1), said("first", after_ms=2)
    stand.deliver_all(*map(deliver, (event("new"), said("fourth", after_ms=9), body, *early)))
    told = stand.inbox.accepted_by("crm")
    assert words_of(told) == ["first", "second", "Grüße, 👋", "fourth"]
    assert [event.event_type.rpartition(":")[2] for event in told] == ["new", *["message"] * 4]
    assert body in told[3].raw
    assert stand.inbox.counts() == {"delivered": 5, "repeated": 0, "disordered": 0, "forged": 0}


def test_several_workers_deliver_many_conversations_once_and_in_order(stand):
    with stand.delivering(stand.crm), stand.delivering(stand.crm), stand.delivering(stand.crm):
        for number in range(12):
            stand.intake(
                *[deliver(said(f"{number}", conversation=f"c-{c}", after_ms=number)) for c in range(20)]
            )
            stand.settle()
        stand.wait_for(lambda: not stand.waiting())
    assert stand.inbox.counts() == {"delivered": 260, "repeated": 0, "disordered": 0, "forged": 0}


def test_a_destination_gets_only_its_event_types_and_only_events_after_its_registration(stand):
    stand.intake(deliver(said("before")))
    stand.settle()
    messages_alone = replace(stand.content, events=(CONVERSATION_MESSAGE,))
    stand.deliver_all(
        deliver(said("after", after_ms=5)),
        deliver(payload_of("genesys/receipt-published")),
        to=[stand.crm, messages_alone],
    )
    told = [stand.inbox.accepted_by(name) for name in ("crm", "content")]
    assert [words_of(events) for events in told] == [["after"], ["after"]]
    # The receipt belongs to a new conversation, so the start of that conversation is delivered too.
    assert [len(events) for events in told] == [3, 1]
    assert stand.query("SELECT count(*) FROM outbox") == [(5,)]


def test_a_failed_delivery_is_retried_under_the_same_id_while_its_conversation_waits(stand):
    fails = iter([503, 500, 429, 408])
    stand.inbox.fault_for = lambda told: (
        Fault(status) if told.event_type.endswith("message") and (status := next(fails, None)) else None
    )
    stand.deliver_all(deliver(said("a", after_ms=1)), deliver(said("b", after_ms=2)))
    ids = [event.webhook_id for event in stand.inbox.requested if event.event_type.endswith("message")]
    assert len(set(ids[:5])) == 1
    assert len(ids) == 6
    assert words_of(stand.inbox.accepted_by("crm")) == ["a", "b"]


def test_refused_and_failing_events_become_dead_letters_and_later_events_are_sent(stand, vhost):
    faults = {"bad": Fault(422), "failing": Fault(500)}
    stand.inbox.fault_for = lambda told: next((faults.get(words) for words in words_of([told])), None)
    bad = json.dumps(said("bad", after_ms=1)).encode()
    others = [deliver(said(words, after_ms=at)) for words, at in (("failing", 2), ("good", 3))]
    stand.deliver_all(deliver(bad), *others, to=[replace(stand.crm, attempts=4)])
    assert words_of(stand.inbox.accepted_by("crm")) == ["good"]
    assert stand.query("SELECT code, reason, attempts FROM dead_letters ORDER BY code DESC") == [
        ("delivery_refused", "destination crm: 422", 1),
        ("delivery_given_up", "destination crm: 500, given up after 4 attempts", 4),
    ]
    dead = "SELECT attempts, status FROM deliveries WHERE outcome = 'dead' ORDER BY attempts"
    assert stand.query(dead) == [(1, 422), (4, 500)]

    declare_topology(vhost.amqp_url)
    publisher = stand.publisher(vhost.amqp_url)
    assert [publisher.publish_dead_letters() for _ in range(2)] == [2, 0]
    [(message_id,)] = stand.query("SELECT message_id FROM dead_letters WHERE code = 'delivery_refused'")
    with broker_session((vhost.amqp_url,), client_name="test") as connection:
        _, properties, body = connection.channel().basic_get(DEAD_LETTER_RECORDS, auto_ack=True)
    assert (properties.message_id, body) == (message_id, bad)
    assert properties.headers["destination"] == "crm"
    assert "msg_" in message_id


def test_a_dead_letter_waits_while_the_broker_is_away_or_refuses_connections(stand, vhost):
    stand.inbox.fault_for = lambda _told: Fault(400)
    stand.deliver_all(deliver(event("new")))
    # A booting node answers with the same error as for a virtual host that does not exist.
    for url in (GONE, f"{vhost.amqp_url}x"):
        with pytest.raises(RetryLaterError, match="OM_AMQP_URL"):
            stand.publisher(url).publish_dead_letters()
    declare_topology(vhost.amqp_url)
    assert stand.publisher(vhost.amqp_url).publish_dead_letters() == 1


def test_dead_letters_that_a_slow_broker_confirmed_are_not_published_again(stand, vhost, monkeypatch):
    stand.inbox.fault_for = lambda _told: Fault(400)
    stand.deliver_all(*[deliver(event("new", conversation=f"c-{number}")) for number in range(4)])
    declare_topology(vhost.amqp_url)
    publish, published = dead_letters._publish, []

    def publish_slowly(channel, dead_letter):
        publish(channel, dead_letter)
        published.append(dead_letter.envelope.message_id)
        if len(published) == 3:
            channel.connection.sleep(SECONDS)

    monkeypatch.setattr(dead_letters, "_publish", publish_slowly)
    monkeypatch.setattr(dead_letters, "PUBLISH_SECONDS", 3.0)
    publisher = stand.publisher(vhost.amqp_url)
    told = "SELECT outbox_id FROM deliveries WHERE dead_lettered_at IS NOT NULL"
    with pytest.raises(RetryLaterError, match="confirmed nothing"):
        publisher.publish_dead_letters()
    assert len(stand.query(told)) == 2
    assert publisher.publish_dead_letters() == 2

    assert len(stand.query(told)) == 4
    assert len(set(published)) == 4
    assert published.count(published[0]) == published.count(published[1]) == 1
    with broker_session((vhost.amqp_url,), client_name="test") as connection:
        assert len(list(peek(connection, DEAD_LETTER_RECORDS))) == len(published) == 5


def test_events_do_not_use_up_attempts_while_their_destination_is_down(stand, monkeypatch):
    monkeypatch.setattr(outcome, "MAX_PAUSE_SECONDS", 0.02)
    stand.inbox.fault_for = lambda _told: Fault(503)
    with stand.delivering(replace(stand.crm, attempts=3, concurrency=2)):
        new_conversations(stand, 12)
        stand.wait_for(lambda: len(stand.inbox.requested) > 25)
        assert stand.query("SELECT count(*) FROM dead_letters") == [(0,)]
        stand.inbox.fault_for = lambda _told: None
        stand.wait_for(lambda: not stand.waiting())
    assert stand.inbox.counts() == {"delivered": 12, "repeated": 0, "disordered": 0, "forged": 0}


def test_a_destination_that_is_down_does_not_delay_other_destinations(stand):
    """Guarantee 7.8."""
    stand.inbox.fault_for = lambda told: Fault(503, delay=0.5) if told.destination == "crm" else None
    with stand.delivering(stand.crm, stand.content):
        new_conversations(stand, 40)
        stand.wait_for(lambda: not stand.waiting("content"))
        assert stand.waiting("crm") == 40
        stand.inbox.fault_for = lambda _told: None


@pytest.mark.parametrize("because", ["gone", "operator"])
def test_a_paused_destination_gets_its_events_once_it_is_resumed(stand, because):
    stand.inbox.fault_for = lambda _sent: Fault(410)
    with stand.delivering(stand.crm):
        if because == "operator":
            with stand.engine.begin() as connection:
                assert pause(connection, "crm", SystemClock().now_us(), "operator")
        stand.intake(deliver(event("new")))
        is_paused = "SELECT 1 FROM destinations WHERE paused_because = :because"
        stand.wait_for(lambda: stand.query(is_paused, because=because))
        time.sleep(0.3)
        assert len(stand.inbox.requested) == (because == "gone")
        stand.inbox.fault_for = lambda _sent: None
        with stand.engine.begin() as connection:
            assert [resume(connection, "crm") for _ in range(2)] == [True, False]
        stand.wait_for(lambda: not stand.waiting())
    assert stand.inbox.counts()["delivered"] == 1


def test_an_event_whose_body_was_deleted_for_its_age_becomes_a_dead_letter(stand):
    stand.register(stand.crm)
    stand.intake(deliver(event("new")))
    stand.execute("DELETE FROM event_payloads")
    stand.deliver_all()
    assert stand.query("SELECT reason FROM dead_letters") == [("destination crm: payload_gone",)]
    assert stand.inbox.requested == []


@ON_SQLITE
def test_every_query_for_due_deliveries_uses_an_index(stand):
    asked = []

    def note(_connection, _cursor, statement, parameters, _context, _is_many):
        if statement.startswith("SELECT"):
            asked.append((statement, parameters))

    with stand.delivering(stand.crm):
        stand.intake(deliver(event("new")))
        engine_event.listen(stand.engine, "before_cursor_execute", note)
        stand.wait_for(lambda: not stand.waiting())
        stand.publisher(GONE).publish_dead_letters()
        engine_event.remove(stand.engine, "before_cursor_execute", note)
    looks = [("EXPLAIN QUERY PLAN " + look[0], look[1]) for look in asked if "deliveries" in look[0]]
    with stand.engine.connect() as connection:
        plans = [row[3] for look in looks for row in connection.exec_driver_sql(*look)]
    of_deliveries = [plan for plan in plans if re.match(r"(SCAN|SEARCH) (deliveries|head|earlier)\b", plan)]
    assert len(looks) >= 3
    assert [plan for plan in of_deliveries if "USING" not in plan] == []
    assert any("ix_deliveries_unpublished" in plan for plan in of_deliveries)


def test_deliveries_added_to_a_run_become_due_together_with_the_delivery_that_failed(stand):
    stand.register(stand.crm)
    stand.intake(*[deliver(said(str(number), after_ms=number)) for number in range(3)])
    stand.settle()
    now_us, to_crm = SystemClock().now_us(), deliveries.c.destination == "crm"
    later_us = now_us + 30_000_000
    with stand.engine.begin() as connection:
        [[*run, added]] = lease_runs(connection, now_us, lease_us=now_us + 10_000_000)
        is_added = deliveries.c.outbox_id == added.message.outbox_id
        connection.execute(update(deliveries).where(to_crm, is_added).values(due_at=moment_of(later_us)))
        run.append(replace(added, lease_us=later_us))
        result = HttpResult(503, "unavailable")
        attempt = DeliveryAttempt(stand.crm, run[0], run, result, attempts=1, at_us=now_us)
        record(connection, [attempt], now_us)
        [due_at] = set(connection.scalars(select(deliveries.c.due_at).where(to_crm)))
    assert due_at < moment_of(now_us + 10_000_000)


BACKLOG = """
    INSERT INTO outbox (conversation_id, event_id, event_type, occurred_at, late, created_at)
    SELECT 'c-' || n / {each}, -n, 'openmessaging:conversation:message', now(), false, now()
    FROM generate_series(1, {count}) AS n"""


@ON_POSTGRESQL
def test_a_backlog_is_leased_and_finished_through_indexes_even_without_table_statistics(stand):
    stand.register(stand.crm)
    stand.execute(BACKLOG.format(each=10, count=2000))
    now_us = SystemClock().now_us()
    with stand.engine.begin() as connection:
        runs = lease_runs(connection, now_us, lease_us=now_us, conversations=10, events=100)
        taken = [delivery for run in runs for delivery in run]
        looked = connection.scalar(text(READ))
        values = "crm", "delivered", 200, None, 0, None, now_us, now_us
        rows = [(delivery.message.outbox_id, *values) for delivery in taken]
        assert len(_FINISH.execute(connection, rows)) == len(taken)
        finished = connection.scalar(text(READ)) - looked

    assert 90 <= len(taken) <= 100
    assert looked < 3 * 2000
    assert finished <= 2 * len(taken)


FILL = """
    INSERT INTO outbox (conversation_id, event_type, occurred_at, late, created_at)
    SELECT 'conversation-' || md5(n::text), 'openmessaging:conversation:new', now(), false, now()
    FROM generate_series({first}, {last}) AS n"""
FETCHED = "SELECT idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'deliveries'"


@ON_POSTGRESQL
def test_the_search_for_first_deliveries_reads_few_rows_of_a_backlog_after_a_quiet_time(stand, migrated_url):
    """PostgreSQL might keep using a plan that it made for a short queue."""
    engine = make_engine(migrated_url, DELIVER_SESSION)

    def find(connection):
        before = connection.execute(text(FETCHED)).scalar() or 0
        assert len(find_first(connection, "crm", SystemClock().now_us(), 16)) >= 16
        fetched = connection.execute(text(FETCHED)).scalar_one() - before
        connection.commit()
        return fetched

    stand.register(stand.crm)
    stand.execute(FILL.format(first=1, last=200))
    with engine.connect() as connection:
        for _ in range(20):
            find(connection)
        stand.execute(FILL.format(first=201, last=5_000))
        assert find(connection) <= 1_000
    engine.dispose()


@ON_POSTGRESQL
def test_many_conversations_share_the_number_of_events_that_are_leased_at_once(stand):
    stand.register(stand.crm)
    stand.execute(BACKLOG.format(each=10, count=1000))
    now_us = SystemClock().now_us()
    with stand.engine.begin() as connection:
        runs = lease_runs(connection, now_us, lease_us=now_us, conversations=50, events=200)
    assert {len(run) for run in runs[1:]} == {4}


@ON_POSTGRESQL
@pytest.mark.parametrize("each", [1, 4, 200])
def test_a_process_that_is_frozen_while_it_leases_delays_no_other_conversation(stand, each):
    stand.register(stand.crm)
    stand.execute(BACKLOG.format(each=each, count=40 * each))
    now_us = SystemClock().now_us()
    with stand.engine.begin() as frozen, stand.engine.begin() as other:
        runs = [lease_runs(one, now_us, lease_us=now_us + 1_000_000) for one in (frozen, other)]
    leased = [{run[0].message.conversation_id for run in of} for of in runs]
    assert all(leased)
    assert leased[0].isdisjoint(leased[1])
