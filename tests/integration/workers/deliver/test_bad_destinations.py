"""Destinations that refuse events, hang or answer byte by byte delay only their own events."""

import itertools
import time
from dataclasses import replace
from datetime import UTC, datetime
from statistics import median

import pytest
from sqlalchemy import text

from messaging.clock import SystemClock
from simulator.platform import Fault
from tests.fakes.clock import MovedClock
from tests.integration.workers.conftest import ON_POSTGRESQL
from tests.integration.workers.deliver.stand import READ, lease_runs, new_conversations, words_of
from tests.integration.workers.events import deliver, event, said
from workers.deliver import Deliverer, Transport, WebhookMessage, outcome, parking, sender
from workers.deliver.parking import recall_parked

REFUSED, GOOD = 180, 20
GOOD_SECONDS = 12.0
"""The time limit for good events. They normally take at most a second; a busy machine can take longer."""

BACKLOG = """
    INSERT INTO outbox (conversation_id, event_id, event_type, occurred_at, late, created_at)
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
    SELECT '{conversation}', NULL, 'openmessaging:conversation:new', '2026-01-01 00:00:00.000000', false,
        '2026-01-01 00:00:00.000000' FROM n"""


@pytest.mark.parametrize("status", [422, 404])
def test_good_events_are_delivered_while_a_destination_refuses_nine_of_ten_events(stand, status):
    """Guarantee 7.6."""
    stand.inbox.fault_for = lambda told: Fault(status) if told.conversation_id.startswith("bad") else None
    with stand.delivering(replace(stand.crm, concurrency=2)):
        new_conversations(stand, REFUSED, "bad")
        new_conversations(stand, GOOD, "good")
        started = time.monotonic()
        stand.wait_for(lambda: stand.inbox.counts()["delivered"] == GOOD)
        assert time.monotonic() - started < GOOD_SECONDS
        # A destination might answer every event with 404, so a 404 counts only if it accepts other events.
        numbers = itertools.count()

        def are_all_decided():
            new_conversations(stand, prefix=f"other-{next(numbers)}")
            return not stand.query("SELECT 1 FROM deliveries WHERE status = 404 AND outcome IS NULL")

        stand.wait_for(are_all_decided)
        stand.wait_for(lambda: not stand.waiting())
    reasons = stand.query("SELECT reason, attempts, count(*) FROM dead_letters GROUP BY reason, attempts")
    # An outage can cause two refusals with 404, so an event is at fault after the third.
    assert reasons == [(f"destination crm: {status}", 1 if status == 422 else 2, REFUSED)]


def test_a_destination_that_refuses_everything_gets_its_events_once_it_is_corrected(stand, monkeypatch):
    """Guarantee 7.7."""
    monkeypatch.setattr(outcome, "REFUSING_SECONDS", 0.2)
    stand.inbox.fault_for = lambda told: Fault(404) if told.destination == "crm" else None
    with stand.delivering(stand.crm, stand.content):
        new_conversations(stand, count=40)
        stand.wait_for(lambda: not stand.waiting("content"))
        # The destination gets one event at a time, and each event is retried at increasing intervals.
        stand.wait_for(lambda: [event.destination for event in stand.inbox.requested].count("crm") > 25)
        assert stand.waiting("crm") == 40
        stand.inbox.fault_for = lambda _told: None
        stand.wait_for(lambda: not stand.waiting("crm"))
    assert stand.query("SELECT count(*) FROM dead_letters") == [(0,)]
    assert stand.query("SELECT max(attempts) FROM deliveries") == [(0,)]
    assert stand.inbox.counts() == {"delivered": 80, "repeated": 0, "disordered": 0, "forged": 0}


def test_a_stop_waits_no_longer_than_its_limit_for_a_slow_destination(stand):
    stand.inbox.fault_for = lambda _told: Fault(200, delay=6.0)
    deliverer = Deliverer(stand.engine, SystemClock(), [replace(stand.crm, concurrency=1, timeout=20.0)])
    deliverer.deliver()
    new_conversations(stand, count=3)
    while not stand.inbox.requested:
        deliverer.deliver()
    started = time.monotonic()
    deliverer.finish(0.5)
    assert time.monotonic() - started < 3.0
    # Runs that waited for a thread were released, so another process need not wait until their leases expire.
    now_us = SystemClock().now_us()
    with stand.engine.begin() as connection:
        assert len(lease_runs(connection, now_us, lease_us=now_us)) == 2


def test_a_long_run_of_deliveries_gives_way_to_other_conversations(stand, monkeypatch):
    monkeypatch.setattr(sender, "RUN_SECONDS", 0.2)
    stand.inbox.fault_for = lambda told: Fault(200, delay=0.1) if words_of([told]) else None
    with stand.delivering(replace(stand.crm, concurrency=1)):
        stand.intake(*[deliver(said(str(number), after_ms=number)) for number in range(12)])
        stand.settle()
        stand.wait_for(lambda: stand.inbox.requested)
        stand.intake(deliver(event("new", conversation="c-other")))
        stand.wait_for(lambda: not stand.waiting())
    told = [event.body["conversation_id"] for event in stand.inbox.accepted_by("crm")]
    assert "c-other" in told[:-4]
    assert words_of(stand.inbox.accepted_by("crm")) == [str(number) for number in range(12)]


def backlog(stand, count, conversation="one"):
    stand.execute(BACKLOG.format(count=count, conversation=conversation))


@ON_POSTGRESQL
def test_a_conversations_backlog_is_not_read_again_for_each_of_its_events(stand):
    stand.register(stand.crm)
    backlog(stand, 20_000)
    now_us, read = SystemClock().now_us(), []
    delivered = text("UPDATE deliveries SET outcome = 'delivered' WHERE outbox_id = ANY(:ids)")
    for lease in range(30):
        with stand.engine.begin() as connection:
            before = connection.scalar(text(READ))
            [run] = lease_runs(connection, now_us, lease_us=now_us - 1 - lease)
            read.append(connection.scalar(text(READ)) - before)
            connection.execute(delivered, {"ids": [taken.message.outbox_id for taken in run]})
            recall_parked(connection, [("crm", "one")], now_us)
    # Each of the first queries parks a limited number of the events behind the head. While PostgreSQL gathers
    # statistics, it can choose a different plan for a query, so only the median is checked.
    assert median(read) < 15_000, read


def test_one_conversations_backlog_is_delivered_in_order_and_does_not_delay_others(stand, monkeypatch):
    """Guarantee 7.9."""
    monkeypatch.setattr(parking, "MAX_WALK", 100)
    count, failures = 600, iter([503, 408, 404])
    stand.inbox.fault_for = lambda event: (
        Fault(status) if event.body["sequence"] == count // 2 and (status := next(failures, None)) else None
    )
    stand.register(stand.crm)
    backlog(stand, count)
    backlog(stand, 1, "other")
    with stand.delivering(stand.crm):
        stand.wait_for(lambda: any(sent.body["conversation_id"] == "other" for sent in stand.inbox.requested))
        assert stand.waiting() > count // 2
        stand.wait_for(lambda: not stand.waiting())
    assert next(failures, None) is None
    assert stand.inbox.counts() == {"delivered": count + 1, "repeated": 0, "disordered": 0, "forged": 0}
    parked = "SELECT count(*) FROM deliveries WHERE outcome IS NULL OR due_at > '9000-01-01'"
    assert stand.query(parked) == [(0,)]


@pytest.mark.parametrize(("ahead_seconds", "status"), [(0, 204), (3600, 401)])
def test_a_request_is_signed_with_the_shared_clock(stand, ahead_seconds, status):
    """A receiver refuses a signature whose time differs from the receiver's clock by minutes."""
    message = WebhookMessage(1, "c", "x", datetime.now(tz=UTC), 1, late=False, verified=None, payload=None)
    assert Transport(stand.crm, MovedClock(ahead_seconds * 1_000_000)).send(message).status == status
