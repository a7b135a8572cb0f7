"""A workforce report counts each interaction once, even if its events arrive several times."""

from dataclasses import replace

import pytest
from sqlalchemy import text

from messaging.clock import SystemClock
from messaging.envelope import RECONCILE, REPLAY
from tests.integration.workers.events import deliver, event, payload_of, routed, said
from workers.db.ingest import WindowBounds
from workers.settle import Settler

REPORT = (
    "SELECT conversation_id, began_at, last_event_at, messages, routing_status, routing_queue, queued_at,"
    " routed_at FROM interactions_v1 ORDER BY conversation_id"
)


@pytest.fixture
def settle(engine):
    settler = Settler(engine, SystemClock(), window=WindowBounds(0, 0), verifies=False)

    def settle():
        with engine.begin() as connection:
            connection.execute(text("UPDATE conversations SET window_closes_at = window_opened_at"))
        while settler.settle_windows():
            pass

    return settle


def copies_of(body, source):
    delivery = deliver(body)
    return replace(delivery, envelope=replace(delivery.envelope, source=source))


def test_retries_replays_and_reconciled_copies_do_not_change_the_counts(intake, settle, query):
    bodies = [
        event("new"),
        said("one", after_ms=5),
        said("two", after_ms=9),
        routed("QUEUED", after_ms=20),
        routed("ROUTED", after_ms=80),
        said("elsewhere", conversation="c-2"),
        payload_of("genesys/receipt-published"),
    ]
    intake(*map(deliver, bodies))
    settle()
    report = query(REPORT)
    counts = [(row[0], row[3], row[4]) for row in report[-2:]]
    assert counts == [("c-1", 2, "CONTACT-ROUTED"), ("c-2", 1, None)]
    assert [str(moment)[17:23] for moment in report[-2][-2:]] == ["10.020", "10.080"]
    outbox = query("SELECT count(*) FROM outbox")
    for source in ("webhook", REPLAY, RECONCILE):
        intake(*[copies_of(body, source) for body in reversed(bodies)])
        settle()
    assert query(REPORT) == report
    assert query("SELECT count(*) FROM outbox") == outbox


def test_a_superseded_update_does_not_count_as_routed_in_the_report(intake, query, engine):
    intake(deliver(routed("ROUTED")))
    with engine.begin() as connection:
        connection.execute(text("UPDATE routing_updates SET decision = 'superseded'"))
    assert query("SELECT routed_at FROM interactions_v1") == [(None,)]
