"""Reconciliation recovers the events that the platform gave up on while the edge was down."""

import json
import signal
import subprocess
import sys

import pytest

from simulator.platform import Organisation, create_platform
from simulator.sender import RetryPolicy
from simulator.serving import serve_app
from tests.integration.workers.conftest import CLIENT_SECRET
from tests.integration.workers.events import native
from tests.services import SECRET, Edge, IntakeWorker, Service, declare_topology, running

RECOVERED = 3
"""The exit status of `omctl reconcile` if it found and recovered missing events."""


@pytest.fixture
def organisation():
    organisation = Organisation("client", CLIENT_SECRET, requests_per_minute=6000)
    # The platform retries an event five times; here, the delays are 250 times shorter.
    organisation.outbound.policy = RetryPolicy((0.02,) * 5)
    yield organisation
    organisation.outbound.stop()


def test_only_events_the_platform_gave_up_are_recovered(vhost, organisation, migrated_sqlite_url, tmp_path):
    declare_topology(vhost.amqp_url)
    service = Service(tmp_path, vhost.amqp_url)
    edge, worker = Edge(service), IntakeWorker(service, migrated_sqlite_url)
    registered = organisation.registrations.create_integration(
        {
            "name": "ours",
            "outboundNotificationWebhookUrl": edge.url,
            "outboundNotificationWebhookSignatureSecretToken": SECRET,
        }
    )

    def send(numbers):
        deliveries = []
        for number in numbers:
            payload = native(number, conversation=f"c-{number % 3}", after_s=-300)
            organisation.history.record(payload)
            deliveries.append(organisation.outbound.send(registered["id"], edge.url, {}, payload))
        organisation.outbound.wait()
        return {each.state for each in deliveries}

    with serve_app(create_platform(organisation)) as url, running(edge), running(worker):
        edge.start()
        worker.start()
        assert send(range(5)) == {"answered"}
        edge.end(signal.SIGTERM, timeout=15)
        assert send(range(5, 9)) == {"given up"}
        edge.start()
        assert send(range(9, 12)) == {"answered"}
        environment = service.environment() | {
            "OM_DATABASE_URL": migrated_sqlite_url,
            "OM_GENESYS_API_URL": url,
            "OM_GENESYS_CLIENT_ID": "client",
            "OM_GENESYS_CLIENT_SECRET": CLIENT_SECRET,
            "OM_GENESYS_REQUESTS_PER_MINUTE": "6000",
        }
        command = [sys.executable, "-m", "omctl", "reconcile", "--since", "1h", "--json"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == RECOVERED, done.stderr
    report = json.loads(done.stdout)
    assert sorted(gap["message"] for gap in report["gaps"]) == ["m-5", "m-6", "m-7", "m-8"]
    assert (report["missing"], report["recovered"], report["unlisted"]) == (4, 4, None)
