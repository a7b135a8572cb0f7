"""omctl smoke runs against the simulated platform, a real edge and a real worker."""

import json
import subprocess
import sys
from http import HTTPStatus

import pytest

from omctl.connect.smoke import SmokeTest
from simulator.platform import Organisation, create_platform
from simulator.serving import serve_app
from tests.integration.workers.conftest import CLIENT_SECRET
from tests.services import SECRET, Edge, IntakeWorker, Service, declare_topology, running
from workers.genesys import PlatformRefusedError

TYPES = ("openmessaging:conversation:new", "openmessaging:conversation:message")
FILE = """
url = "{url}"
[integration]
name = "In production"
[webhook]
name = "In production"
"""
FILTER = '[[webhook.filters]]\nevent_type = "{}"\n'
NAME = "Smoke test"


@pytest.fixture
def organisation():
    organisation = Organisation("client", CLIENT_SECRET)
    yield organisation
    organisation.outbound.stop()


@pytest.fixture(scope="module")
def service(rabbitmq, tmp_path_factory):
    """Yield the settings of a running edge and intake worker."""
    directory = tmp_path_factory.mktemp("smoke")
    with rabbitmq.make_vhost() as vhost:
        declare_topology(vhost.amqp_url)
        unsigned = {
            "OM_ALLOW_UNSIGNED": "true",
            "OM_REQUIRED_HEADERS": "X-Webhook-Source=constructed-value-01",
        }
        database_url = f"sqlite:///{directory / 'events.sqlite3'}"
        unsigned["OM_DATABASE_URL"] = database_url
        service = Service(directory, vhost.amqp_url, rabbitmq.management_url, settings=unsigned)
        subprocess.run([sys.executable, "-m", "omctl", "migrate"], env=service.environment(), check=True)
        with running(Edge(service)) as edge, running(IntakeWorker(service, database_url)) as worker:
            edge.start()
            worker.start()
            file = directory / "registration.toml"
            file.write_text(FILE.format(url=edge.url) + "".join(FILTER.format(kind) for kind in TYPES))
            yield service.environment() | {"OM_REGISTRATION": str(file), "OM_WEBHOOK_SECRETS": SECRET}


@pytest.fixture
def smoke(service, organisation):
    """Return a function that runs the command and returns its exit status and its steps by name."""

    def run(app, *arguments):
        with serve_app(app) as url:
            environment = service | {
                "OM_GENESYS_API_URL": url,
                "OM_GENESYS_CLIENT_ID": "client",
                "OM_GENESYS_CLIENT_SECRET": CLIENT_SECRET,
            }
            command = [sys.executable, "-m", "omctl", "smoke", "--integration", NAME, "--json", *arguments]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.stdout, done.stderr
        steps = json.loads(done.stdout)["steps"]
        return done.returncode, {step["name"]: (step["result"], step["detail"]) for step in steps}

    return run


def results(steps):
    return {name: result for name, (result, _) in steps.items()}


def test_omctl_smoke_sends_a_message_through_the_platform_and_leaves_no_data_behind(smoke, organisation):
    status, steps = smoke(create_platform(organisation))
    assert (status, set(results(steps).values())) == (0, {"ok"}), steps
    assert list(steps) == [
        "register the webhook",
        "register the integration",
        "send a message",
        "wait for the message",
        "wait for the receipt",
        "end the conversation",
        "erase the texts",
        "remove the integration",
        "remove the webhook",
    ]
    assert "processed" in steps["wait for the receipt"][1]
    assert steps["erase the texts"][1] != "0 rows"
    assert (organisation.registrations.webhooks, organisation.registrations.integrations) == ({}, {})
    [conversation] = organisation.conversations.values()
    assert conversation.end_time


def test_omctl_smoke_works_on_a_platform_without_the_guides_webhooks(smoke, organisation):
    app = create_platform(organisation)
    app.before_request_funcs.setdefault(None, []).append(refuse_the_guides_webhooks)
    status, steps = smoke(app)
    assert status == 0, steps
    assert results(steps).pop("register the webhook") == "missing"
    assert (results(steps)["wait for the receipt"], "wait for the message" in steps) == ("ok", False)
    assert organisation.registrations.integrations == {}


def refuse_the_guides_webhooks():
    from flask import abort, request  # noqa: PLC0415

    return abort(404) if request.path.startswith("/api/v2/integrations/webhooks") else None


def test_omctl_smoke_does_not_change_existing_registrations_of_the_same_name(smoke, organisation):
    existing = {
        "name": NAME,
        "target": {"type": "http", "url": "https://api.example/hook"},
        "eventFilters": [],
    }
    webhook = organisation.registrations.put_webhook(existing)
    status, steps = smoke(create_platform(organisation), "--dry-run")
    assert (status, results(steps)) == (
        1,
        {"look for the webhook": "failed", "look for the integration": "ok"},
    )
    status, steps = smoke(create_platform(organisation))
    assert (status, results(steps)["register the webhook"]) == (1, "failed")
    assert list(organisation.registrations.webhooks) == [webhook["id"]]
    assert results(steps)["remove the integration"] == "ok"


def test_omctl_smoke_reports_a_missing_webhook_and_undoes_its_changes(smoke, organisation):
    organisation.outbound.send = lambda *_: None
    status, steps = smoke(create_platform(organisation), "--seconds", "1")
    assert (status, results(steps)["wait for the receipt"]) == (1, "failed")
    assert "omctl find" in steps["wait for the receipt"][1]
    assert (organisation.registrations.webhooks, organisation.registrations.integrations) == ({}, {})


def test_control_characters_of_the_platforms_answer_are_printed_escaped(capsys):
    def refuse():
        raise PlatformRefusedError(HTTPStatus.CONFLICT, "taken\x1b[2J", "an-id")

    assert not SmokeTest(None, None, 1.0).attempt("send", refuse)
    assert r"taken\x1b[2J" in capsys.readouterr().out
