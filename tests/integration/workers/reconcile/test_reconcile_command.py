"""omctl reconcile prints a report for operators and returns an exit status for scripts."""

import signal
from functools import partial

import pytest
from sqlalchemy import text

from messaging.clock import SystemClock
from messaging.errors import OpenMessagingError
from omctl.connections import friendly_errors
from omctl.repair.reconcile import reconcile as command
from simulator.platform import Fault
from tests.integration.workers.commands import run_omctl
from tests.integration.workers.conftest import CLIENT_SECRET
from tests.integration.workers.consuming import depth
from tests.integration.workers.events import deliver, native
from tests.integration.workers.reconcile.conftest import HOUR_US, run
from tests.servers import LOOPBACK, free_port
from workers.db.engine import transact
from workers.db.reconcile import TIMER, begin_reconciliation, find_known_keys
from workers.genesys import PlatformUnavailableError
from workers.reconcile import DAY_US, EventsExchange, PlatformHistory


@pytest.fixture
def omctl(vhost, migrated_url, platform_url, channel):
    """Return a function that runs `omctl reconcile` and returns its report."""
    return partial(
        run_omctl,
        command,
        OM_AMQP_URL=vhost.amqp_url,
        OM_DATABASE_URL=migrated_url,
        OM_GENESYS_API_URL=platform_url,
        OM_GENESYS_CLIENT_ID="client",
        OM_GENESYS_CLIENT_SECRET=CLIENT_SECRET,
        OM_GENESYS_REQUESTS_PER_MINUTE="6000",
    )


@pytest.fixture
def sent(organisation, intake):
    """Record ten messages of three conversations; two of the messages' webhooks were lost."""
    sent = [native(number, conversation=f"c-{number % 3}", after_s=-300) for number in range(10)]
    for payload in sent:
        organisation.history.record(payload)
        if payload["id"] not in {"m-4", "m-8"}:
            intake(deliver(payload))
    return sent


def test_missing_events_are_recovered_and_reported_by_the_exit_status(sent, omctl, working, query):
    dry = omctl("--since", "1h", "--dry-run", status=4)
    assert (dry["missing"], dry["recovered"]) == (2, 0)
    assert [gap["message"] for gap in dry["gaps"]] == ["m-4", "m-8"]
    assert query("SELECT count(*) FROM reconciliations") == [(0,)]
    with working():
        counts = {"conversations": 3, "unknown": 0, "compared": 10, "unreadable": 0}
        answer = omctl("--since", "1h", status=3)
        assert answer | counts | {"missing": 2, "recovered": 2} == answer
    assert omctl("--since", "1h")["missing"] == 0
    assert query("SELECT became, count(*) FROM reconciliation_gaps_v1 GROUP BY 1") == [("recovered", 2)]
    assert query("SELECT count(*) FROM reconciliations WHERE finished_at IS NULL") == [(0,)]


def test_a_gap_is_published_again_but_counted_once_if_its_event_is_not_processed(sent, omctl, channel, query):
    omctl("--since", "1h", "--wait", "0", status=4)
    omctl("--since", "1h", "--wait", "0", status=4)
    assert depth(channel) == 4
    counts = query("SELECT missing, published, waiting FROM reconciliations ORDER BY id")
    assert counts == [(2, 2, 0), (2, 0, 2)]
    assert query("SELECT became, count(*) FROM reconciliation_gaps_v1 GROUP BY 1") == [("waiting", 2)]


def test_a_comparison_that_is_cancelled_while_it_lists_leaves_no_record(sent, omctl, query, monkeypatch):
    list_conversations = PlatformHistory.list_conversations

    def cancel(*arguments):
        signal.raise_signal(signal.SIGINT)
        return list_conversations(*arguments)

    monkeypatch.setattr(PlatformHistory, "list_conversations", cancel)
    answer = omctl("--since", "1h", status=1)
    assert (answer["cancelled"], answer["conversations"]) == ("it was cancelled", 0)
    assert query("SELECT count(*) FROM reconciliations") == [(0,)]


def test_more_keys_can_be_looked_up_than_a_statement_may_have_parameters(sent, engine, query):
    keys = {key for (key,) in query("SELECT idempotency_key FROM processed_events")}
    others = {f"unknown-{number}" for number in range(70_000)}
    assert transact(engine, find_known_keys, keys | others) == keys


def test_a_single_conversation_can_be_compared(sent, omctl):
    answer = omctl("--since", "1h", "--conversation", "c-1", "--wait", "0", status=4)
    assert [each["message"] for each in answer["gaps"]] == ["m-4"]
    assert omctl("--since", "1h", "--conversation", "unknown")["unknown"] == 1


@pytest.mark.parametrize(("days", "state", "missing"), [(3, None, 1), (10, "open", 1), (3, "ended", 0)])
def test_a_lost_event_of_a_quiet_conversation_is_missing_unless_it_has_ended(  # noqa: PLR0917  # fixtures
    omctl, organisation, intake, engine, days, state, missing
):
    """The platform lists only the conversations that started on the days of the comparison."""
    quiet = native(1, after_s=-days * 86_400)
    organisation.history.record(quiet)
    organisation.history.record(native(2, after_s=-300))
    intake(deliver(quiet))
    if state is not None:
        copy = "INSERT INTO platform_conversations (conversation_id, state, listed_at) SELECT conversation_id"
        with engine.begin() as connection:
            connection.execute(text("UPDATE conversations SET updated_at = last_event_at"))
            connection.execute(text(f"{copy}, '{state}', updated_at FROM conversations"))
    assert omctl("--since", "1h", "--dry-run", status=4 if missing else 0)["missing"] == missing


def test_the_command_finds_missing_events_long_after_the_first_comparison(sent, omctl, engine):
    long_ago_us = SystemClock().now_us() - 60 * DAY_US
    transact(engine, begin_reconciliation, TIMER, (long_ago_us, long_ago_us), "first", long_ago_us)
    assert omctl("--dry-run", status=4)["missing"] == 2


def test_the_exit_status_reports_that_conversations_could_not_be_listed(sent, omctl, organisation):
    omctl("--since", "1h", "--wait", "0", status=4)
    organisation.history.record(native(20, conversation="unseen", after_s=-300))
    organisation.inject_fault(Fault(403), method="POST")
    answer = omctl("--since", "1h", "--dry-run", status=4)
    assert ("403" in answer["unlisted"], answer["missing"]) == (True, 2)
    organisation.inject_fault(Fault(403))
    assert omctl("--since", "2m", status=5)["missing"] == 0


def test_a_failing_conversation_is_listed_and_later_conversations_are_recovered(sent, omctl, fail, working):
    fail({"conversations/messages/c-0": Fault(500)})
    with working():
        answer = omctl("--since", "1h", status=5)
    assert (answer["conversations"], answer["failed"], answer["recovered"]) == (2, 1, 2)
    [passed_over] = answer["passed_over"]
    assert (passed_over["conversation"], passed_over["why"]) == ("c-0", "failed")
    assert "500" in passed_over["reason"]


def test_a_platform_that_fails_every_request_is_reported_as_unavailable(sent, omctl, fail):
    fail({"/api/v2/": Fault(503)})
    with pytest.raises(PlatformUnavailableError, match="503"):
        omctl("--since", "1h", "--dry-run", "--conversation", "c-0", "--conversation", "c-1")


def test_unreadable_events_of_the_history_are_reported_by_the_exit_status(sent, omctl, organisation, working):
    with working():
        omctl("--since", "1h", status=3)
        assert omctl("--since", "1h")["unreadable"] == 0
        strange = native(30, conversation="c-1", after_s=-300, type="Hologram")
        organisation.history.record(strange)
        assert omctl("--since", "1h", status=5)["unreadable"] == 1


@pytest.fixture
def sixty():
    return [native(number, conversation=f"c-{number % 3}", after_s=-300) for number in range(60)]


@pytest.fixture
def stopped(organisation, intake, started, sixty):
    """A reconciler that stopped at a mismatch: the history has 60 events with another integration's id."""
    for payload in sixty:
        intake(deliver(payload))
        organisation.history.record(payload | {"channel": payload["channel"] | {"id": "another"}})
    run(started)
    return started


def test_after_a_mismatch_reconcile_waits_for_an_operators_decision(  # noqa: PLR0917  # fixtures
    omctl, stopped, channel, query, clock, fail
):
    answer = omctl("--since", "1h", "--wait", "0", status=6)
    assert "60 events that were received" in answer["mismatch"]
    # The comparison of a single conversation cannot prove a mismatch.
    omctl("--since", "1h", "--wait", "0", "--conversation", "c-0", status=4)
    # Nor can a comparison for which the platform returns no conversations, or one with too few events.
    fail({"/conversations/messages/": Fault(403)})
    omctl("--since", "1h", "--wait", "0", status=5)
    fail({})
    assert "50" in omctl("--since", "1m", "--wait", "0")["undecided"]
    clock.ahead_us = HOUR_US
    assert not run(stopped)
    assert depth(channel) == 20
    answer = omctl("--since", "1h", "--wait", "0", "--despite-mismatch", status=4)
    assert answer["undecided"] is None
    assert depth(channel) == 80
    assert query("SELECT count(*) FROM reconciliations WHERE decided_by IS NOT NULL") == [(1,)]
    assert run(stopped)


def test_the_worker_continues_after_a_comparison_without_a_mismatch_although_some_is_refused(  # noqa: PLR0917
    omctl, stopped, sixty, organisation, intake, clock, fail
):
    organisation.history.conversations.clear()
    for payload in sixty:
        organisation.history.record(payload)
    intake(deliver(native(60, conversation="another-division", after_s=-300)))
    fail({"messages/another-division": Fault(403), "details/query": Fault(403)})
    answer = omctl("--since", "1h", "--wait", "0", status=5)
    assert (answer["compared"], answer["refused"], answer["undecided"]) == (60, 1, None)
    fail({})
    clock.ahead_us = HOUR_US
    assert run(stopped)


def test_a_missing_broker_is_not_reported_as_a_missing_database():
    exchange = EventsExchange((f"amqp://u:p@{LOOPBACK}:{free_port()}/v",))
    with pytest.raises(OpenMessagingError, match="no broker in OM_AMQP_URL answers"), friendly_errors():
        exchange.count_waiting()


@pytest.mark.parametrize("arguments", [(), ("--since", "31d")])
def test_a_comparison_needs_a_start_within_the_retention_time(omctl, arguments):
    omctl(*arguments, status=2)
