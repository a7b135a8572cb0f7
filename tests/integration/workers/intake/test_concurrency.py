"""Several workers process events on one database."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
from sqlalchemy import text

from tests.integration.workers.conftest import ON_POSTGRESQL
from tests.integration.workers.consuming import work_at_once
from tests.integration.workers.events import deliver, routed, said
from tests.waiting import wait_until

WAITING_FOR_LOCKS = (
    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
)


def test_workers_with_the_same_events_in_reverse_order_neither_deadlock_nor_repeat_effects(
    migrated_url, handlers, query
):
    payloads = [said(f"m{n}", conversation=f"c-{n % 7}") for n in range(60)]
    payloads += [routed("QUEUED", conversation=f"c-{n}") for n in range(7)]

    def work(intake, order):
        for start in range(0, len(payloads), 30):
            intake(*[deliver(each) for each in payloads[::order][start : start + 30]])

    work_at_once(migrated_url, handlers, (1, -1, 1, -1), work)
    assert query("SELECT count(*) FROM processed_events") == [(67,)]
    assert query("SELECT sum(message_count), sum(event_count) FROM conversations") == [(60, 67)]


@ON_POSTGRESQL
def test_a_repeated_event_is_not_locked_while_its_worker_waits_for_the_conversation(
    engine, migrated_url, intake
):
    repeated = said("repeated")
    intake(deliver(repeated))
    # Lock rows in the same order as settle: first the conversation, then its events.
    with ThreadPoolExecutor() as pool, engine.begin() as settle:
        settle.execute(text("SELECT 1 FROM conversations FOR UPDATE"))
        batch = pool.submit(intake, deliver(repeated), deliver(said("new", after_ms=1)))
        with psycopg.connect(migrated_url.replace("+psycopg", ""), autocommit=True) as view:
            wait_until(lambda: view.execute(WAITING_FOR_LOCKS).fetchone() == (1,))
        settle.execute(text("SET LOCAL lock_timeout = '500ms'"))
        settle.execute(text("UPDATE processed_events SET reason = reason"))
        settle.commit()
        assert batch.result(timeout=20) == set()
