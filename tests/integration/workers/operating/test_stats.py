"""omctl stats: how well notifications arrived, out of the records."""

import json

import pytest
from click.testing import CliRunner

from messaging.consuming import Delivery
from messaging.edge_statistics import EdgeStatistics
from messaging.envelope import RECONCILE, STATISTICS, Envelope
from messaging.topology import DEAD_LETTER_RECORDS, EVENTS_QUEUE
from omctl.commands.stats import stats as command
from simulator.platform import Fault
from tests.integration.workers.conftest import CLIENT_SECRET
from tests.integration.workers.events import TAGS, deliver, native

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


def test_recovered_events_lower_the_success_rate_and_repeated_ones_do_not(omctl, intake):
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
        "success_percent": None,
    }
    intake(recovered(100))
    told = omctl(status=1)
    assert (told["healthy"], told["total"]["recovered"]) == (False, 1)
    assert told["total"]["success_percent"] == pytest.approx(100 * 10 / 11)
    assert [each["notified"] for each in told["days"]] == [9]


def test_without_events_the_statistics_are_healthy(omctl):
    told = omctl()
    assert (told["healthy"], told["total"]["success_percent"], told["days"]) == (True, None, [])


def test_the_platforms_own_statistics_stand_beside_ours_and_count_where_it_has_some(
    omctl, platform_url, organisation
):
    settings = {
        "OM_GENESYS_API_URL": platform_url,
        "OM_GENESYS_CLIENT_ID": "client",
        "OM_GENESYS_CLIENT_SECRET": CLIENT_SECRET,
    }
    assert omctl(**settings)["platform"] == []
    webhook = organisation.registrations.create_webhook({"name": "ours", "target": {"url": platform_url}})
    for number in range(2):
        # Nobody takes webhooks there: 404, which is not tried again.
        organisation.outbound.send(webhook["id"], f"{platform_url}/nowhere", {}, native(number))
    organisation.outbound.wait()

    [told] = omctl(**settings, status=1)["platform"]
    assert (told["name"], told["sent"], told["failed"], told["successRate"]) == ("ours", 2, 2, 0.0)
    organisation.inject_fault(Fault(404))
    assert omctl(**settings)["platform"] == []


def told_by_edge(process="p", *, began_us, answered=0, within=(0, 0, 0, 0, 0), **refused):
    told = EdgeStatistics("host", process, began_us, 60.0, answered, within, 4_500_000, refused)
    name = f"{process}-statistics-{began_us:x}"
    return Delivery(next(TAGS), EVENTS_QUEUE, 1, Envelope(name, began_us, name, STATISTICS, told.encoded()))


def test_each_interval_of_an_edge_process_is_counted_once(omctl, intake, query):
    now_us = deliver(b"").envelope.received_at_us
    recent = {"answered": 1000, "within": (900, 990, 998, 999, 1000), "began_us": now_us - 60_000_000}
    deliveries = [
        told_by_edge(**recent),
        told_by_edge(**recent),
        told_by_edge("other", **recent, **{"429": 7, "401": 2, "418": 1}),
        told_by_edge("old", answered=5, within=(5, 5, 5, 5, 5), began_us=now_us - 3 * DAY_US),
        told_by_edge("gone", answered=5, within=(0, 0, 0, 0, 0), began_us=now_us - 9 * DAY_US),
    ]
    assert not intake(deliveries[0])
    assert not intake(*deliveries, deliver(native(1)))

    answers = omctl()["acknowledgements"]
    assert (answers["24 h"]["answered"], answers["7 d"]["answered"]) == (2000, 2005)
    assert answers["24 h"]["refused"] == {"401": 2, "413": 0, "429": 7, "503": 0, "other": 1}
    assert answers["24 h"]["percent_within_3_s"] == pytest.approx(99.9)
    assert (answers["24 h"]["percent_within_10_s"], answers["24 h"]["longest_s"]) == (100.0, 4.5)
    view = (
        "SELECT sum(answered), sum(within_3_s), sum(shed), max(longest_s) FROM acknowledgement_statistics_v1"
    )
    [[answered, within, shed, longest]] = query(view)
    assert (int(answered), int(within), int(shed), float(longest)) == (2010, 2003, 7, 4.5)
    assert query("SELECT count(*) FROM processed_events") == [(1,)]
    assert query("SELECT count(*) FROM dead_letters") == [(0,)]


def test_answers_that_took_long_are_not_healthy(omctl, intake):
    now_us = deliver(b"").envelope.received_at_us
    intake(told_by_edge(answered=100, within=(90, 90, 90, 99, 100), began_us=now_us))

    assert omctl(status=1)["healthy"] is False


def test_unreadable_edge_statistics_become_no_dead_letter(intake, query):
    unreadable = Delivery(next(TAGS), EVENTS_QUEUE, 1, Envelope("s", 1, "s", STATISTICS, b"{}"))
    dead = Delivery(next(TAGS), DEAD_LETTER_RECORDS, 1, Envelope("s", 1, "s", STATISTICS, b"{}"))

    assert not intake(unreadable, dead, deliver(native(1)))
    assert query("SELECT count(*) FROM dead_letters") == [(0,)]
    assert query("SELECT count(*) FROM processed_events") == [(1,)]
