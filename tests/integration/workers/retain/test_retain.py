"""Rows are deleted after their retention time, on PostgreSQL and on SQLite."""

import subprocess
import sys
import time

import pytest
from sqlalchemy import event

from messaging.clock import SystemClock
from tests.integration.workers.conftest import ON_POSTGRESQL
from tests.integration.workers.retain.conftest import SOURCES, clock_of, run
from tests.rows import make_row
from workers.db.models import (
    discarded_dead_letters,
    edge_statistics,
    event_conflicts,
    event_payloads,
    platform_conversations,
    reconciliation_gaps,
    reconciliations,
    unstored_events,
)
from workers.db.reconcile import TIMER
from workers.parsing import moment_of
from workers.retain import retain
from workers.retain.retaining import BATCH_ROWS
from workers.retain.tables import BODY_TABLES, EVENT_TABLES


def keep(engine, *ages_in_days):
    """Store a body of each age."""
    rows = [
        {"event_id": number, "stored_at": moment_of(clock_of(age).now_us()), "body": b"body"}
        for number, age in enumerate(ages_in_days, start=1)
    ]
    with engine.begin() as connection:
        connection.execute(event_payloads.insert(), rows)


@pytest.mark.parametrize(
    ("ages", "expired"),
    [
        ([90, 31, 29, 0], 2),
        *[([*[40] * old, 1, 1], old) for old in (BATCH_ROWS - 1, BATCH_ROWS, 2 * BATCH_ROWS + 1)],
        # A run does not end early if there are newer rows among the old ones.
        ([40, 1, 40, 1, *[40] * BATCH_ROWS], BATCH_ROWS + 2),
    ],
)
def test_only_expired_rows_are_deleted_and_a_dry_run_deletes_none(  # fixtures and cases
    engine, migrated_url, query, ages, expired
):
    keep(engine, *ages)
    assert run(migrated_url, "--dry-run")["event_payloads"] == expired
    assert query("SELECT count(*) FROM event_payloads") == [(len(ages),)]
    assert run(migrated_url)["event_payloads"] == expired
    kept = [number for number, age in enumerate(ages, start=1) if age < 30]
    assert query("SELECT event_id FROM event_payloads ORDER BY event_id") == [(number,) for number in kept]
    assert set(run(migrated_url).values()) == {0}


@ON_POSTGRESQL
def test_the_age_of_a_row_is_measured_by_the_databases_clock(engine, migrated_url, query, monkeypatch):
    keep(engine, 29, 0)
    host_ns = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: host_ns() + 40 * 86_400 * 10**9)
    assert run(migrated_url)["event_payloads"] == 0
    assert query("SELECT count(*) FROM event_payloads") == [(2,)]


def test_bodies_and_events_have_separate_retention_times(engine, migrated_url):
    keep(engine, 90, 31, 29, 0)
    now_us = SystemClock().now_us()
    found = list(retain(engine, now_us, payload_days=7, event_days=30, dry_run=True))
    days = dict.fromkeys((expiring.table for expiring in (*BODY_TABLES, *EVENT_TABLES)), 30)
    days |= dict.fromkeys((event_payloads, event_conflicts, discarded_dead_letters), 7)
    found_days = {expired.table: (moment_of(now_us) - expired.older_than).days for expired in found}
    assert found_days == {table.name: number for table, number in days.items()}
    assert run(migrated_url, days="1")["event_payloads"] == 3


def test_retention_continues_past_conflicts_that_were_received_again(engine, migrated_url, query):
    """The oldest events' conflicts have the lowest keys, but become recent if those events are replayed."""

    def conflict(event_id, days):
        at = moment_of(clock_of(days).now_us())
        return make_row(event_conflicts, event_id=event_id, last_seen_at=at)

    young = [conflict(number, 1) for number in range(2 * BATCH_ROWS)]
    old = [conflict(2 * BATCH_ROWS + number, 40) for number in range(BATCH_ROWS + 1)]
    with engine.begin() as connection:
        connection.execute(event_conflicts.insert(), [*young, *old])
    assert run(migrated_url)["event_conflicts"] == len(old)
    assert query("SELECT count(*), max(event_id) FROM event_conflicts") == [(len(young), len(young) - 1)]


@pytest.mark.parametrize(
    ("table", "column"),
    [(discarded_dead_letters, "discarded_at"), (unstored_events, "day"), (edge_statistics, "began_at")],
)
def test_rows_of_other_tables_expire_by_their_own_time_column(engine, migrated_url, query, table, column):
    with engine.begin() as connection:
        for days in (40, 1):
            values = {column: moment_of(clock_of(days).now_us())}
            if table is discarded_dead_letters:
                values["message_id"] = f"m-{days}"
            connection.execute(table.insert(), make_row(table, **values))
    assert run(migrated_url)[table.name] == 1
    assert run(migrated_url)[table.name] == 0
    assert query(f"SELECT count(*) FROM {table.name}") == [(1,)]  # noqa: S608  # fixed names


def test_the_retain_worker_deletes_expired_rows_or_only_counts_them(engine, migrated_url, query):
    keep(engine, 90, 1)
    command = [sys.executable, "-m", "workers", "retain"]
    environment = {"OM_DATABASE_URL": migrated_url, "PATH": "", "PYTHONPATH": str(SOURCES)}
    for arguments, left, word in ((["--dry-run"], 2, "rows_would_expire"), ([], 1, "rows_expired")):
        assert word in subprocess.check_output(command + arguments, env=environment, text=True)
        assert query("SELECT count(*) FROM event_payloads") == [(left,)]


def reconciled(engine, days, holder, *, started_by=TIMER, is_finished=True):
    """Insert a comparison that is *days* days old, with a conversation and a gap."""
    at = moment_of(clock_of(days).now_us())
    finished_at = at if is_finished else None
    comparison = {"started_by": started_by, "held_by": holder, "started_at": at, "finished_at": finished_at}
    with engine.begin() as connection:
        for table, values in (
            (reconciliations, comparison),
            (platform_conversations, {"conversation_id": f"c-{holder}", "read_at": at}),
            (reconciliation_gaps, {"idempotency_key": f"key-{holder}", "published_at": at}),
        ):
            connection.execute(table.insert(), make_row(table, **values))


def test_old_comparisons_are_deleted_except_the_workers_newest_one(engine, migrated_url, query):
    reconciled(engine, 60, "first")
    reconciled(engine, 50, "person", started_by="operator@host")
    reconciled(engine, 40, "newest")
    gone = run(migrated_url)
    assert (gone["reconciliations"], gone["reconciliation_gaps"], gone["platform_conversations"]) == (2, 3, 3)
    assert query("SELECT held_by FROM reconciliations") == [("newest",)]
    reconciled(engine, 1, "new")
    assert run(migrated_url)["reconciliations"] == 1
    assert query("SELECT held_by FROM reconciliations") == [("new",)]
    assert query("SELECT count(*) FROM reconciliation_gaps") == [(1,)]
    assert query("SELECT conversation_id FROM platform_conversations") == [("c-new",)]


def test_an_unfinished_comparison_is_kept(engine, migrated_url, query):
    reconciled(engine, 60, "killed", is_finished=False)
    reconciled(engine, 1, "person", started_by="operator@host")
    assert run(migrated_url)["reconciliations"] == 0


def test_an_interrupted_run_has_already_deleted_a_batch_of_every_table(engine, query):
    keep(engine, *[90] * (3 * BATCH_ROWS))
    with engine.begin() as connection:
        old = make_row(unstored_events, day=moment_of(clock_of(90).now_us()))
        connection.execute(unstored_events.insert(), old)
    committed = []

    def cut_off(_connection):
        committed.append(1)
        # By then, one batch of each of the eleven tables and a second batch of the first have been deleted.
        if len(committed) > 12:
            raise KeyboardInterrupt

    event.listen(engine, "commit", cut_off)
    with pytest.raises(KeyboardInterrupt):
        list(retain(engine, SystemClock().now_us(), payload_days=30, event_days=30, dry_run=False))
    event.remove(engine, "commit", cut_off)

    assert query("SELECT count(*) FROM unstored_events") == [(0,)]
    [(bodies,)] = query("SELECT count(*) FROM event_payloads")
    assert 0 < bodies < 3 * BATCH_ROWS
