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
from tests.integration.workers.deliver.stand import READ, SECONDS, lease_runs, words_of
from tests.integration.workers.events import deliver, event, payload_of, said
from tests.servers import LOOPBACK, free_port
from tests.services import GONE, declare_topology
from workers.db.models import deliveries
from workers.deliver import outcome, pause, resume
from workers.deliver.outcome import HttpResult
from workers.deliver.recording import _FINISH, DeliveryAttempt, record
from workers.parsing import CONVERSATION_MESSAGE, moment_of


def test_a_conversation_is_delivered_in_order_with_unchanged_payloads(stand):
    body = json.dumps(said("Grüße, 👋", after_ms=5), indent=3, ensure_ascii=False).encode()
    with stand.delivering(stand.crm):
        stand.intake(deliver(event("new")), deliver(said("third", after_ms=9)), deliver(body))
        stand.intake(deliver(said("first", after_ms=2)))
        stand.settle()
        stand.wait_for(lambda: not stand.waiting())
    told = stand.inbox.accepted_by("crm")
    assert words_of(told) == ["first", "Grüße, 👋", "third"]
    assert [event.event_type.rpartition(":")[2] for event in told] == ["new", *["message"] * 3]
    assert body in told[2].raw
    assert stand.inbox.counts() == {"delivered": 4, "repeated": 0, "disordered": 0, "forged": 0}


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
    assert (
        words_of(stand.inbox.accepted_by("crm")) == words_of(stand.inbox.accepted_by("content")) == ["after"]
    )
    assert len(stand.inbox.accepted_by("content")) == 1
    # The receipt belongs to a new conversation, so the start of that conversation is delivered too.
    assert len(stand.inbox.accepted_by("crm")) == 3
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


def test_a_request_that_times_out_is_repeated_under_the_same_id(stand):
    delays = iter([1.0])
    stand.inbox.fault_for = lambda _told: Fault(200, delay=delay) if (delay := next(delays, 0.0)) else None
    with stand.delivering(replace(stand.crm, timeout=0.3)):
        stand.intake(deliver(said("a")))
        stand.settle()
        stand.wait_for(lambda: not stand.waiting())
        stand.wait_for(lambda: stand.inbox.counts()["repeated"] == 1)
    assert stand.inbox.counts()["delivered"] == 2


def test_a_retry_after_header_delays_every_event_of_the_destination(stand):
    answers = iter([Fault(429, retry_after=3)])
    stand.inbox.fault_for = lambda _told: next(answers, None)
    with stand.delivering(stand.crm):
        stand.intake(deliver(event("new")))
        stand.wait_for(lambda: stand.inbox.requested)
        asked_at = time.monotonic()
        # The event of another conversation waits too, because the pause applies to the whole destination.
        stand.wait_for(lambda: stand.query("SELECT 1 FROM deliveries WHERE status = 429"))
        stand.intake(deliver(event("new", conversation="c-2")))
        stand.wait_for(lambda: len(stand.inbox.requested) > 1)
        assert time.monotonic() - asked_at > 2.9
        stand.wait_for(lambda: not stand.waiting())
    assert len(stand.inbox.requested) == 3


def test_a_refused_event_becomes_a_dead_letter_and_later_events_of_its_conversation_are_sent(stand, vhost):
    stand.inbox.fault_for = lambda told: Fault(422) if "bad" in words_of([told]) else None
    bad = json.dumps(said("bad", after_ms=1)).encode()
    stand.deliver_all(deliver(bad), deliver(said("good", after_ms=2)))
    assert words_of(stand.inbox.accepted_by("crm")) == ["good"]
    [(message_id, code, reason)] = stand.query("SELECT message_id, code, reason FROM dead_letters")
    assert (code, reason) == ("delivery_refused", "destination crm: 422")
    assert stand.query("SELECT attempts, outcome, status FROM deliveries WHERE outcome = 'dead'") == [
        (1, "dead", 422)
    ]

    declare_topology(vhost.amqp_url)
    publisher = stand.publisher(vhost.amqp_url)
    assert publisher.publish_dead_letters() == 1
    assert publisher.publish_dead_letters() == 0
    with broker_session((vhost.amqp_url,), client_name="test") as connection:
        _, properties, body = connection.channel().basic_get(DEAD_LETTER_RECORDS, auto_ack=True)
    assert (properties.message_id, body) == (message_id, bad)
    assert properties.headers["destination"] == "crm"
    assert "msg_" in message_id


def test_a_dead_letter_waits_while_the_broker_is_away_or_refuses_connections(stand, vhost):
    stand.inbox.fault_for = lambda _told: Fault(400)
    stand.deliver_all(deliver(event("new")))
    gone = stand.publisher(f"amqp://guest:guest@{LOOPBACK}:{free_port()}/")
    # A booting node answers with the same error as for a virtual host that does not exist.
    refusing = stand.publisher(f"{vhost.amqp_url}x")
    for publisher in (gone, refusing):
        with pytest.raises(RetryLaterError, match="OM_AMQP_URL"):
            publisher.publish_dead_letters()
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


def test_only_the_event_that_fails_too_often_is_given_up(stand):
    stand.inbox.fault_for = lambda told: Fault(500) if "bad" in words_of([told]) else None
    stand.deliver_all(
        deliver(said("bad", after_ms=1)),
        deliver(said("good", after_ms=2)),
        to=[replace(stand.crm, attempts=4)],
    )
    assert words_of(stand.inbox.accepted_by("crm")) == ["good"]
    assert stand.query("SELECT code, reason, attempts FROM dead_letters") == [
        ("delivery_given_up", "destination crm: 500, given up after 4 attempts", 4)
    ]


def test_events_do_not_use_up_attempts_while_their_destination_is_down(stand, monkeypatch):
    monkeypatch.setattr(outcome, "MAX_PAUSE_SECONDS", 0.02)
    stand.inbox.fault_for = lambda _told: Fault(503)
    with stand.delivering(replace(stand.crm, attempts=3, concurrency=2)):
        stand.intake(*[deliver(event("new", conversation=f"c-{number}")) for number in range(12)])
        stand.wait_for(lambda: len(stand.inbox.requested) > 25)
        assert stand.query("SELECT count(*) FROM dead_letters") == [(0,)]
        stand.inbox.fault_for = lambda _told: None
        stand.wait_for(lambda: not stand.waiting())
    assert stand.inbox.counts() == {"delivered": 12, "repeated": 0, "disordered": 0, "forged": 0}


def test_a_destination_that_is_down_does_not_delay_other_destinations(stand):
    """Guarantee 7.8."""
    stand.inbox.fault_for = lambda told: Fault(503, delay=0.5) if told.destination == "crm" else None
    with stand.delivering(stand.crm, stand.content):
        stand.intake(*[deliver(event("new", conversation=f"c-{number}")) for number in range(40)])
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
    looks = [look for look in asked if "deliveries" in look[0]]
    with stand.engine.connect() as connection:
        plans = [
            row[3]
            for statement, parameters in looks
            for row in connection.exec_driver_sql("EXPLAIN QUERY PLAN " + statement, parameters)
        ]
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
        record(
            connection, [DeliveryAttempt(stand.crm, run[0], run, result, attempts=1, at_us=now_us)], now_us
        )
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
        rows = [
            (delivery.message.outbox_id, "crm", "delivered", 200, None, 0, None, now_us, now_us)
            for delivery in taken
        ]
        assert len(_FINISH.execute(connection, rows)) == len(taken)
        finished = connection.scalar(text(READ)) - looked

    assert 90 <= len(taken) <= 100
    assert looked < 3 * 2000
    assert finished <= 2 * len(taken)


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
