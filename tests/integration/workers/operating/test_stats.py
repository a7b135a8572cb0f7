"""omctl stats: how many notifications arrived, from the database's records."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from messaging.envelope import RECONCILE
from omctl.look.stats import stats as command
from simulator.platform import Fault
from tests.integration.workers.commands import run_omctl
from tests.integration.workers.conftest import CLIENT_SECRET
from tests.integration.workers.events import deliver, native
from tests.rows import make_row
from workers.db.engine import transact
from workers.db.models import edge_statistics
from workers.db.stats import REFUSALS, WITHIN


@pytest.fixture
def omctl(migrated_url):
    """Run `omctl stats` and return its report."""
    return partial(run_omctl, command, OM_DATABASE_URL=migrated_url)


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
    recovered = deliver(native(100))
    intake(replace(recovered, envelope=replace(recovered.envelope, source=RECONCILE)))
    told = omctl(status=1)
    assert (told["healthy"], told["total"]["recovered"]) == (False, 1)
    assert told["total"]["success_percent"] == pytest.approx(100 * 10 / 11)
    assert [each["notified"] for each in told["days"]] == [9]


def test_without_events_the_statistics_are_healthy(omctl):
    told = omctl()
    assert (told["healthy"], told["total"]["success_percent"], told["days"]) == (True, None, [])


def test_the_platforms_own_statistics_are_shown_and_decide_the_exit_status(omctl, platform_url, organisation):
    settings = {
        "OM_GENESYS_API_URL": platform_url,
        "OM_GENESYS_CLIENT_ID": "client",
        "OM_GENESYS_CLIENT_SECRET": CLIENT_SECRET,
    }
    assert omctl(**settings)["platform"] == []
    webhook = organisation.registrations.put_webhook({"name": "ours", "target": {"url": platform_url}})
    for number in range(2):
        # Nothing takes webhooks there: 404, which is not tried again.
        organisation.outbound.send(webhook["id"], f"{platform_url}/nowhere", {}, native(number))
    organisation.outbound.wait()

    [told] = omctl(**settings, status=1)["platform"]
    assert (told["name"], told["sent"], told["failed"], told["successRate"]) == ("ours", 2, 2, 0.0)
    organisation.inject_fault(Fault(404))
    assert omctl(**settings)["platform"] == []


def answers(process="p", *, days=0.0, answered=0, within=(0, 0, 0, 0, 0), refused=(0, 0, 0, 0, 0)):
    """Return a minute's statistics of an edge process."""
    began_at = datetime.now(UTC) - timedelta(days=days, minutes=1)
    counts = dict(zip((*WITHIN.values(), *REFUSALS.values()), (*within, *refused), strict=True))
    changes = {"began_at": began_at, "answered": answered, "longest_us": 4_500_000}
    return make_row(edge_statistics, process=process, **changes, **counts)


@pytest.fixture
def record(engine):
    """Insert statistics of edge processes."""
    return lambda *rows: transact(
        engine, lambda connection: connection.execute(edge_statistics.insert(), rows)
    )


def test_the_answers_of_all_edge_processes_are_added_up(omctl, record, query):
    recent = {"answered": 1000, "within": (900, 990, 998, 999, 1000)}
    record(
        answers(**recent),
        answers("other", **recent, refused=(2, 0, 7, 0, 1)),
        answers("old", answered=5, within=(5, 5, 5, 5, 5), days=3),
        answers("gone", answered=5, days=9),
    )

    found = omctl()["acknowledgements"]
    assert (found["24 h"]["answered"], found["7 d"]["answered"]) == (2000, 2005)
    assert found["24 h"]["refused"] == {"401": 2, "413": 0, "429": 7, "503": 0, "other": 1}
    assert found["24 h"]["percent_within_3_s"] == pytest.approx(99.9)
    assert (found["24 h"]["percent_within_10_s"], found["24 h"]["longest_s"]) == (100.0, 4.5)
    view = (
        "SELECT sum(answered), sum(within_3_s), sum(shed), max(longest_s) FROM acknowledgement_statistics_v1"
    )
    [[answered, within, shed, longest]] = query(view)
    assert (int(answered), int(within), int(shed), float(longest)) == (2010, 2003, 7, 4.5)


def test_slow_answers_make_the_statistics_unhealthy(omctl, record):
    record(answers(answered=100, within=(90, 90, 90, 99, 100)))
    assert omctl(status=1)["healthy"] is False
