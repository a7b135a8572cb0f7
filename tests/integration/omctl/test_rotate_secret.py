"""omctl rotate-secret runs with a real edge and traffic from the simulated platform."""

import json
from contextlib import contextmanager

import pytest
from click.testing import CliRunner

from omctl.connect.rotate_secret import rotate_secret
from omctl.connect.rotation import RotationError
from tests.servers import LOOPBACK
from tests.services import GONE, Edge, Service, running
from tests.waiting import working

OLD = "constructed-older-secret-012345"
SECRET_FIELD = "outboundNotificationWebhookSignatureSecretToken"


@contextmanager
def traffic(organisation, url):
    """Send messages in a thread, each signed with the current secret of the platform's integration."""

    def send(stopped):
        (integration_id,) = organisation.registrations.integrations
        number = 0
        while not stopped.wait(0.01):
            number += 1
            organisation.outbound.send(
                integration_id, url, {}, {"id": f"{number}", "type": "Text", "text": "hello"}
            )

    try:
        with working(send):
            yield
    finally:
        organisation.outbound.wait()


class Stand:
    """An edge with two processes that reads its secret from a file and is registered with the platform."""

    def __init__(self, directory, platform):
        self.secrets = directory / "secrets"
        self.secrets.write_text(OLD)
        settings = {"OM_WEBHOOK_SECRETS_FILE": str(self.secrets), "OM_EDGE_PROCESSES": "2"}
        self.edge = Edge(Service(directory, GONE, settings=settings))
        del self.edge._environment["OM_WEBHOOK_SECRETS"]
        file = directory / "registration.toml"
        file.write_text(f'url = "{self.edge.url}"\n[integration]\nname = "Ingest"\n')
        self.environment = platform | {
            "OM_REGISTRATION": str(file),
            "OM_WEBHOOK_SECRETS_FILE": str(self.secrets),
            "OM_BIND": f"{LOOPBACK}:{self.edge.port}",
        }

    def states(self):
        """Return the state of each step, as a dry run reports it."""
        steps = json.loads(self.rotate("--dry-run", "--json"))["steps"]
        return {step["step"]: step["state"] for step in steps}

    def rotate(self, *arguments):
        # On a busy machine, an event with the old secret can be on its way for more than a second.
        command = ["--quiet-seconds", "3", "--wait-seconds", "40", *arguments]
        result = CliRunner().invoke(rotate_secret, command, env=self.environment)
        assert not [secret for secret in (OLD, *self.live()) if secret in result.output]
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.output

    def rotate_and_reload(self, *arguments):
        return self.rotate("--reload", f"kill -HUP {self.edge.pid}", *arguments)

    def live(self):
        return self.secrets.read_text().strip().split(",")

    def verified(self):
        return [list(process["signatures"].values()) for process in self.edge.health()["processes"]]


@pytest.fixture
def stand(organisation, platform, tmp_path, monkeypatch):
    monkeypatch.delenv("OM_WEBHOOK_SECRETS", raising=False)
    stand = Stand(tmp_path, platform)
    integration = {"name": "Ingest", "outboundNotificationWebhookUrl": stand.edge.url, SECRET_FIELD: OLD}
    organisation.registrations.create_integration(integration)
    with running(stand.edge):
        stand.edge.start(wait_for_broker=False)
        yield stand


def states(organisation):
    return {
        (delivery.state, delivery.attempts[-1][0] if delivery.attempts else None)
        for delivery in organisation.outbound.deliveries
    }


def signing_with(organisation):
    (integration,) = organisation.registrations.integrations.values()
    return integration[SECRET_FIELD]


@pytest.mark.parametrize("shows_secrets", [True, False])
def test_no_event_is_refused_during_a_rotation_and_only_the_new_secret_remains(
    stand, organisation, capfd, shows_secrets
):
    assert list(stand.states().items()) == [
        ("add", "next"),
        *((step, "to come") for step in ("spread", "switch", "watch", "drop", "settle")),
    ]
    assert stand.live() == [OLD]
    organisation.registrations.shows_secrets = shows_secrets
    with traffic(organisation, stand.edge.url):
        stand.rotate("--reload", f"echo reloaded; kill -HUP {stand.edge.pid}", "--json")
    assert capfd.readouterr().out == ""
    (new,) = stand.live()
    assert new != OLD
    assert signing_with(organisation) == new
    assert states(organisation) == {("answered", 200)}
    assert all(len(verified) == 1 for verified in stand.verified())


def test_a_rotation_without_traffic_is_continued_by_the_next_run(stand, organisation):
    with pytest.raises(RotationError, match="run the command again to continue"):
        stand.rotate_and_reload("--wait-seconds", "5")
    while signing_with(organisation) == OLD:
        # On a busy machine, the edge needs more than five seconds to reload.
        with pytest.raises(RotationError, match="run the command again to continue"):
            stand.rotate("--wait-seconds", "5")
    assert len(stand.live()) == 2
    assert signing_with(organisation) == stand.live()[0]
    assert stand.states()["watch"] == "next"
    with traffic(organisation, stand.edge.url):
        output = stand.rotate_and_reload()
    assert len(stand.live()) == 1
    assert "add a new secret" not in output
    assert states(organisation) == {("answered", 200)}


def test_a_rotation_that_failed_at_its_last_step_is_finished_by_the_next_run(stand, organisation):
    reload_while_two_secrets = f"grep -q , {stand.secrets} && kill -HUP {stand.edge.pid}"
    with traffic(organisation, stand.edge.url):
        with pytest.raises(RotationError, match="the --reload command failed"):
            stand.rotate("--reload", reload_while_two_secrets)
        (new,) = stand.live()
        assert stand.states()["settle"] == "next"
        stand.rotate_and_reload()
    assert stand.live() == [new]
    assert all(len(verified) == 1 for verified in stand.verified())
    assert states(organisation) == {("answered", 200)}
