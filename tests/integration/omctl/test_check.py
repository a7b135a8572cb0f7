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
    """Settings of a service that is set up; its edge is not running."""
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


EDGE_AWAY = [("edge", "http://127.0.0.1:1/health/ready")]


@pytest.mark.parametrize(
    ("changes", "role", "expected"),
    [
        ({}, (), EDGE_AWAY),
        # Workers alone need no secrets, an edge alone no database.
        ({"OM_WEBHOOK_SECRETS": None}, ("--role", "worker"), []),
        ({"OM_DATABASE_URL": "of another host"}, ("--role", "edge"), EDGE_AWAY),
    ],
)
def test_a_service_without_its_edge_has_that_problem_if_it_needs_one(environment, changes, role, expected):
    result, findings = run({**environment, **changes}, *role)
    assert (problems(findings), result.exit_code) == (expected, int(bool(expected)))


def test_a_deleted_queue_is_a_problem_to_amqp_and_to_the_management_api(environment):
    with broker_session((environment["OM_AMQP_URL"],), client_name="test") as connection:
        connection.channel().queue_delete("open-messaging.dead-letters")
    _, findings = run(environment)
    subject = "queue open-messaging.dead-letters"
    assert {("broker", subject), ("management", subject)} <= set(problems(findings))


def test_a_host_whose_clock_is_wrong_is_a_problem(environment):
    engine = make_engine(environment["OM_DATABASE_URL"])
    with engine.begin() as connection:
        for host, ahead in (("slow.example", -7.0), ("right.example", 0.1)):
            record_worker_report(
                connection, "intake", f"{host} 1", started_us=1, now_us=1, figures={CLOCK_AHEAD: ahead}
            )
    engine.dispose()

    _, findings = run(environment)
    clocks = {
        finding["subject"]: finding["level"] for finding in findings if finding["subject"].startswith("clock")
    }
    assert clocks == {
        "clock of right.example": "ok",
        "clock of slow.example": "problem",
        "clock of this host": "ok",
    }


def test_a_table_that_was_dropped_is_a_problem(environment):
    engine = make_engine(environment["OM_DATABASE_URL"])
    with engine.begin() as connection:
        drift.drop(connection)
    engine.dispose()
    _, findings = run(environment)
    assert ("database", "tables") in problems(findings)


@pytest.mark.parametrize("command", [check, migrate])
def test_an_installation_without_revisions_is_never_called_up_to_date(
    environment, monkeypatch, tmp_path, command
):
    monkeypatch.setattr(schema, "DIRECTORY", tmp_path)
    result = CliRunner().invoke(command, ["--json"], env=environment)
    assert result.exit_code == 1
    assert "no migrations are installed" in result.output or "no migrations" in str(result.exception)


@pytest.mark.parametrize("body", ["no JSON", "[]"])
def test_another_program_is_not_taken_for_the_edge_or_the_management_api(body):
    def answer(_environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [body.encode()]

    with serve_app(answer) as url:
        [edge] = check_edge(url.removeprefix("http://"))
        [api] = check_management((url.replace("//", "//u:p@"),), ("amqp://h/v",))
    assert (edge.level, edge.text) == (Level.PROBLEM, "answers something that is not a report")
    assert (api.level, api.text) == (Level.PROBLEM, "answers something else")


def test_a_contradiction_of_settings_is_named(environment):
    _, findings = run(environment | {"OM_QUEUE_DEPTH_LOW": "9", "OM_QUEUE_DEPTH_HIGH": "5"})
    (refusal,) = [each for each in findings if each["subject"] == "edge" and each["area"] == "settings"]
    assert "OM_QUEUE_DEPTH_LOW" in refusal["advice"]
