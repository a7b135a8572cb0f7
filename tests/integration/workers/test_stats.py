"""omctl stats: how well notifications arrived, out of the records."""

import json

import pytest
from click.testing import CliRunner

from messaging.delivery import Delivery
from messaging.envelope import RECONCILE, Envelope
from messaging.topology import EVENTS_QUEUE
from omctl.commands.stats import stats as command
from simulator.platform import Fault
from tests.integration.workers.conftest import CLIENT_SECRET, deliver, native

DAY_US = 86_400_000_000


@pytest.fixture
def omctl(migrated_url):
    """Run `omctl stats` and return what it says as JSON."""

    def run(*arguments, status=0, **environment):
        settings = {"OM_DATABASE_URL": migrated_url, **environment}
        result = CliRunner().invoke(command, [*arguments, "--json"], env=settings, catch_exceptions=False)
        assert result.exit_code == status, result.output
        return json.loads(result.stdout[result.stdout.index("{") :])

    return run


def recovered(number):
    body = json.dumps(native(number)).encode()
    now_us = deliver(body).envelope.received_at_us
    envelope = Envelope(f"reconcile-{number}", now_us, "r", RECONCILE, body)
    return Delivery(10_000 + number, EVENTS_QUEUE, 1, envelope)


def test_what_had_to_be_fetched_lowers_the_rate_and_what_came_again_does_not(omctl, intake):
    sent = [native(number) for number in range(9)]
    for payload in (*sent, sent[0]):
        intake(deliver(payload))
    intake(deliver(b"malformed"))
    assert omctl()["total"] == {
        "day": "all",
        "notified": 9,
        "repeated": 1,
        "recovered": 0,
        "dead_letters": 1,
        "success_rate": 100.0,
    }
    intake(recovered(100))
    told = omctl(status=1)
    assert (told["healthy"], told["total"]["recovered"]) == (False, 1)
    assert told["total"]["success_rate"] == pytest.approx(100 * 10 / 11)
    assert [each["notified"] for each in told["days"]] == [9]


def test_nothing_at_all_is_nothing_wrong(omctl):
    told = omctl()
    assert (told["healthy"], told["total"]["success_rate"], told["days"]) == (True, None, [])


def test_the_platforms_own_statistics_stand_beside_ours_where_it_has_some(omctl, platform_url, organisation):
    settings = {
        "OM_GENESYS_API_URL": platform_url,
        "OM_GENESYS_CLIENT_ID": "client",
        "OM_GENESYS_CLIENT_SECRET": CLIENT_SECRET,
    }
    assert omctl(**settings)["platform"] == []
    organisation.strike(Fault(404))
    assert omctl(**settings)["platform"] == []
