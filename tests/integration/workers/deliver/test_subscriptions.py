"""The deliver process adds destinations when it starts; only an operator's recorded command removes them."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from sqlalchemy import text

from messaging.clock import SystemClock
from omctl.look.database import judge_files
from omctl.look.findings import Level
from omctl.repair.destinations import destinations
from tests.integration.workers.commands import run_omctl
from tests.integration.workers.conftest import ON_POSTGRESQL
from tests.integration.workers.deliver.stand import new_conversations
from tests.integration.workers.events import deliver, event
from workers.db.engine import transact
from workers.db.stats import WorkerReport
from workers.deliver import (
    abandon_some,
    choose_unplanned,
    choose_waiting,
    compute_digest,
    newest_entry,
    plan_some,
)
from workers.deliver import subscriptions as subscriptions_module
from workers.retain import retain

PLANNED = "SELECT destination, count(*) FROM deliveries GROUP BY destination ORDER BY destination"


@pytest.fixture
def omctl(migrated_url):
    return partial(run_omctl, destinations, OM_DATABASE_URL=migrated_url)


def test_a_process_with_an_older_file_does_not_remove_destinations(stand):
    """Guarantee 7.11."""
    stand.register(stand.crm, stand.content)
    with stand.delivering(stand.crm):
        stand.intake(deliver(event("new")))
    with stand.delivering(replace(stand.crm, enabled=False)):
        stand.intake(deliver(event("new", conversation="c-2")))
    assert stand.query(PLANNED) == [("content", 2), ("crm", 2)]


def test_removals_backfills_and_abandonments_by_an_operator_are_recorded(stand, omctl):
    stand.register(stand.crm)
    assert omctl("remove", "crm", "--dry-run")["done"] == 0
    assert omctl("remove", "crm", "--reason", "by mistake")["done"] == 4
    new_conversations(stand, 6)
    stand.execute("DELETE FROM event_payloads WHERE event_id = (SELECT min(event_id) FROM event_payloads)")
    assert stand.query(PLANNED) == []

    stand.register(stand.crm)
    stand.intake(deliver(event("new", conversation="c-planned")))
    backfill = partial(omctl, "backfill", "crm", "--since", "1h")
    dry = {"destination": "crm", "chosen": 5, "done": 0, "copies": 0}
    assert backfill("--dry-run") == dry | {"cancelled": False, "intervention": None}
    assert backfill("--reason", "it was removed")["done"] == 5
    assert backfill("--reason", "again")["done"] == 0
    stand.deliver_all()
    assert stand.inbox.counts() == {"delivered": 6, "repeated": 0, "disordered": 0, "forged": 0}

    new_conversations(stand, 3, "d")
    assert omctl("abandon", "crm", "--dry-run")["chosen"] == 3
    assert omctl("abandon", "crm", "--reason", "replaced")["done"] == 3
    assert stand.waiting() == 0
    assert stand.query("SELECT action, reason, done FROM interventions ORDER BY started_at") == [
        ("remove-subscriptions", "by mistake", 4),
        ("backfill-deliveries", "it was removed", 5),
        ("abandon-deliveries", "replaced", 3),
    ]


def test_two_simultaneous_backfills_plan_each_delivery_only_once(stand, monkeypatch):
    monkeypatch.setattr(subscriptions_module, "BATCH_ROWS", 3)
    new_conversations(stand, 8)
    stand.register(stand.crm)
    since, begun = datetime.now(tz=UTC) - timedelta(hours=1), threading.Event()
    unplanned = choose_unplanned("crm", since, transact(stand.engine, newest_entry))

    def plan(connection):
        return plan_some(connection, "crm", unplanned, SystemClock().now_us())

    def plan_beside(connection):
        begun.set()
        return plan(connection)

    with ThreadPoolExecutor() as pool:
        with stand.engine.begin() as connection:
            planned = plan(connection)
            beside = pool.submit(transact, stand.engine, plan_beside)
            # PostgreSQL begins both transactions at once; SQLite begins the second after the first commits.
            begun.wait(1.0)
            time.sleep(0.5)
        assert (planned, beside.result()) == (3, 3)
    assert transact(stand.engine, plan) == 2
    assert transact(stand.engine, plan) == 0
    assert stand.query(PLANNED) == [("crm", 8)]


@ON_POSTGRESQL  # SQLite has one writer at a time
def test_a_delivery_that_ends_meanwhile_does_not_count_as_abandoned(stand):
    stand.register(stand.crm)
    new_conversations(stand, 3)
    waiting = choose_waiting("crm", transact(stand.engine, newest_entry))
    with ThreadPoolExecutor() as pool:
        with stand.engine.begin() as connection:
            first = "SELECT min(outbox_id) FROM deliveries"
            end = f"UPDATE deliveries SET outcome = 'delivered' WHERE outbox_id = ({first})"  # noqa: S608
            connection.execute(text(end))
            beside = pool.submit(transact, stand.engine, abandon_some, waiting, SystemClock().now_us())
            time.sleep(0.5)
        assert beside.result() == 2


def test_a_body_is_deleted_after_its_retention_even_if_its_delivery_still_waits(stand):
    stand.register(stand.crm)
    stand.intake(deliver(event("new")))
    stand.settle()
    for days, left in ((0, 1), (31, 0)):
        now_us = SystemClock().now_us() + days * 86_400_000_000
        list(retain(stand.engine, now_us, payload_days=30, event_days=30, dry_run=False))
        assert stand.query("SELECT count(*) FROM event_payloads") == [(left,)]


def test_check_reports_workers_with_different_destination_files(stand):
    now = datetime.now(tz=UTC)

    def report(worker, *configured, seconds_ago=1):
        figures = {"destinations_digest": float(compute_digest(configured))}
        return WorkerReport("deliver", worker, now, now - timedelta(seconds=seconds_ago), figures)

    one, two = report("vm1 1", stand.crm, stand.content), report("vm2 1", stand.crm)
    assert not list(judge_files([one, report("vm3 1", stand.content, stand.crm)], now))
    assert not list(judge_files([one, report("vm2 1", stand.crm, seconds_ago=600)], now))
    [finding] = judge_files([one, two], now)
    assert finding.level is Level.PROBLEM
    assert "vm1 1 / vm2 1" in finding.text
