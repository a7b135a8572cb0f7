"""Events that are not delivered or settled yet are kept, on PostgreSQL and on SQLite."""

import pytest

from messaging.clock import SystemClock
from tests.integration.workers.events import deliver, said
from tests.integration.workers.retain.retaining import run, run_in_small_batches, some_of_each
from workers.parsing import moment_of

TOLD_TABLES = ("event_payloads", "processed_events", "outbox", "conversations")


@pytest.mark.parametrize("days", ["1", "30"])
def test_a_waiting_delivery_keeps_its_event_and_its_body(process, tell, finish, migrated_url, days):
    tell("crm", "content")
    process(40, *some_of_each("told"))

    # What has waited for as long as events are kept is abandoned: so they are kept for longer here.
    assert set(run(migrated_url, "--dry-run", days=days, event_days="60").values()) == {0}
    assert set(run(migrated_url, days=days, event_days="60").values()) == {0}

    finish(outcome="delivered")
    gone = run(migrated_url, days=days)
    assert [gone[table] for table in TOLD_TABLES] == [2, 2, 3, 1]


def test_a_given_up_event_keeps_its_body_until_its_dead_letter_is_published(
    process, tell, finish, migrated_url
):
    tell("crm")
    process(40, deliver(said("a")))
    now = moment_of(SystemClock().now_us())

    finish(outcome="dead", finished_at=now)
    assert set(run(migrated_url).values()) == {0}

    finish(dead_lettered_at=now)
    gone = run(migrated_url)
    assert [gone[table] for table in TOLD_TABLES] == [1, 1, 2, 1]


def test_bodies_that_stay_do_not_end_a_run_early(engine, process, tell, finish, query):
    tell("crm")
    process(40, *[deliver(said("a", conversation=f"held-{number}")) for number in range(5)])
    finish(outcome="dead", finished_at=moment_of(SystemClock().now_us()))
    tell()
    process(40, *[deliver(said("a", conversation=f"free-{number}")) for number in range(5)])

    gone = run_in_small_batches(engine)

    assert [gone[table] for table in TOLD_TABLES] == [5, 5, 10, 5]
    assert {name for (name,) in query("SELECT conversation_id FROM processed_events")} == {
        f"held-{number}" for number in range(5)
    }
