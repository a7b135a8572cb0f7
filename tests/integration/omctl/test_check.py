"""omctl check runs against real servers."""

import json
import re
import socket

import pytest
import requests
from click.testing import CliRunner

from messaging.admin import broker_session, set_up
from omctl.connect.prepare import migrate
from omctl.installing.steps import shipped
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
    """The settings of a service with queues and tables whose edge is not running."""
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
        # A host with only workers needs no secrets, and a host with only an edge needs no database.
        ({"OM_WEBHOOK_SECRETS": None}, ("--role", "worker"), False),
        ({"OM_DATABASE_URL": "of another host"}, ("--role", "edge"), True),
    ],
)
def test_a_stopped_edge_is_the_only_problem_if_the_host_needs_an_edge(environment, changes, role, needs_edge):
    result, findings = run({**environment, **changes}, *role)
    expected = [("edge", "http://127.0.0.1:1/health/ready")] if needs_edge else []
    assert (problems(findings), result.exit_code) == (expected, int(needs_edge))


def test_a_broker_node_that_is_frozen_or_away_is_named_and_hides_no_queue_of_the_other_nodes(environment):
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        host, url = f"127.0.0.1:{frozen.getsockname()[1]}", environment["OM_AMQP_URL"]
        urls = f"amqp://u:hidden@{host}/v,amqp://u:hidden@127.0.0.1:1/v,{url}"
        _, findings = run(environment | {"OM_AMQP_URL": urls}, "--role", "worker")
    nodes = {one["subject"]: one for one in findings if one["area"] == "broker"}
    away = nodes["connection at amqp://127.0.0.1:1/v"]
    assert nodes[f"check at amqp://{host}/v"]["level"] == away["level"] == "problem"
    assert "no broker" not in away["advice"]
    assert nodes[f"connection at amqp://{url.rpartition('@')[2]}"]["level"] == "ok"
    assert nodes["queue open-messaging.dead-letters"]["level"] == "ok"
    assert "hidden" not in str(findings)


@pytest.fixture
def edge_user(rabbitmq, vhost):
    """The name of a user with the edge's tags and rights; the name is also the user's password."""
    definitions = json.loads(shipped("rabbitmq/definitions.json"))
    [user] = [user for user in definitions["users"] if user["name"].endswith("-edge")]
    [rights] = [rights for rights in definitions["permissions"] if rights["user"] == user["name"]]
    api, name = f"{rabbitmq.management_url}/api", f"{vhost.name}-edge"
    account = {"password": name, "tags": ",".join(user["tags"])}
    requests.put(f"{api}/users/{name}", json=account, timeout=5).raise_for_status()
    requests.put(f"{api}/permissions/{vhost.name}/{name}", json=rights, timeout=5).raise_for_status()
    yield name
    requests.delete(f"{api}/users/{name}", timeout=5).raise_for_status()


def test_the_rights_of_an_edge_suffice_to_check_its_host(environment, edge_user):
    for name in ("OM_AMQP_URL", "OM_MANAGEMENT_URL"):
        environment[name] = re.sub("//.*@", f"//{edge_user}:{edge_user}@", environment[name])
    _, findings = run(environment, "--role", "edge")
    assert problems(findings) == [("edge", "http://127.0.0.1:1/health/ready")]


def test_check_reports_a_missing_queue_and_a_missing_table(environment):
    with broker_session((environment["OM_AMQP_URL"],), client_name="test") as broker:
        broker.channel().queue_delete("open-messaging.dead-letters")
    engine = make_engine(environment["OM_DATABASE_URL"])
    with engine.begin() as connection:
        drift.drop(connection)
    engine.dispose()
    _, findings = run(environment)
    queue = "queue open-messaging.dead-letters"
    assert {("broker", queue), ("management", queue), ("database", "tables")} <= set(problems(findings))


def test_check_reports_a_host_whose_clock_is_wrong(environment):
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
def test_check_and_migrate_report_missing_migrations(environment, monkeypatch, tmp_path, command, folder):
    """Without the migrations, Alembic would report an empty database as up to date."""
    (tmp_path / folder).mkdir(exist_ok=True)
    monkeypatch.setattr(schema, "DIRECTORY", tmp_path)
    result = CliRunner().invoke(command, ["--json"], env=environment)
    assert result.exit_code == 1
    assert "no migrations are installed" in result.output or "no migrations" in str(result.exception)


@pytest.mark.parametrize("body", ["no JSON", "[]"])
def test_check_reports_another_program_at_the_address_of_the_edge_or_the_management_api(body):
    def answer(_environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [body.encode()]

    with serve_app(answer) as url:
        [edge] = check_edge(url.removeprefix("http://"))
        [api] = check_management((url.replace("//", "//u:p@"),), ("amqp://h/v",))
    assert (edge.level, edge.text) == (Level.PROBLEM, "does not answer with the edge's report")
    assert (api.level, api.text) == (Level.PROBLEM, "does not answer with JSON")


def test_a_guest_user_with_its_initial_password_is_reported(environment):
    """The tests' broker has a guest user with the password that RabbitMQ sets initially."""
    _, findings = run(environment)
    [guest] = [finding for finding in findings if finding["subject"] == "user guest"]
    assert (guest["level"], "administrator" in guest["text"]) == ("warning", True)


def test_contradictory_settings_are_reported(environment):
    _, findings = run(environment | {"OM_QUEUE_DEPTH_LOW": "9", "OM_QUEUE_DEPTH_HIGH": "5"})
    advice = {(finding["area"], finding["subject"]): finding["advice"] for finding in findings}
    assert "OM_QUEUE_DEPTH_LOW" in advice["settings", "edge"]
