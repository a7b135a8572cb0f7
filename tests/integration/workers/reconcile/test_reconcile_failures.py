"""If the platform, its login or the broker fails, the comparison continues later where it stopped."""

import pytest

from messaging.errors import RetryLaterError
from messaging.topology import EVENTS_QUEUE
from simulator.platform import Fault
from tests.integration.workers.consuming import depth
from tests.integration.workers.events import deliver, native
from tests.integration.workers.reconcile.comparing import HOUR_US, run
from tests.services import GONE

LAST = " FROM reconciliations ORDER BY id DESC LIMIT 1"


def test_a_conversation_of_another_division_delays_no_other(  # noqa: PLR0917  # fixtures
    started, organisation, channel, query, clock, fail
):
    for number in range(7):
        organisation.history.record(native(number, conversation=f"c-{number}", after_s=-300))
    # One conversation is refused completely; for another one, only its messages are.
    fail({"conversations/messages/c-0": Fault(403), "messages/c-5/messages/bulk": Fault(400)})
    run(started)
    assert depth(channel) == 5
    assert query("SELECT conversations, missing, finished_at IS NULL" + LAST) == [(5, 5, False)]
    states = "SELECT conversation_id, state FROM platform_conversations WHERE fingerprint IS NULL ORDER BY 1"
    assert query(states) == [("c-0", "open"), ("c-5", "open")]
    fail({})
    clock.ahead_us = HOUR_US // 2
    run(started)
    assert depth(channel) == 7
    assert query(states) == []


@pytest.mark.parametrize("refuses", [False, True])
def test_a_broker_that_is_away_or_refuses_leaves_the_comparison_where_it_was(  # noqa: PLR0917  # fixtures
    started, make_reconciler, organisation, channel, vhost, query, clock, refuses
):
    organisation.history.record(native(1, after_s=-300))
    broken = make_reconciler(amqp_url=f"{vhost.amqp_url}x" if refuses else GONE)
    with pytest.raises(RetryLaterError, match="OM_AMQP_URL"):
        broken.reconcile()
    # The comparison has begun and knows its conversations, but not yet the events to publish.
    assert started.reconcile()
    with pytest.raises(RetryLaterError, match="OM_AMQP_URL"):
        run(broken)
    assert query("SELECT conversations" + LAST) == [(0,)]
    clock.ahead_us = 180_000_000
    run(started)
    assert depth(channel) == 1


def test_without_permission_to_list_known_conversations_are_compared_and_others_later(  # noqa: PLR0917  # fixtures
    started, organisation, intake, channel, query, clock
):
    known = [native(number, after_s=-300) for number in range(2)]
    for payload in (*known, native(7, conversation="unseen", after_s=-300)):
        organisation.history.record(payload)
    intake(deliver(known[0]))
    organisation.inject_fault(Fault(403))
    run(started)
    assert query("SELECT platform_message_id FROM reconciliation_gaps_v1") == [("m-1",)]
    [[unlisted, finished_at]] = query("SELECT unlisted, finished_at" + LAST)
    assert "403" in unlisted
    assert finished_at is not None
    # The day before is asked for only because its list is missing; nothing waits that would hold the time.
    channel.queue_purge(EVENTS_QUEUE)
    organisation.inject_fault(Fault(403))
    clock.ahead_us = 26 * HOUR_US
    run(started)
    clock.ahead_us = 52 * HOUR_US
    run(started)
    assert query("SELECT platform_message_id FROM reconciliation_gaps_v1 ORDER BY 1") == [("m-1",), ("m-7",)]
    assert query("SELECT unlisted" + LAST) == [(None,)]
