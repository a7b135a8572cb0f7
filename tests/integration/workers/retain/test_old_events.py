"""Old events are deleted with their dependent rows once they have been delivered and settled."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from messaging.clock import SystemClock
from tests.integration.workers.events import deliver, payload_of, routed, said
from tests.integration.workers.retain.conftest import run, run_in_small_batches, some_of_each
from tests.rows import make_row
from workers.db.models import conversations, dead_letters
from workers.parsing import moment_of
from workers.retain.retaining import BATCH_ROWS

EVENT_TABLES = (
    "processed_events",
    "event_payloads",
    "conversation_messages",
    "message_receipts",
    "routing_updates",
)


def kept(query):
    return {table: query(f"SELECT count(*) FROM {table}")[0][0] for table in EVENT_TABLES}  # noqa: S608  # fixed names


def test_an_old_event_is_deleted_with_its_dependent_rows_and_its_conversation(process, migrated_url, query):
    process(40, *some_of_each("old"), deliver(payload_of("genesys/receipt-published")))
    process(1, *some_of_each("young"))
    assert run(migrated_url, "--dry-run")["processed_events"] == 3
    told = run(migrated_url)
    assert (told["processed_events"], told["conversations"]) == (3, 2)
    assert kept(query) == dict(zip(EVENT_TABLES, (2, 2, 1, 0, 1), strict=True))
    assert query("SELECT conversation_id FROM conversations") == [("young",)]
    assert {each for (each,) in query("SELECT conversation_id FROM outbox")} == {"young"}


def test_an_idempotency_key_is_kept_while_copies_of_its_event_arrive(process, migrated_url, query):
    copy = deliver(said("a"))
    process(40, copy)
    process(5, replace(copy, tag=copy.tag + 10_000))
    assert run(migrated_url)["processed_events"] == 0
    process(0, replace(copy, tag=copy.tag + 20_000))
    assert query("SELECT times_received FROM processed_events") == [(3,)]


def test_an_idempotency_key_is_kept_while_a_copy_is_an_open_dead_letter(engine, process, migrated_url, query):
    process(40, deliver(said("a")))
    [[key]] = query("SELECT idempotency_key FROM processed_events")
    with engine.begin() as connection:
        row = make_row(dead_letters, message_id="m-1", code="poison", idempotency_key=key, decided_at=None)
        connection.execute(dead_letters.insert(), row)
    gone = run(migrated_url)
    assert (gone["processed_events"], gone["conversations"]) == (0, 0)
    with engine.begin() as connection:
        connection.execute(dead_letters.update().values(decided_at=datetime.now(UTC)))
    gone = run(migrated_url)
    assert (gone["processed_events"], gone["conversations"]) == (1, 1)


def test_an_unsettled_event_is_kept_with_its_body(process, migrated_url):
    process(40, *some_of_each("c-1"), settles=False)
    for kept in (0, 2):
        gone = run(migrated_url, days="1")
        assert (gone["event_payloads"], gone["processed_events"]) == (kept, kept)
        process(35)


def test_a_conversation_is_kept_as_long_as_any_of_its_events(engine, process, migrated_url, query):
    copy = deliver(said("a", conversation="copied"))
    process(40, copy)
    process(40, deliver(routed("QUEUED", conversation="undecided")), settles=False)
    with engine.begin() as connection:
        connection.execute(conversations.update().values(window_opened_at=None))
    process(5, replace(copy, tag=copy.tag + 10_000), settles=False)
    assert run(migrated_url)["conversations"] == 0
    assert query("SELECT conversation_id FROM processed_events ORDER BY id") == [("copied",), ("undecided",)]


def test_open_conversations_do_not_stop_the_deletion_of_old_events(engine, process, migrated_url, query):
    process(40, deliver(said("a", conversation="open")), settles=False)
    many = [deliver(said("a", conversation=f"c-{number}")) for number in range(2 * BATCH_ROWS)]
    process(40, *many, settles=False)
    with engine.begin() as connection:
        others = conversations.c.conversation_id != "open"
        connection.execute(conversations.update().where(others).values(window_opened_at=None))
    assert run(migrated_url)["processed_events"] == 2 * BATCH_ROWS
    assert query("SELECT conversation_id FROM processed_events") == [("open",)]


def test_retention_continues_past_old_events_that_were_received_again(engine, process, query):
    events = [deliver(said("a", conversation=f"c-{number}")) for number in range(5)]
    process(40, *events)
    process(1, *[replace(event, tag=event.tag + 10_000) for event in events[:4]])
    assert run_in_small_batches(engine)["processed_events"] == 1
    assert query("SELECT count(*) FROM processed_events WHERE conversation_id = 'c-4'") == [(0,)]


def test_no_row_of_the_outbox_outlives_its_event(process, migrated_url, query):
    process(40, deliver(said("a")), settles=False)
    process(20)
    run(migrated_url)
    outlived = "SELECT count(*) FROM outbox WHERE event_id NOT IN (SELECT id FROM processed_events)"
    assert query(outlived) == [(0,)]
    assert query("SELECT count(*) FROM outbox WHERE event_id IS NOT NULL") == [(1,)]


TOLD_TABLES = ("event_payloads", "processed_events", "outbox", "conversations")


@pytest.mark.parametrize("days", ["1", "30"])
def test_a_waiting_delivery_keeps_its_event_and_its_body(process, tell, finish, migrated_url, days):
    tell("crm", "content")
    process(40, *some_of_each("told"))
    # Keep events for 60 days, because a delivery is abandoned if it waits longer than events are kept.
    assert set(run(migrated_url, "--dry-run", days=days, event_days="60").values()) == {0}
    assert set(run(migrated_url, days=days, event_days="60").values()) == {0}
    finish(outcome="delivered")
    gone = run(migrated_url, days=days)
    assert [gone[table] for table in TOLD_TABLES] == [2, 2, 3, 1]


def test_a_given_up_event_is_kept_until_its_dead_letter_is_published(process, tell, finish, migrated_url):
    tell("crm")
    process(40, deliver(said("a")))
    now = moment_of(SystemClock().now_us())
    finish(outcome="dead", finished_at=now)
    assert set(run(migrated_url).values()) == {0}
    finish(dead_lettered_at=now)
    gone = run(migrated_url)
    assert [gone[table] for table in TOLD_TABLES] == [1, 1, 2, 1]


def test_retention_continues_past_bodies_that_must_be_kept(engine, process, tell, finish, query):
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
