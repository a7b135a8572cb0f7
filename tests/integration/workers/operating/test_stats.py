"""omctl stats counts the received notifications that are recorded in the database."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from messaging.envelope import RECONCILE, WEBHOOK
from omctl.look.stats import stats as command
from tests.integration.workers.commands import run_omctl
from tests.integration.workers.conftest import CLIENT_SECRET
from tests.integration.workers.events import deliver, native
from tests.rows import make_row
from workers.db.engine import transact
from workers.db.models import dead_letters, edge_statistics
from workers.db.stats import REFUSALS, WITHIN


@pytest.fixture
def omctl(migrated_url):
    """Return a function that runs `omctl stats` and returns its report."""
    return partial(run_omctl, command, OM_DATABASE_URL=migrated_url)


def test_recovered_events_lower_the_success_rate_but_repeated_events_do_not(omctl, intake, engine):
    """A destination's dead letters do not count at all."""
    sent = [native(number) for number in range(9)]
    for payload in (*sent, sent[0]):
        intake(deliver(payload))
    intake(deliver(b"malformed"))
    with engine.begin() as connection:
        now = datetime.now(UTC)
        row = make_row(dead_letters, source=WEBHOOK, destination="crm", received_at=now)
        connection.execute(dead_letters.insert(), row)
    assert omctl(status=1)["total"] == {
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
    # At midnight UTC, the events of this test can belong to two days.
    assert sum(each["notified"] for each in told["days"]) == 9


def test_nothing_counts_as_healthy_or_as_zero_if_nothing_is_recorded(omctl):
    told = omctl(status=1)
    assert (told["healthy"], told["total"]["success_percent"], told["days"]) == (None, None, [])
    assert {answers["answered"] for answers in told["acknowledgements"].values()} == {None}


def test_the_platforms_statistics_of_our_webhook_are_shown_and_decide_the_exit_status(
    omctl, platform_url, organisation, tmp_path
):
    settings = {
        "OM_GENESYS_API_URL": platform_url,
        "OM_GENESYS_CLIENT_ID": "client",
        "OM_GENESYS_CLIENT_SECRET": CLIENT_SECRET,
    }
    path = tmp_path / "registration.toml"
    path.write_text('url = "https://api.example/"\n[webhook]\nname = "ours"\n')
    settings |= {"OM_REGISTRATION": str(path), "OM_ALLOW_UNSIGNED": "true"}
    assert omctl(**settings, status=1)["platform"] == []
    for number in range(150):
        other = organisation.registrations.put_webhook({"name": f"{number}", "target": {"url": platform_url}})
    organisation.outbound.send(other["id"], f"{platform_url}/nowhere", {}, native(0))
    webhook = organisation.registrations.put_webhook({"name": "ours", "target": {"url": platform_url}})
    for number in range(2):
        # The platform gets a 404 from this path and does not retry the webhook.
        organisation.outbound.send(webhook["id"], f"{platform_url}/nowhere", {}, native(number))
    organisation.outbound.wait()

    [told] = omctl(**settings, status=1)["platform"]
    assert (told["name"], told["sent"], told["failed"], told["successRate"]) == ("ours", 2, 2, 0.0)
    for changes, text in (
        ({"OM_GENESYS_CLIENT_SECRET": "wrong"}, "the platform answered 40"),
        ({"OM_GENESYS_API_URL": "http://127.0.0.1:9"}, "cannot be reached"),
    ):
        unknown = omctl(**settings | changes, status=1)
        assert text in unknown["error"]["message"]
        assert (unknown["platform"], unknown["total"]["notified"]) == ([], 0)


def answers(process="p", *, days=0.0, answered=0, within=(0, 0, 0, 0, 0), refused=(0, 0, 0, 0, 0)):
    """Return a row with the statistics of an edge process for one minute."""
    began_at = datetime.now(UTC) - timedelta(days=days, minutes=1)
    counts = dict(zip((*WITHIN.values(), *REFUSALS.values()), (*within, *refused), strict=True))
    changes = {"began_at": began_at, "answered": answered, "longest_us": 4_500_000}
    return make_row(edge_statistics, process=process, **changes, **counts)


@pytest.fixture
def record(engine):
    """Return a function that inserts statistics of edge processes."""
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
