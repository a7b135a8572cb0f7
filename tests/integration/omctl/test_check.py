"""omctl check against real servers."""

import json

import pytest
from click.testing import CliRunner

from messaging.admin import broker_session, set_up
from omctl.connect.prepare import migrate
from omctl.look.broker import check_management
from omctl.look.check import check
from omctl.look.edge import check_edge
from omctl.look.findings import Level
from simulator.serving import serve_app
from workers.db.engine import make_engine
from workers.db.migrations import schema
from workers.db.models import drift
from workers.db.stats import CLOCK_AHEAD, record_worker_report

SECRET = "constructed-secret-0123456789"


@pytest.fixture
def environment(rabbitmq, vhost, migrated_sqlite_url, tmp_path):
    """The settings of a prepared service whose edge does not run."""
    with broker_session((vhost.amqp_url,), client_name="test") as connection:
        set_up(connection)
    return {
        "OM_AMQP_URL": vhost.amqp_url,
        "OM_MANAGEMENT_URL": rabbitmq.management_url,
        "OM_DATABASE_URL": migrated_sqlite_url,
        "OM_STATE_DIRECTORY": str(tmp_path),
        "OM_WEBHOOK_SECRETS": SECRET,
        "OM_BIND": "127.0.0.1:1",
    }


def run(environment, *arguments):
    result = CliRunner().invoke(check, ["--json", *arguments], env=environment, catch_exceptions=False)
    return result, json.loads(result.output)["findings"]


def problems(findings):
    return [(finding["area"], finding["subject"]) for finding in findings if finding["level"] == "problem"]


@pytest.mark.parametrize(
    ("changes", "role", "needs_edge"),
    [
        ({}, (), True),
        # Workers alone need no secrets, an edge alone no database.
        ({"OM_WEBHOOK_SECRETS": None}, ("--role", "worker"), False),
        ({"OM_DATABASE_URL": "of another host"}, ("--role", "edge"), True),
    ],
)
def test_a_stopped_edge_is_the_only_problem_if_the_host_needs_one(environment, changes, role, needs_edge):
    result, findings = run({**environment, **changes}, *role)
    expected = [("edge", "http://127.0.0.1:1/health/ready")] if needs_edge else []
    assert (problems(findings), result.exit_code) == (expected, int(needs_edge))


def test_a_missing_queue_and_a_missing_table_are_problems(environment):
    with broker_session((environment["OM_AMQP_URL"],), client_name="test") as broker:
        broker.channel().queue_delete("open-messaging.dead-letters")
    engine = make_engine(environment["OM_DATABASE_URL"])
    with engine.begin() as connection:
        drift.drop(connection)
    engine.dispose()
    _, findings = run(environment)
    queue = "queue open-messaging.dead-letters"
    assert {("broker", queue), ("management", queue), ("database", "tables")} <= set(problems(findings))


def test_a_host_with_a_wrong_clock_is_a_problem(environment):
    engine = make_engine(environment["OM_DATABASE_URL"])
    with engine.begin() as connection:
        for host, ahead in (("slow.example", -7.0), ("right.example", 0.1)):
            record_worker_report(
                connection, "intake", f"{host} 1", started_us=1, now_us=1, figures={CLOCK_AHEAD: ahead}
            )
    engine.dispose()
    _, findings = run(environment)
    levels = {finding["subject"]: finding["level"] for finding in findings}
    assert {subject: level for subject, level in levels.items() if subject.startswith("clock")} == {
        "clock of right.example": "ok",
        "clock of slow.example": "problem",
        "clock of this host": "ok",
    }


@pytest.mark.parametrize("command", [check, migrate])
@pytest.mark.parametrize("folder", [".", "versions"])
def test_an_installation_without_migrations_is_an_error(environment, monkeypatch, tmp_path, command, folder):
    """Alembic would report an empty database as up to date."""
    (tmp_path / folder).mkdir(exist_ok=True)
    monkeypatch.setattr(schema, "DIRECTORY", tmp_path)
    result = CliRunner().invoke(command, ["--json"], env=environment)
    assert result.exit_code == 1
    assert "no migrations are installed" in result.output or "no migrations" in str(result.exception)


@pytest.mark.parametrize("body", ["no JSON", "[]"])
def test_another_program_at_the_address_of_the_edge_or_the_management_api_is_a_problem(body):
    def answer(_environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [body.encode()]

    with serve_app(answer) as url:
        [edge] = check_edge(url.removeprefix("http://"))
        [api] = check_management((url.replace("//", "//u:p@"),), ("amqp://h/v",))
    assert (edge.level, edge.text) == (Level.PROBLEM, "answers something that is not a report")
    assert (api.level, api.text) == (Level.PROBLEM, "answers something else")


def test_contradictory_settings_are_reported(environment):
    _, findings = run(environment | {"OM_QUEUE_DEPTH_LOW": "9", "OM_QUEUE_DEPTH_HIGH": "5"})
    advice = {(finding["area"], finding["subject"]): finding["advice"] for finding in findings}
    assert "OM_QUEUE_DEPTH_LOW" in advice["settings", "edge"]
