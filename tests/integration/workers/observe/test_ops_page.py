"""The status page: what it counts on both databases, and what it shows in a real browser."""

import os
import random
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from playwright.sync_api import expect

from simulator.serving import serve_app
from tests.browser import chromium, opening
from workers.db.engine import make_engine
from workers.db.models import (
    conversations,
    dead_letters,
    deliveries,
    destinations,
    edge_statistics,
    processed_events,
)
from workers.db.stats import note_worker
from workers.observe import Edges, Flow, ServiceCollector, ops_app

SCREEN = {"width": 1180, "height": 900}
PHONE = {"width": 390, "height": 844}


def event(number, at, *, took_ms=20):
    return {
        "idempotency_key": f"k-{number}",
        "conversation_id": f"c-{number % 50}",
        "event_type": "openmessaging:conversation:message",
        "outcome": "processed",
        "occurred_at": at,
        "received_at": at - timedelta(milliseconds=took_ms),
        "processed_at": at,
        "message_id": f"m-{number}",
        "source": "webhook",
        "dialect": "guide",
        "body_sha256": bytes(32),
    }


def letter(number, code, at):
    return {
        "message_id": f"l-{number}",
        "code": code,
        "reason": "constructed",
        "body_sha256": bytes(32),
        "source": "webhook",
        "received_at": at,
        "recorded_at": at,
        "attempts": 1,
    }


@pytest.fixture
def flow(engine):
    return Flow(engine)


def by_minutes_ago(read):
    return [(each["events"], each["dead_letters"]) for each in reversed(read["minutes"])]


def test_the_hour_is_counted_by_minute_and_goes_on(engine, flow, monkeypatch):
    monkeypatch.setattr("workers.observe.remembering.time.monotonic", iter(range(0, 1000, 10)).__next__)
    now = datetime.now(UTC)
    rows = [event(number, now - timedelta(minutes=ago)) for number, ago in enumerate((0, 0, 1, 58, 90))]
    with engine.begin() as connection:
        connection.execute(processed_events.insert(), rows)
        connection.execute(dead_letters.insert(), [letter(1, "not_json", now - timedelta(minutes=1))])

    first = by_minutes_ago(flow.read())
    with engine.begin() as connection:
        connection.execute(processed_events.insert(), [event(9, now, took_ms=40)])
        connection.execute(sa.delete(processed_events).where(processed_events.c.message_id == "m-3"))
    second = flow.read()

    # A minute may pass between writing and reading: then everything stands one minute further back.
    shift = first.index((1, 1)) - 1
    assert first[shift] == (2, 0)
    assert sum(events for events, _ in first) == 4
    assert by_minutes_ago(second)[shift : shift + 2] == [(3, 0), (1, 1)]
    assert sum(events for events, _ in by_minutes_ago(second)) == sum(events for events, _ in first) + 1
    assert 20 <= second["median_ms"] <= second["p95_ms"] <= 45


def test_while_the_database_is_away_the_page_says_so_and_nothing_fails():
    engine = make_engine("postgresql+psycopg://nobody@127.0.0.1:9/none")
    client = ops_app(ServiceCollector(engine, None), Flow(engine), Edges(engine)).test_client()

    state = client.get("/ops/state").get_json()

    assert [each["alert"] for each in state["troubles"]] == ["OpenMessagingDatabaseAway"]
    assert len(state["flow"]["minutes"]) == 60


class Depths:
    """A broker that tells these depths."""

    def read(self):
        return {"open-messaging.events": 318, "open-messaging.dead-letters": 7, "open-messaging.unrouted": 0}


@pytest.fixture
def busy(migrated_sqlite_url):
    """An hour of a service that works and needs a look."""
    now = datetime.now(UTC)
    chance = random.Random(7)
    engine = make_engine(migrated_sqlite_url)
    rates = [chance.randint(30, 60) if minute > 12 else chance.randint(70, 110) for minute in range(60)]
    ago = [minute + chance.random() for minute, rate in enumerate(rates) for _ in range(rate)]
    events = [
        event(number, now - timedelta(minutes=each), took_ms=chance.randint(6, 60))
        for number, each in enumerate(sorted(ago, reverse=True))
    ]
    codes = ["handler_failed"] * 4 + ["unknown_event_type"] * 2 + ["not_json"]
    letters = [letter(n, code, now - timedelta(minutes=3 + 6 * n)) for n, code in enumerate(codes)]
    with engine.begin() as connection:
        connection.execute(processed_events.insert(), events)
        connection.execute(dead_letters.insert(), letters)
        edges = [answers("vm-1", now), answers("vm-2", now, status_401=12)]
        connection.execute(edge_statistics.insert(), edges)
        connection.execute(conversations.insert(), [conversation(n, now) for n in range(9)])
        connection.execute(
            destinations.insert(), [destination(name, now) for name in ("analytics", "crm", "routing")]
        )
        connection.execute(deliveries.insert(), [delivery(n, now) for n in range(40)])
        for name, figures in {
            "intake vm-1 1": {"processed": 2210, "duplicates": 31, "dead_lettered": 4},
            "intake vm-1 2": {"processed": 1874, "duplicates": 12, "dead_lettered": 3},
            "settle vm-1 1": {},
            "deliver vm-1 1": {
                "delivered": {"analytics": 4050, "routing": 388},
                "failed": {"crm": 36},
                "down": {"analytics": 0, "crm": 1, "routing": 0},
            },
        }.items():
            role, _, worker = name.partition(" ")
            us = round(datetime.now(UTC).timestamp() * 1_000_000)
            note_worker(connection, role, worker, started_us=us, now_us=us, figures=figures)
    yield engine
    engine.dispose()


def conversation(number, now):
    return {
        "conversation_id": f"c-{number}",
        "status": "started",
        "routing_sequence": 0,
        "event_count": 1,
        "message_count": 1,
        "first_event_at": now,
        "last_event_at": now,
        "window_opened_at": now,
        "updated_at": now,
    }


def answers(edge, now, **refused):
    """Return a minute of an edge process."""
    refusals = dict.fromkeys(("status_401", "status_413", "status_429", "status_503", "other_refusals"), 0)
    return {
        "process": f"{edge} 1",
        "began_at": now - timedelta(minutes=2),
        "edge": edge,
        "duration_us": 60_000_000,
        "answered": 1500,
        "within_10_ms": 1400,
        "within_100_ms": 1494,
        "within_1_s": 1500,
        "within_3_s": 1500,
        "within_10_s": 1500,
        "longest_us": 310_000,
        **refusals,
        **refused,
    }


def destination(name, now):
    return {"name": name, "registered_at": now}


def delivery(number, now):
    return {
        "outbox_id": number,
        "destination": "crm",
        "conversation_id": "c-1",
        "due_at": now - timedelta(minutes=9),
        "attempts": 3,
    }


@pytest.fixture(scope="module")
def browser():
    with chromium() as running:
        yield running


@pytest.fixture
def open_page(browser, busy):
    with (
        serve_app(ops_app(ServiceCollector(busy, Depths()), Flow(busy), Edges(busy))) as url,
        opening(browser, url) as open_with,
    ):
        yield open_with


def keep_picture(page, name):
    """Take the pictures that docs/operations.md shows, where OM_TEST_PICTURES names their folder."""
    if folder := os.environ.get("OM_TEST_PICTURES"):
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)


def test_it_says_what_flows_what_is_stuck_and_since_when(open_page):
    page = open_page(viewport=SCREEN)

    expect(page.locator("#verdict")).to_have_text("Something stands still")
    expect(page.locator("#troubles li")).to_have_count(3)
    expect(page.locator("#troubles")).to_contain_text("crm is not told of events.")
    expect(page.locator("#troubles")).to_contain_text("for 9 min")
    expect(page.locator("#troubles")).to_contain_text("7 dead letters wait for a person.")
    expect(page.locator("#chart rect.bar")).to_have_count(60)
    expect(page.locator("#letters tr", has_text="handler_failed")).to_contain_text("4")
    expect(page.locator("#destinations tr", has_text="crm").locator(".badge")).to_have_text("down")
    expect(page.locator("#workers tr", has_text="vm-1 1").first).to_contain_text("36 failed")
    expect(page.locator("#waiting tr", has_text="Queue events")).to_contain_text("318")
    expect(page.locator("#edges tr", has_text="vm-2")).to_contain_text("99.6 %12")
    keep_picture(page, "ops")


def test_it_fits_a_phone_in_the_dark(open_page):
    page = open_page(viewport=PHONE, color_scheme="dark")

    expect(page.locator("#workers tr")).to_have_count(5)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    keep_picture(page, "ops-phone")


def test_it_tells_when_nobody_answers_any_more(open_page):
    page = open_page(viewport=SCREEN)
    expect(page.locator("#chart rect.bar")).to_have_count(60)

    page.evaluate("window.fetch = () => Promise.reject(new Error('away')); refresh()")

    expect(page.locator("#verdict")).to_have_text("om-observe does not answer")
    expect(page.locator("#chart rect.bar")).to_have_count(60)
