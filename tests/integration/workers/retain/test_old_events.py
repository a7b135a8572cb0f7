"""Old events are deleted with their dependents, and no others, on PostgreSQL and on SQLite."""

from dataclasses import replace

from tests.integration.workers.events import deliver, payload_of, routed, said
from tests.integration.workers.retain.retaining import run, run_in_small_batches, some_of_each
from workers.db.models import conversations
from workers.retain.retaining import BATCH_ROWS

EVENT_TABLES = (
    "processed_events",
    "event_payloads",
    "conversation_messages",
    "message_receipts",
    "routing_updates",
)


def kept(query):
    return {table: query(f"SELECT count(*) FROM {table}")[0][0] for table in EVENT_TABLES}  # noqa: S608  # names of ours


def test_an_old_event_is_deleted_with_its_dependents_and_its_conversation(process, migrated_url, query):
    process(40, *some_of_each("old"), deliver(payload_of("genesys/receipt-published")))
    process(1, *some_of_each("young"))

    assert run(migrated_url, "--dry-run")["processed_events"] == 3
    told = run(migrated_url)

    assert (told["processed_events"], told["conversations"]) == (3, 2)
    assert kept(query) == dict(zip(EVENT_TABLES, (2, 2, 1, 0, 1), strict=True))
    assert query("SELECT conversation_id FROM conversations") == [("young",)]
    assert {each for (each,) in query("SELECT conversation_id FROM outbox")} == {"young"}


def test_a_key_stays_while_copies_come(process, migrated_url, query):
    copy = deliver(said("a"))
    process(40, copy)
    process(5, replace(copy, tag=copy.tag + 10_000))

    assert run(migrated_url)["processed_events"] == 0
    process(0, replace(copy, tag=copy.tag + 20_000))
    assert query("SELECT deliveries FROM processed_events") == [(3,)]


def test_an_event_that_is_not_settled_is_kept_with_its_body(process, migrated_url):
    process(40, *some_of_each("c-1"), settles=False)

    for kept in (0, 2):
        gone = run(migrated_url, days="1")
        assert (gone["event_payloads"], gone["processed_events"]) == (kept, kept)
        process(35)


def test_a_conversation_stays_as_long_as_an_event_of_it(engine, process, migrated_url, query):
    copy = deliver(said("a", conversation="copied"))
    process(40, copy)
    process(40, deliver(routed("QUEUED", conversation="undecided")), settles=False)
    with engine.begin() as connection:
        connection.execute(conversations.update().values(window_opened_at=None))
    process(5, replace(copy, tag=copy.tag + 10_000), settles=False)

    assert run(migrated_url)["conversations"] == 0
    assert query("SELECT conversation_id FROM processed_events ORDER BY id") == [("copied",), ("undecided",)]


def test_many_events_go_page_by_page_past_those_that_stay(engine, process, migrated_url, query):
    process(40, deliver(said("a", conversation="open")), settles=False)
    many = [deliver(said("a", conversation=f"c-{number}")) for number in range(2 * BATCH_ROWS)]
    process(40, *many, settles=False)
    with engine.begin() as connection:
        others = conversations.c.conversation_id != "open"
        connection.execute(conversations.update().where(others).values(window_opened_at=None))

    assert run(migrated_url)["processed_events"] == 2 * BATCH_ROWS
    assert query("SELECT conversation_id FROM processed_events") == [("open",)]


def test_a_replay_of_the_oldest_events_ends_nothing_early(engine, process, query):
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
