"""omctl rotate-secret: the real edge, under traffic from the simulated platform."""

import json
import threading

import pytest
from click.testing import CliRunner

from omctl.connect.rotate_secret import rotate_secret
from omctl.connect.rotation import RotationError
from simulator.platform import Organisation, create_platform
from simulator.serving import serve_app
from tests.servers import LOOPBACK
from tests.services import GONE, Edge, Service, running

CLIENT_SECRET = "constructed-client-secret"
OLD = "constructed-older-secret-012345"
SECRET_FIELD = "outboundNotificationWebhookSignatureSecretToken"


class Traffic:
    """The platform's messages, one after the other; each by what the integration says at that moment."""

    def __init__(self, organisation, url):
        self._organisation = organisation
        self._url = url
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._send)

    def _send(self):
        (integration_id,) = self._organisation.registrations.integrations
        number = 0
        while not self._stopped.wait(0.01):
            number += 1
            payload = {"id": f"{number}", "type": "Text", "text": "hello"}
            self._organisation.outbound.send(integration_id, self._url, {}, payload)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stopped.set()
        self._thread.join()
        self._organisation.outbound.wait()


class Stand:
    """An edge of two processes that reads its secret from a file, registered with a platform."""

    def __init__(self, directory, platform_url):
        self.secrets = directory / "secrets"
        self.secrets.write_text(OLD)
        settings = {
            "OM_WEBHOOK_SECRETS_FILE": str(self.secrets),
            "OM_EDGE_PROCESSES": "2",
            "OM_MANAGEMENT_URL": "",
        }
        self.edge = Edge(Service(directory, GONE, settings=settings))
        del self.edge._environment["OM_WEBHOOK_SECRETS"]
        file = directory / "registration.toml"
        file.write_text(f'url = "{self.edge.url}"\n[integration]\nname = "Ingest"\n')
        self.environment = {
            "OM_GENESYS_API_URL": platform_url,
            "OM_GENESYS_CLIENT_ID": "client",
            "OM_GENESYS_CLIENT_SECRET": CLIENT_SECRET,
            "OM_REGISTRATION": str(file),
            "OM_WEBHOOK_SECRETS_FILE": str(self.secrets),
            "OM_BIND": f"{LOOPBACK}:{self.edge.port}",
        }

    def states(self):
        """Return the state of each step, as a dry run reports it."""
        steps = json.loads(self.rotate("--dry-run", "--json"))["steps"]
        return {step["step"]: step["state"] for step in steps}

    def rotate(self, *arguments):
        command = ["--quiet-seconds", "0.5", "--wait-seconds", "40", *arguments]
        result = CliRunner().invoke(rotate_secret, command, env=self.environment)
        assert OLD not in result.output
        assert not any(each in result.output for each in self.live())
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.output

    def reloading(self):
        return self.rotate("--reload", f"kill -HUP {self.edge.pid}")

    def live(self):
        return self.secrets.read_text().strip().split(",")

    def verified(self):
        return [list(each["signatures"].values()) for each in self.edge.health()["processes"]]


@pytest.fixture
def organisation():
    return Organisation("client", CLIENT_SECRET)


@pytest.fixture
def stand(organisation, tmp_path, monkeypatch):
    monkeypatch.delenv("OM_WEBHOOK_SECRETS", raising=False)
    with serve_app(create_platform(organisation)) as url:
        stand = Stand(tmp_path, url)
        integration = {"name": "Ingest", "outboundNotificationWebhookUrl": stand.edge.url, SECRET_FIELD: OLD}
        organisation.registrations.create_integration(integration)
        with running(stand.edge):
            stand.edge.start(wait_for_broker=False)
            yield stand


def states(organisation):
    return {
        (each.state, each.attempts[-1][0] if each.attempts else None)
        for each in organisation.outbound.deliveries
    }


def signing_with(organisation):
    (integration,) = organisation.registrations.integrations.values()
    return integration[SECRET_FIELD]


@pytest.mark.parametrize("shows_secrets", [True, False])
def test_under_traffic_no_event_is_refused_and_only_the_new_secret_is_left(
    stand, organisation, shows_secrets
):
    assert list(stand.states().items()) == [
        ("add", "next"),
        *((step, "to come") for step in ("spread", "switch", "watch", "drop", "settle")),
    ]
    assert stand.live() == [OLD]
    organisation.registrations.shows_secrets = shows_secrets
    with Traffic(organisation, stand.edge.url):
        stand.reloading()
    (new,) = stand.live()
    assert new != OLD
    assert signing_with(organisation) == new
    assert states(organisation) == {("answered", 200)}
    assert all(len(verified) == 1 for verified in stand.verified())


def test_without_traffic_it_waits_in_vain_and_goes_on_at_the_next_run(stand, organisation):
    with pytest.raises(RotationError, match="run the command again to continue"):
        stand.rotate("--reload", f"kill -HUP {stand.edge.pid}", "--wait-seconds", "5")
    assert len(stand.live()) == 2
    assert signing_with(organisation) == stand.live()[0]
    assert stand.states()["watch"] == "next"
    with Traffic(organisation, stand.edge.url):
        output = stand.reloading()
    assert len(stand.live()) == 1
    assert "add a new secret" not in output
    assert states(organisation) == {("answered", 200)}


def test_one_that_was_cut_short_at_the_last_step_ends_and_begins_nothing_anew(stand, organisation):
    while_there_are_two = f"grep -q , {stand.secrets} && kill -HUP {stand.edge.pid}"
    with Traffic(organisation, stand.edge.url):
        with pytest.raises(RotationError, match="command of --reload failed"):
            stand.rotate("--reload", while_there_are_two)
        (new,) = stand.live()
        assert stand.states()["settle"] == "next"
        stand.reloading()
    assert stand.live() == [new]
    assert all(len(each) == 1 for each in stand.verified())
    assert states(organisation) == {("answered", 200)}
