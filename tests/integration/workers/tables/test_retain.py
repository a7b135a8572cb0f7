"""What retention leaves, on PostgreSQL and on SQLite."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import select, text

from messaging.clock import SystemClock
from messaging.edge_statistics import EdgeStatistics
from messaging.errors import ConfigurationError
from omctl.commands.retain import retain as command
from tests.integration.workers.events import deliver, payload_of, routed, said
from workers.deliver import EVENT_TYPES as TOLD_TYPES
from workers.deliver import Destination
from workers.deliver.registry import register
from workers.intake import Intake
from workers.parsing import EVENT_TYPES, DriftNotes, moment_of, read_body
from workers.retain import read_retain_settings, retaining
from workers.retain.expiry import BATCH_ROWS
from workers.settle import Settler
from workers.tables import (
    STATE_OPEN,
    TIMER,
    WindowBounds,
    begin_reconciliation,
    conversations,
    count_unstored,
    note_conversation,
    note_gaps,
    note_reconciliation,
    record_edge_statistics,
    transact,
)
from workers.tables.models import deliveries, discarded_letters, duplicate_events
from workers.tables.taking_in.payloads import _KEEP

SOURCES = Path(__file__).parents[4]
DAY_US = 86_400_000_000
AT_ONCE = WindowBounds(0, 0)


def keep(engine, *ages_in_days):
    """Store a body for each age, oldest first as they would have come."""
    now_us = SystemClock().now_us()
    rows = [(number, now_us - age * DAY_US, b"body") for number, age in enumerate(ages_in_days, start=1)]
    transact(engine, lambda connection: _KEEP.execute(connection, rows))


def run(url, *arguments, days="30"):
    environment = {"OM_DATABASE_URL": url, "OM_PAYLOAD_RETENTION_DAYS": days}
    result = CliRunner().invoke(command, ["--json", *arguments], env=environment, catch_exceptions=False)
    report = json.loads(result.output[result.output.index("{\n") :])
    return {each["table"]: each["rows"] for each in report["tables"]}


def test_only_what_is_older_goes(engine, migrated_url, query):
    keep(engine, 90, 31, 29, 0)

    assert run(migrated_url)["event_payloads"] == 2

    assert query("SELECT event_id FROM event_payloads ORDER BY event_id") == [(3,), (4,)]
    assert set(run(migrated_url).values()) == {0}


def test_a_dry_run_counts_and_deletes_nothing(engine, migrated_url, query):
    keep(engine, 90, 31, 29)

    assert run(migrated_url, "--dry-run")["event_payloads"] == 2

    assert query("SELECT count(*) FROM event_payloads") == [(3,)]


def test_the_days_are_the_settings(engine, migrated_url):
    keep(engine, 90, 31, 29, 0)

    assert run(migrated_url, days="1")["event_payloads"] == 3


@pytest.mark.parametrize("old", [BATCH_ROWS - 1, BATCH_ROWS, 2 * BATCH_ROWS + 1])
def test_more_than_a_batch_goes_batch_by_batch(engine, migrated_url, query, old):
    keep(engine, *[40] * old, 1, 1)

    assert run(migrated_url)["event_payloads"] == old

    assert query("SELECT count(*) FROM event_payloads") == [(2,)]


def test_rows_out_of_order_do_not_end_it_early(engine, migrated_url, query):
    keep(engine, 40, 1, 40, 1, *[40] * BATCH_ROWS)

    assert run(migrated_url)["event_payloads"] == BATCH_ROWS + 2


def test_the_bodies_of_conflicts_go_with_the_last_time_they_came(engine, intake, migrated_url, query):
    def identified(words):
        body = said(words)
        body["message"]["id"] = "m-1"
        return deliver(body)

    intake(identified("Hello"), identified("old"), identified("young"))
    [first, _] = sorted(query("SELECT body_sha256 FROM duplicate_events"))
    with engine.begin() as connection:
        statement = duplicate_events.update().where(duplicate_events.c.body_sha256 == bytes(first[0]))
        moment = text("'2024-01-01 00:00:00.000000'")
        connection.execute(statement.values(last_seen_at=moment))

    assert run(migrated_url)["duplicate_events"] == 1

    assert query("SELECT count(*) FROM duplicate_events") == [(1,)]


def test_conflicts_that_came_again_do_not_keep_those_behind_them(engine, migrated_url, query):
    """Those of the oldest events come first by key, and a replay of them makes a whole page young."""

    def conflict(event_id, days):
        at = moment_of(MovedClock(days).now_us())
        return {
            "event_id": event_id,
            "body_sha256": bytes(32),
            "idempotency_key": f"key-{event_id}",
            "body": b"body",
            "message_id": "m-1",
            "source": "webhook",
            "deliveries": 1,
            "first_seen_at": at,
            "last_seen_at": at,
        }

    young = [conflict(number, 1) for number in range(2 * BATCH_ROWS)]
    old = [conflict(2 * BATCH_ROWS + number, 40) for number in range(BATCH_ROWS + 1)]
    with engine.begin() as connection:
        connection.execute(duplicate_events.insert(), [*young, *old])

    assert run(migrated_url)["duplicate_events"] == len(old)

    assert query("SELECT count(*), max(event_id) FROM duplicate_events") == [(len(young), len(young) - 1)]


def test_discarded_letters_go_with_the_day_they_were_discarded(engine, migrated_url, query):
    with engine.begin() as connection:
        for days in (40, 1):
            at = moment_of(MovedClock(days).now_us())
            letter = {"message_id": f"m-{days}", "intervention_id": "i", "discarded_at": at, "body": b"body"}
            connection.execute(discarded_letters.insert().values(letter))

    assert run(migrated_url)["discarded_letters"] == 1

    assert query("SELECT message_id FROM discarded_letters") == [("m-1",)]


def test_the_role_is_a_worker_of_its_own(engine, migrated_url, query):
    keep(engine, 90, 1)
    command = [sys.executable, "-m", "workers", "retain"]
    environment = {"OM_DATABASE_URL": migrated_url, "PATH": "", "PYTHONPATH": str(SOURCES)}

    for arguments, left, word in ((["--dry-run"], 2, "rows_would_expire"), ([], 1, "rows_expired")):
        done = subprocess.run(
            command + arguments, env=environment, capture_output=True, text=True, check=True
        )
        assert word in done.stdout
        assert query("SELECT count(*) FROM event_payloads") == [(left,)]


class MovedClock(SystemClock):
    """A clock so many days before the present."""

    def __init__(self, days):
        self._days = days

    def now_us(self):
        return super().now_us() - self._days * DAY_US


EVENT_TABLES = (
    "processed_events",
    "event_payloads",
    "conversation_messages",
    "message_receipts",
    "routing_updates",
)


@pytest.fixture
def process(engine, handlers):
    """Process and settle events as it was so many days ago."""

    def run(days, *deliveries, settles=True):
        clock = MovedClock(days)
        Intake(engine, handlers, clock, window=AT_ONCE).process(deliveries)
        if settles:
            Settler(engine, clock, window=AT_ONCE, states=None).settle_windows()

    return run


def kept(query):
    return {table: query(f"SELECT count(*) FROM {table}")[0][0] for table in EVENT_TABLES}  # noqa: S608  # names of ours


def some_of_each(conversation):
    return (
        deliver(said("a", conversation=conversation)),
        deliver(routed("QUEUED", conversation=conversation, after_ms=1)),
    )


def test_an_old_event_goes_with_all_that_hangs_on_it_and_its_conversation(process, migrated_url, query):
    process(40, *some_of_each("old"), deliver(payload_of("genesys/receipt-published")))
    process(1, *some_of_each("young"))

    assert run(migrated_url, "--dry-run")["processed_events"] == 3
    told = run(migrated_url)

    assert (told["processed_events"], told["conversations"]) == (3, 2)
    assert kept(query) == dict.fromkeys(EVENT_TABLES, 1) | {
        "processed_events": 2,
        "event_payloads": 2,
        "message_receipts": 0,
    }
    assert query("SELECT conversation_id FROM conversations") == [("young",)]
    assert {each for (each,) in query("SELECT conversation_id FROM outbox")} == {"young"}


def test_a_key_stays_while_copies_come(process, migrated_url, query):
    copy = deliver(said("a"))
    process(40, copy)
    process(5, replace(copy, tag=copy.tag + 10_000))

    assert run(migrated_url)["processed_events"] == 0
    process(0, replace(copy, tag=copy.tag + 20_000))
    assert query("SELECT deliveries FROM processed_events") == [(3,)]


def test_what_is_not_settled_is_not_history(process, migrated_url, query):
    process(40, *some_of_each("c-1"), settles=False)

    assert run(migrated_url)["processed_events"] == 0
    process(35)
    assert run(migrated_url)["processed_events"] == 2


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
    process(
        40,
        *[deliver(said("a", conversation=f"c-{number}")) for number in range(2 * BATCH_ROWS)],
        settles=False,
    )
    with engine.begin() as connection:
        others = conversations.c.conversation_id != "open"
        connection.execute(conversations.update().where(others).values(window_opened_at=None))

    assert run(migrated_url)["processed_events"] == 2 * BATCH_ROWS
    assert query("SELECT conversation_id FROM processed_events") == [("open",)]


@pytest.fixture
def tell(engine):
    """Have what is settled from now on told to a service, or to nobody."""

    def run(*names):
        destinations = [Destination(name, "http://crm", ("secret",), TOLD_TYPES) for name in names]
        transact(engine, lambda connection: register(connection, destinations, SystemClock().now_us()))

    return run


@pytest.fixture
def finish(engine):
    """Write how all deliveries ended."""

    def run(**values):
        transact(engine, lambda connection: connection.execute(deliveries.update().values(**values)))

    return run


TOLD_TABLES = ("event_payloads", "processed_events", "outbox", "conversations")


@pytest.mark.parametrize("days", ["1", "30"])
def test_what_waits_for_a_destination_keeps_its_event_and_its_body(process, tell, finish, migrated_url, days):
    tell("crm", "content")
    process(40, *some_of_each("told"))

    assert set(run(migrated_url, "--dry-run", days=days).values()) == {0}
    assert set(run(migrated_url, days=days).values()) == {0}

    finish(outcome="delivered")
    gone = run(migrated_url, days=days)
    assert [gone[table] for table in TOLD_TABLES] == [2, 2, 3, 1]


def test_the_statement_of_the_page_ends_what_waits_for_a_destination(process, tell, engine, migrated_url):
    tell("crm")
    process(40, deliver(said("a")))
    page = (SOURCES / "docs/database.md").read_text(encoding="utf-8")
    found = re.search(
        r"^(UPDATE deliveries .*?); +-- SQLite: (.*) for now\(\)$", page, re.DOTALL | re.MULTILINE
    )
    statement, now = found.groups()
    if engine.dialect.name == "sqlite":
        # A colon within quotes is no parameter.
        statement = statement.replace("now()", now.replace(":", "\\:"))
    with engine.begin() as connection:
        connection.execute(text(statement), {"name": "crm"})
        assert connection.execute(select(deliveries.c.finished_at)).scalars().first() is not None
    gone = run(migrated_url)
    assert [gone[table] for table in TOLD_TABLES] == [1, 1, 2, 1]


def test_what_is_given_up_keeps_its_body_until_its_letter_is_published(process, tell, finish, migrated_url):
    tell("crm")
    process(40, deliver(said("a")))
    now = moment_of(SystemClock().now_us())

    finish(outcome="dead", finished_at=now)
    assert set(run(migrated_url).values()) == {0}

    finish(dead_lettered_at=now)
    gone = run(migrated_url)
    assert [gone[table] for table in TOLD_TABLES] == [1, 1, 2, 1]


def test_a_body_is_kept_for_what_is_not_settled_yet(process, migrated_url):
    process(40, *some_of_each("c-1"), settles=False)

    assert run(migrated_url, days="1")["event_payloads"] == 0
    process(35)
    assert run(migrated_url, days="1")["event_payloads"] == 2


def test_bodies_that_stay_do_not_end_it_early(process, tell, migrated_url, query, monkeypatch):
    monkeypatch.setattr(retaining, "BATCH_ROWS", 2)
    tell("crm")
    process(40, *[deliver(said("a", conversation=f"held-{number}")) for number in range(5)])
    tell()
    process(40, *[deliver(said("a", conversation=f"free-{number}")) for number in range(5)])

    gone = run(migrated_url)

    assert [gone[table] for table in TOLD_TABLES] == [5, 5, 10, 5]
    assert {name for (name,) in query("SELECT conversation_id FROM processed_events")} == {
        f"held-{number}" for number in range(5)
    }


def test_a_replay_of_the_oldest_events_ends_nothing_early(process, migrated_url, query, monkeypatch):
    monkeypatch.setattr(retaining, "BATCH_ROWS", 2)
    events = [deliver(said("a", conversation=f"c-{number}")) for number in range(5)]
    process(40, *events)
    process(1, *[replace(each, tag=each.tag + 10_000) for each in events[:4]])

    assert run(migrated_url)["processed_events"] == 1

    assert query("SELECT count(*) FROM processed_events WHERE conversation_id = 'c-4'") == [(0,)]


def test_no_row_of_the_outbox_outlives_its_event(process, migrated_url, query):
    process(40, deliver(said("a")), settles=False)
    process(20)

    run(migrated_url)

    outlived = "SELECT count(*) FROM outbox WHERE event_id NOT IN (SELECT id FROM processed_events)"
    assert query(outlived) == [(0,)]
    assert query("SELECT count(*) FROM outbox WHERE event_id IS NOT NULL") == [(1,)]


@pytest.mark.parametrize("days", ["0", "-1", "a month"])
@pytest.mark.parametrize("name", ["OM_PAYLOAD_RETENTION_DAYS", "OM_RETENTION_DAYS"])
def test_a_malformed_retention_is_refused_by_name(monkeypatch, name, days):
    monkeypatch.setenv("OM_DATABASE_URL", "sqlite://")
    monkeypatch.setenv(name, days)

    with pytest.raises(ConfigurationError, match=name):
        read_retain_settings()


def reconciled(engine, days, holder, *, started_by=TIMER, is_finished=True):
    """Leave a comparison of so many days ago, with a conversation and a gap that it found."""
    at_us = MovedClock(days).now_us()

    def note(connection):
        begun = begin_reconciliation(
            connection,
            started_by=started_by,
            compared_from_us=at_us,
            compared_to_us=at_us,
            page=None,
            holder=holder,
            now_us=at_us,
        )
        changes = {"finished_at": moment_of(at_us)} if is_finished else {}
        note_reconciliation(connection, begun.reconciliation_id, holder, at_us, **changes)
        note_conversation(connection, f"c-{holder}", STATE_OPEN, None, at_us)
        event = replace(event_of(payload_of("genesys/text")), idempotency_key=f"key-{holder}")
        note_gaps(connection, begun.reconciliation_id, [(event, f"copy-{holder}")], at_us)

    transact(engine, note)


def event_of(payload):
    [event] = read_body(json.dumps(payload).encode(), DriftNotes(), EVENT_TYPES)
    return event


def test_old_comparisons_go_with_what_they_found_but_for_the_newest_watermark(engine, migrated_url, query):
    reconciled(engine, 60, "first")
    reconciled(engine, 50, "person", started_by="somebody")
    reconciled(engine, 40, "newest")

    gone = run(migrated_url)

    assert (gone["reconciliations"], gone["reconciliation_gaps"], gone["platform_conversations"]) == (2, 3, 3)
    assert query("SELECT held_by FROM reconciliations") == [("newest",)]
    reconciled(engine, 1, "new")
    assert run(migrated_url)["reconciliations"] == 1
    assert query("SELECT held_by FROM reconciliations") == [("new",)]
    assert query("SELECT count(*) FROM reconciliation_gaps") == [(1,)]
    assert query("SELECT conversation_id FROM platform_conversations") == [("c-new",)]


def test_a_comparison_under_way_stays(engine, migrated_url, query):
    reconciled(engine, 60, "killed", is_finished=False)
    reconciled(engine, 1, "person", started_by="somebody")

    assert run(migrated_url)["reconciliations"] == 0


def test_old_counts_go(engine, migrated_url, query):
    def note(connection):
        for days in (60, 1):
            at_us = MovedClock(days).now_us()
            count_unstored(connection, {"openmessaging:typing": 1}, at_us)
            told = EdgeStatistics("host", "process", at_us, 60.0, 1, (1, 1, 1, 1, 1), 1, {})
            record_edge_statistics(connection, [told])

    transact(engine, note)

    gone = run(migrated_url)

    assert (gone["unstored_events"], gone["edge_statistics"]) == (1, 1)
    assert query("SELECT count(*) FROM edge_statistics") == [(1,)]
    assert query("SELECT count(*) FROM unstored_events") == [(1,)]
