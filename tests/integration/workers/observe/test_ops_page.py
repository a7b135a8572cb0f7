"""The status page counts events with both databases and works in a real browser."""

import os
import random
import signal
import sys
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from playwright.sync_api import expect

from messaging.clock import SystemClock
from messaging.topology import QUEUES
from simulator.serving import serve_app
from tests.browser import MILLISECONDS, PHONE, SCREEN, chromium, find_violations, opening, press_until_focused
from tests.fakes.clock import MovedClock
from tests.integration.workers.conftest import ON_SQLITE
from tests.rows import make_row
from tests.servers import LOOPBACK, ServerProcess, free_port
from tests.services import Service, running
from workers.db.engine import DatabaseClock, make_engine
from workers.db.models import (
    conversations,
    dead_letters,
    deliveries,
    destinations,
    edge_statistics,
    processed_events,
)
from workers.db.stats import record_worker_report
from workers.observe import ActivityReader, Probe, Probes, make_app, page, read_metrics
from workers.parsing import moment_of


def event(number, at, *, took_ms=20):
    return make_row(
        processed_events,
        idempotency_key=f"k-{number}",
        outcome="processed",
        event_type="openmessaging:conversation:message",
        received_at=at - timedelta(milliseconds=took_ms),
        processed_at=at,
        message_id=f"m-{number}",
    )


def dead_letter(number, code, at):
    return make_row(dead_letters, message_id=f"l-{number}", code=code, recorded_at=at)


def by_minutes_ago(activity):
    return [(minute["events"], minute["dead_letters"]) for minute in reversed(activity["minutes"])]


def test_the_last_hour_is_counted_by_minute_and_the_counts_are_kept_current(engine):
    reader = ActivityReader(engine, SystemClock())
    now = datetime.now(UTC)
    rows = [event(number, now - timedelta(minutes=ago)) for number, ago in enumerate((0, 0, 1, 55, 90))]
    with engine.begin() as connection:
        connection.execute(processed_events.insert(), rows)
        connection.execute(dead_letters.insert(), [dead_letter(1, "not_json", now - timedelta(minutes=1))])

    first = by_minutes_ago(reader.read())
    with engine.begin() as connection:
        connection.execute(processed_events.insert(), [event(9, now, took_ms=40)])
        connection.execute(sa.delete(processed_events).where(processed_events.c.message_id == "m-3"))
    second = reader.read()

    # If a new minute begins between writing and reading, all counts move back by one minute.
    assert first[first.index((1, 1)) - 1] == (2, 0)
    assert sum(events for events, _ in first) == 4
    latest = by_minutes_ago(second)
    assert latest[latest.index((1, 1)) - 1] == (3, 0)
    assert sum(events for events, _ in latest) == 5
    assert 20 <= second["median_ms"] <= second["p95_ms"] <= 45
    assert [row["id"] for row in second["events"]][:2] == ["m-9", "m-4"]
    assert [row["id"] for row in second["dead_letters"]] == ["l-1"]


@ON_SQLITE
def test_counting_resumes_after_a_failure_where_it_stopped(engine):
    counted = []

    @sa.event.listens_for(engine, "before_cursor_execute")
    def fail_once(_connection, _cursor, statement, *_):
        counted.append("count(" in statement)
        if counted[-1] and sum(counted) == 21:
            raise TimeoutError

    reader = ActivityReader(engine, SystemClock())
    with pytest.raises(TimeoutError):
        reader.read()
    reader.read()

    # Two queries count each minute. The failed run counted ten minutes, and a new minute might have begun.
    assert sum(counted) - 21 in {100, 102}


def test_the_given_clock_and_not_the_hosts_clock_determines_the_last_hour(engine):
    """On a host whose clock is ahead, the next minutes would be counted before they begin, and only once."""
    clock = MovedClock()
    # A clock might get the database's time only when a connection is opened.
    sa.event.listen(engine, "checkout", lambda *_: setattr(clock, "ahead_us", -600_000_000))
    with engine.begin() as connection:
        at = moment_of(clock.now_us())
        connection.execute(processed_events.insert(), [event(1, at)])
    clock.ahead_us = 0
    counts = by_minutes_ago(ActivityReader(engine, clock).read())
    assert (1, 0) in counts[:2]


def test_an_edge_that_has_stopped_stays_listed_with_its_age(engine):
    now = datetime.now(UTC)
    with engine.begin() as connection:
        rows = [answers("vm-1", now), answers("vm-2", now, began_at=now - timedelta(hours=3))]
        connection.execute(edge_statistics.insert(), rows)
    one, other = ActivityReader(engine, SystemClock()).read()["edges"]
    assert (one["edge"], one["answered"], one["percent_within_100_ms"]) == ("vm-1", 1500, 99.6)
    assert (other["edge"], other["answered"], other["percent_within_100_ms"]) == ("vm-2", 0, None)
    assert 3 * 3600 <= other["last_s"] < 3 * 3600 + 60


DEPTHS = dict.fromkeys(QUEUES, 0) | {"open-messaging.events": 318, "open-messaging.dead-letters": 7}
HEALTH = {"status": "ready", "problems": []}


def app_on(engine, **changed):
    """Return the page's application; by default the broker and the edge answer."""
    queries = {
        "metrics": lambda: read_metrics(engine, DatabaseClock(engine)),
        "activity": ActivityReader(engine, SystemClock()).read,
        "broker": lambda: None,
        "depths": lambda: DEPTHS,
        "edge": lambda: HEALTH,
        "canary": lambda: 0.02,
    }
    probes = {name: query and Probe(name, query) for name, query in (queries | changed).items()}
    # Read the canary's state now, because the page itself does not wait for it.
    probes["canary"].read(5.0)
    return make_app(Probes(**probes))


def test_the_documentation_is_served_with_the_page_if_it_was_built(
    migrated_sqlite_url, tmp_path, monkeypatch
):
    client = app_on(make_engine(migrated_sqlite_url)).test_client()
    monkeypatch.setattr(page, "SITE", tmp_path)
    assert client.get("/docs/").status_code == 404
    (tmp_path / "index.html").write_text("the start")
    with client.get("/docs/") as site, client.get("/ops") as status_page:
        assert site.get_data(as_text=True) == "the start"
        assert "unsafe-inline" in site.headers["Content-Security-Policy"]
        assert "unsafe-inline" not in status_page.headers["Content-Security-Policy"]


def test_the_page_names_the_command_that_creates_missing_tables(sqlite_url):
    state = app_on(make_engine(sqlite_url)).test_client().get("/ops/state").get_json()
    [text] = [alert["text"] for alert in state["alerts"] if alert["name"] == "OpenMessagingDatabaseAway"]
    assert "omctl migrate" in text


@pytest.fixture
def busy(migrated_sqlite_url):
    """The address of a database that a busy service has used for an hour, with some problems."""
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
    records = [dead_letter(n, code, now - timedelta(minutes=3 + 6 * n)) for n, code in enumerate(codes)]
    with engine.begin() as connection:
        connection.execute(processed_events.insert(), events)
        connection.execute(dead_letters.insert(), records)
        edges = [answers("vm-1", now), answers("vm-2", now, status_401=12)]
        connection.execute(edge_statistics.insert(), edges)
        windows = [
            make_row(conversations, conversation_id=f"c-{n}", status="started", window_opened_at=now)
            for n in range(9)
        ]
        connection.execute(conversations.insert(), windows)
        names = ("analytics", "crm", "routing")
        connection.execute(destinations.insert(), [make_row(destinations, name=name) for name in names])
        due_at = now - timedelta(minutes=9)
        waiting = [make_row(deliveries, outbox_id=n, destination="crm", due_at=due_at) for n in range(40)]
        connection.execute(deliveries.insert(), waiting)
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
            record_worker_report(connection, role, worker, started_us=us, now_us=us, figures=figures)
    yield engine
    engine.dispose()


def answers(edge, now, **counts):
    """Return a row with the statistics of an edge process for one minute."""
    counts = {"answered": 1500, "within_100_ms": 1494, "began_at": now - timedelta(minutes=2)} | counts
    refused = dict.fromkeys(("status_401", "status_413", "status_429", "status_503", "other_refusals"), 0)
    return make_row(edge_statistics, process=f"{edge} 1", edge=edge, **refused | counts)


@pytest.fixture(scope="module")
def browser():
    with chromium() as running:
        yield running


@pytest.fixture
def open_page(browser, busy):
    with serve_app(app_on(busy)) as url, opening(browser, f"{url}/ops") as open_with:
        yield open_with


def keep_picture(page, name):
    """Take a screenshot for docs/operations.md if OM_TEST_PICTURES names a folder."""
    if folder := os.environ.get("OM_TEST_PICTURES"):
        page.screenshot(path=f"{folder}/{name}.png")


def test_the_page_shows_traffic_problems_and_the_next_command(open_page):
    page = open_page(viewport=SCREEN)

    expect(page.locator("#verdict")).to_have_text("Something has stopped")
    expect(page.locator("#lights li.good")).to_have_count(5)
    expect(page.locator("#alerts li")).to_have_count(3)
    expect(page.locator("#alerts")).to_contain_text("A delivery to crm is overdue.")
    expect(page.locator("#alerts")).to_contain_text("for 9 min")
    late = page.locator("#alerts li", has_text="7 dead letters wait for an operator.")
    expect(late.locator("code")).to_have_text("omctl dead-letters list")
    expect(late.locator("a")).to_have_attribute("href", "/runbook#openmessagingdeadletters")
    expect(page.locator("#chart rect.bar")).to_have_count(60)
    expect(page.locator("#codes tr", has_text="handler_failed")).to_contain_text("4")
    expect(page.locator("#destinations tr", has_text="crm").locator(".badge")).to_have_text("down")
    expect(page.locator("#workers tr")).to_have_count(5)
    expect(page.locator("#workers tr", has_text="vm-1 1").first).to_contain_text("36 failed")
    expect(page.locator("#queues tr", has_text="events")).to_contain_text("318")
    expect(page.locator("#edges tr", has_text="vm-2")).to_contain_text("99.6 %12")
    expect(page.locator("#events code")).to_have_count(50)
    expect(page.locator("#dead-letters code").first).to_have_text("omctl find l-0")
    assert page.title() == "!! Open Messaging: Something has stopped"
    assert page.evaluate("document.documentElement.scrollWidth") <= SCREEN["width"]
    keep_picture(page, "ops")

    page.set_viewport_size(PHONE)
    page.emulate_media(color_scheme="dark")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    keep_picture(page, "ops-phone")


def test_the_page_shows_values_of_failed_queries_as_unknown(browser, busy):
    with busy.begin() as connection:
        connection.execute(sa.text("DROP TABLE destinations"))
    with serve_app(app_on(busy)) as url, opening(browser, f"{url}/ops") as open_with:
        page = open_with(viewport=SCREEN)
        expect(page.locator("#destinations")).to_have_text("Unknown: the database did not answer this query.")
        expect(page.locator("#alerts")).to_contain_text("unknown: om_destination_paused.")
        expect(page.locator("#lights li.good")).to_have_count(5)


@pytest.fixture
def observer(busy, tmp_path):
    """An om-observe process on the database of *busy*, without a broker; `url` is its address."""
    bind = f"{LOOPBACK}:{free_port()}"
    settings = {"OM_DATABASE_URL": str(busy.url), "OM_METRICS_BIND": bind}
    service = Service(tmp_path, f"amqp://{LOOPBACK}:{free_port()}/", settings=settings)
    log = tmp_path / "observe.log"
    process = ServerProcess("observe", log)
    process.url = f"http://{bind}/ops"
    with running(process):
        command = [sys.executable, "-m", "workers", "observe"]
        process.launch(command, environment=service.environment(), directory=tmp_path)
        process.wait_until(lambda: "metrics_served" in log.read_text(), timeout=30.0)
        yield process
        os.killpg(process.pid, signal.SIGCONT)


def test_the_page_dims_its_values_while_its_server_is_frozen(browser, observer):
    with opening(browser, observer.url) as open_with:
        page = open_with(viewport=SCREEN)
        expect(page.locator("#chart rect.bar")).to_have_count(60, timeout=MILLISECONDS)
        with page.expect_event("requestfailed", timeout=MILLISECONDS):
            os.killpg(observer.pid, signal.SIGSTOP)
            # As when a laptop wakes up, the last answer is old, and no request has failed yet.
            page.evaluate("answered = new Date(Date.now() - 16_000)")
            expect(page.locator("#verdict")).to_have_text("om-observe does not answer")
            expect(page.locator("#lights")).to_have_text("this page cut off: nothing below is current")
            expect(page.locator("[data-part]:not(.stale)")).to_have_count(0)
            expect(page.locator("#chart rect.bar")).to_have_count(60)
        os.killpg(observer.pid, signal.SIGCONT)
        expect(page.locator("#verdict")).to_have_text("Something has stopped", timeout=MILLISECONDS)
        expect(page.locator("[data-part=activity].stale")).to_have_count(0)


def test_the_page_asks_only_once_while_an_answer_is_outstanding(open_page):
    page = open_page(viewport=SCREEN)
    expect(page.locator("#chart rect.bar")).to_have_count(60)
    asked = """async () => {
        let asked = 0;
        window.fetch = () => { asked += 1; return new Promise(() => {}); };
        while (isAsking) await new Promise((done) => setTimeout(done, 10));
        refresh(); refresh();
        return asked;
    }"""
    assert page.evaluate(asked) == 1


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ("new Response('', { status: 500 })", "om-observe answers with status 500"),
        ("new Response('{}')", "This page cannot show the answer: reload it"),
    ],
)
def test_the_page_reports_why_it_shows_no_new_values(open_page, answer, verdict):
    page = open_page(viewport=SCREEN)
    expect(page.locator("#chart rect.bar")).to_have_count(60)
    page.evaluate(f"window.fetch = async () => {answer}; refresh()")
    expect(page.locator("#verdict")).to_have_text(verdict, timeout=MILLISECONDS)
    expect(page.locator("[data-part]:not(.stale)")).to_have_count(0)


def test_the_page_does_not_call_an_unknown_part_well(browser, migrated_sqlite_url):
    engine = make_engine(migrated_sqlite_url)
    with engine.begin() as connection:
        now_us = SystemClock().now_us()
        record_worker_report(connection, "intake", "vm-1 1", started_us=now_us, now_us=now_us, figures={})
        connection.execute(edge_statistics.insert(), [answers("vm-2", datetime.now(UTC))])
    depths = {name: depth for name, depth in DEPTHS.items() if name != "open-messaging.events"}
    for changed, verdict in [
        ({"edge": None}, "Partly unknown"),
        ({"depths": lambda: depths}, "Works, needs attention"),
        ({}, "All is well"),
    ]:
        with serve_app(app_on(engine, **changed)) as url, opening(browser, f"{url}/ops") as open_with:
            page = open_with(viewport=SCREEN)
            expect(page.locator("#verdict")).to_have_text(verdict)
            shown = "unknown" if "depths" in changed else "318"
            expect(page.locator("#queues tr", has_text="events")).to_contain_text(shown)
            expect(page.locator("#destinations")).to_have_text(
                "No deliver worker has recorded a destination."
            )
            assert page.title() == f"{PREFIXES[verdict]}Open Messaging: {verdict}"
    engine.dispose()


PREFIXES = {"Partly unknown": "? ", "Works, needs attention": "! ", "All is well": ""}


@pytest.mark.parametrize("path", ["/ops", "/runbook"])
def test_the_accessibility_checker_finds_no_violation_at_any_width_or_colour_scheme(browser, busy, path):
    with serve_app(app_on(busy)) as url, opening(browser, f"{url}{path}") as open_with:
        page = open_with(viewport=SCREEN)
        if path == "/ops":
            expect(page.locator("#events code")).to_have_count(50)
        found = {
            (size["width"], scheme): find_violations(page, size, scheme)
            for size in (SCREEN, PHONE)
            for scheme in ("light", "dark")
        }
    assert found == {key: [] for key in found}


def test_the_runbook_of_an_alert_can_be_opened_with_the_keyboard(open_page):
    page = open_page(viewport=SCREEN)
    link = page.locator("#alerts a").first
    expect(link).to_be_visible()
    assert press_until_focused(page, link)
    page.keyboard.press("Enter")
    page.wait_for_url("**/runbook#*")
