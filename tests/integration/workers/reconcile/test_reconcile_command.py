"""omctl reconcile, for operators and for scripts that check its exit status."""

from functools import partial

import pytest

from messaging.clock import SystemClock
from messaging.errors import OpenMessagingError
from omctl.connections import friendly_errors
from omctl.repair.reconcile import reconcile as command
from simulator.platform import Fault
from tests.integration.workers.commands import run_omctl
from tests.integration.workers.conftest import CLIENT_SECRET
from tests.integration.workers.consuming import depth
from tests.integration.workers.events import deliver, native
from tests.integration.workers.reconcile.comparing import HOUR_US, run
from tests.servers import LOOPBACK, free_port
from workers.db.engine import transact
from workers.db.reconcile import TIMER, begin_reconciliation
from workers.genesys import PlatformUnavailableError
from workers.reconcile import DAY_US, EventsExchange


@pytest.fixture
def omctl(vhost, migrated_url, platform_url, channel):
    """Run `omctl reconcile` and return its report."""
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
    """Ten messages of three conversations; two of the webhooks were lost."""
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


def test_an_unprocessed_gap_is_still_missing_and_published_again(sent, omctl, channel, query):
    omctl("--since", "1h", "--wait", "0", status=4)
    omctl("--since", "1h", "--wait", "0", status=4)
    assert depth(channel) == 4
    assert query("SELECT became, count(*) FROM reconciliation_gaps_v1 GROUP BY 1") == [("waiting", 2)]


def test_a_single_conversation_can_be_compared(sent, omctl):
    answer = omctl("--since", "1h", "--conversation", "c-1", "--wait", "0", status=4)
    assert [each["message"] for each in answer["gaps"]] == ["m-4"]
    assert omctl("--since", "1h", "--conversation", "unknown")["unknown"] == 1


def test_the_command_works_long_after_the_first_comparison(sent, omctl, engine):
    long_ago_us = SystemClock().now_us() - 60 * DAY_US
    transact(engine, begin_reconciliation, TIMER, (long_ago_us, long_ago_us), "first", long_ago_us)
    assert omctl("--dry-run", status=4)["missing"] == 2


def test_unlisted_conversations_are_left_out_and_reported_by_the_exit_status(sent, omctl, organisation):
    omctl("--since", "1h", "--wait", "0", status=4)
    organisation.history.record(native(20, conversation="unseen", after_s=-300))
    organisation.inject_fault(Fault(403), method="POST")
    answer = omctl("--since", "1h", "--dry-run", status=4)
    assert ("403" in answer["unlisted"], answer["missing"]) == (True, 2)
    organisation.inject_fault(Fault(403))
    assert omctl("--since", "2m", status=5)["missing"] == 0


def test_refused_conversations_are_counted_and_reported_by_the_exit_status(sent, omctl, organisation):
    organisation.inject_fault(Fault(403), method="GET")
    answer = omctl("--since", "1h", "--conversation", "c-0", "--dry-run", status=5)
    assert (answer["conversations"], answer["refused"], answer["missing"]) == (0, 1, 0)
    organisation.inject_fault(Fault(403), method="GET")
    answer = omctl("--since", "1h", "--wait", "0", status=4)
    assert (answer["conversations"], answer["refused"], answer["missing"]) == (2, 1, 2)


def test_a_failing_conversation_is_listed_and_those_behind_it_are_recovered(sent, omctl, fail, working):
    fail({"conversations/messages/c-0": Fault(500)})
    with working():
        answer = omctl("--since", "1h", status=5)
    assert (answer["conversations"], answer["failed"], answer["recovered"]) == (2, 1, 2)
    [passed_over] = answer["passed_over"]
    assert (passed_over["conversation"], passed_over["why"]) == ("c-0", "failed")
    assert "500" in passed_over["reason"]


def test_a_platform_that_fails_every_request_is_unavailable(sent, omctl, fail):
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


def test_after_a_mismatch_reconcile_waits_for_an_operators_decision(  # noqa: PLR0917  # fixtures
    omctl, organisation, intake, channel, query, make_reconciler, clock
):
    reconciler = make_reconciler()
    clock.ahead_us = -HOUR_US
    run(reconciler)
    clock.ahead_us = 0
    payloads = [native(number, conversation=f"c-{number % 3}", after_s=-300) for number in range(60)]
    for payload in payloads:
        intake(deliver(payload))
        organisation.history.record(payload | {"channel": payload["channel"] | {"id": "another"}})
    run(reconciler)
    answer = omctl("--since", "1h", "--wait", "0", status=6)
    assert "60 events that were received" in answer["mismatch"]
    # One conversation proves nothing.
    omctl("--since", "1h", "--wait", "0", "--conversation", "c-0", status=4)
    clock.ahead_us = HOUR_US
    assert not run(reconciler)
    assert depth(channel) == 20
    omctl("--since", "1h", "--wait", "0", "--despite-mismatch", status=4)
    assert depth(channel) == 80
    assert query("SELECT count(*) FROM reconciliations WHERE decided_by IS NOT NULL") == [(1,)]
    assert run(reconciler)


def test_a_missing_broker_is_not_reported_as_a_missing_database():
    exchange = EventsExchange((f"amqp://u:p@{LOOPBACK}:{free_port()}/v",))
    with pytest.raises(OpenMessagingError, match="no broker of OM_AMQP_URL answers"), friendly_errors():
        exchange.count_waiting()


@pytest.mark.parametrize("arguments", [(), ("--since", "31d")])
def test_a_comparison_needs_a_start_within_the_retention_time(omctl, arguments):
    omctl(*arguments, status=2)
