"""From a real service, Prometheus gets every metric that we name, and its alerts fire during real faults."""

import json
import re
import signal
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, update

from tests.alerts.scaled import Prometheus
from tests.rows import make_row
from tests.servers import LOOPBACK, ServerProcess, ensure_prometheus, free_port
from tests.services import post, running
from tests.waiting import wait_until
from workers.db.engine import make_engine
from workers.db.models import conversations, deliveries, destinations, reconciliations
from workers.db.stats import delete_worker_report, record_worker_report

pytestmark = [
    pytest.mark.parametrize("whole_service", ["sqlite"], indirect=True),
    # The test starts six processes, which takes time on a busy machine.
    pytest.mark.timeout(600),
]

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "open-messaging.rules.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "open-messaging.json"
ON_A_CLUSTER = "om_edge_majority_seen_age_seconds"
SECONDS = 60.0


@pytest.fixture
def observer(whole_service, tmp_path):
    """Run om-observe on the service's tables, and yield its address."""
    bind = f"{LOOPBACK}:{free_port()}"
    with running(ServerProcess("observe", tmp_path / "observe.log")) as process:
        environment = whole_service.environment | {
            "OM_METRICS_BIND": bind,
            "OM_CANARY_URL": whole_service.edge.url,
        }
        process.launch(
            [sys.executable, "-m", "workers", "observe"], environment=environment, directory=tmp_path
        )
        process.wait_until(lambda: "metrics_served" in (tmp_path / "observe.log").read_text(), timeout=30.0)
        yield bind


@pytest.fixture
def prometheus(whole_service, observer, tmp_path):
    """Run a Prometheus that evaluates our rules every second."""
    ensure_prometheus()
    # The alerts wait for two seconds instead of minutes; the ranges in their expressions stay the same.
    shipped = RULES.read_text().replace("interval: 1m", "interval: 1s")
    (tmp_path / "rules.yml").write_text(re.sub(r"for: \w+", "for: 2s", shipped))
    targets = [f"{LOOPBACK}:{whole_service.edge.port}", observer]
    configuration = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yml"],
        "scrape_configs": [{"job_name": "open-messaging", "static_configs": [{"targets": targets}]}],
    }
    # A JSON document is also a YAML document.
    (tmp_path / "prometheus.yml").write_text(json.dumps(configuration))
    scraped = 'count_over_time(up{job="open-messaging"}[1m]) >= 3 and up == 1'
    with running(Prometheus(tmp_path)) as process:
        command = ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=tsdb"]
        command += [f"--web.listen-address={process.address}"]
        process.launch(command, environment=whole_service.environment, directory=tmp_path)
        process.wait_until(lambda: process.has("query", query=scraped, least=2), timeout=SECONDS)
        yield process


def make_history(service):
    """Insert one row of each kind that a longer run would leave in the database."""
    now = datetime.now(UTC)
    now_us = round(now.timestamp() * 1_000_000)
    engine = make_engine(service.environment["OM_DATABASE_URL"])
    with engine.begin() as connection:
        closes_at = now + timedelta(days=1)
        window = {"status": "started", "window_opened_at": now, "window_closes_at": closes_at}
        connection.execute(conversations.insert(), make_row(conversations, conversation_id="open", **window))
        connection.execute(destinations.insert(), make_row(destinations, name="crm"))
        delivery = make_row(deliveries, outbox_id=-1, destination="crm", due_at=now)
        connection.execute(deliveries.insert(), delivery)
        comparison = make_row(reconciliations, started_by="timer", finished_at=now)
        connection.execute(reconciliations.insert(), comparison)
        figures = {"delivered": {"crm": 3}, "failed": {"crm": 1}, "down": {"crm": 0}}
        record_worker_report(connection, "deliver", "vm 1", started_us=now_us, now_us=now_us, figures=figures)
    engine.dispose()


def end_history(service):
    """Change the rows of `make_history` that would make alerts fire in the next test, minutes later."""
    engine = make_engine(service.environment["OM_DATABASE_URL"])
    with engine.begin() as connection:
        is_inserted = conversations.c.conversation_id == "open"
        closed = {"window_opened_at": None, "window_closes_at": None}
        connection.execute(update(conversations).where(is_inserted).values(closed))
        connection.execute(delete(deliveries).where(deliveries.c.destination == "crm"))
        delete_worker_report(connection, "deliver", "vm 1")
    engine.dispose()


def expressions():
    """Return (panel title, expression) for each expression of the dashboard, as Grafana would query it."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [
        (panel["title"], target["expr"].replace("$__rate_interval", "1m"))
        for panel in panels
        for target in panel.get("targets", ())
    ]


def catalogued():
    return set(re.findall(r"^\| `(om_\w+)`", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE))


def test_the_exported_metrics_match_the_dashboard_the_rules_and_the_catalogue(whole_service, prometheus):
    make_history(whole_service)
    for number in range(20):
        event = {
            "eventType": "openmessaging:conversation:new",
            "conversationId": f"prometheus-{number}",
            "timestamp": datetime.now(UTC).isoformat(),
        }
        assert whole_service.send(json.dumps(event).encode()) == 200
    assert whole_service.send(b"no JSON") == 200
    assert post(whole_service.edge.url, b"{}", X_Hub_Signature_256="sha256=forged").status_code == 401
    whole_service.wait_for("SELECT 1 FROM dead_letters")
    unanswered = [each for each in expressions() if ON_A_CLUSTER not in each[1]]
    deadline = time.monotonic() + SECONDS
    while unanswered and time.monotonic() < deadline:
        unanswered = [each for each in unanswered if not prometheus.ask("query", query=each[1])["result"]]
        time.sleep(0.5)
    assert unanswered == []
    for title, expression in expressions():
        assert set(re.findall(r"\bom_\w+", expression)) <= catalogued(), title
    rules = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
    assert {rule["name"]: rule["health"] for rule in rules if rule["health"] != "ok"} == {}
    names = prometheus.ask("label/__name__/values")
    exported = {re.sub(r"_(bucket|sum|count)$", "", name) for name in names if name.startswith("om_")}
    assert catalogued() - exported == {ON_A_CLUSTER, "om_edge_platform_list_age_seconds"}
    assert {name for name in exported - catalogued() if not name.endswith("_created")} == set()
    end_history(whole_service)


def test_alerts_fire_in_real_faults_and_none_fires_before_them(whole_service, prometheus):
    def fires(*names):
        return set(names) <= prometheus.firing()

    def end(process):
        process.end(signal.SIGTERM, timeout=30.0)

    wait_until(
        lambda: prometheus.ask("query", query="count_over_time(ALERTS_FOR_STATE[1m]) or vector(0)")["result"]
    )
    # The test above has left a dead letter.
    assert prometheus.fired(3600) <= {"DeadLetters"}
    # The alert must fire although these are the first refusals since the edge started.
    for _ in range(20):
        assert post(whole_service.edge.url, b"{}", X_Hub_Signature_256="sha256=forged").status_code == 401
    wait_until(lambda: fires("Unauthorised"), SECONDS)
    # Without a worker, no event reaches the database, but the queue is far too short to count as deep.
    end(whole_service.worker)
    wait_until(lambda: fires("QueueNotDrained", "Canary"), 2 * SECONDS)
    end(whole_service.edge)
    wait_until(lambda: fires("EdgeDown"), SECONDS)
