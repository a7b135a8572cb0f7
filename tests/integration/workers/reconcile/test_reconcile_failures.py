"""If the platform, its login or the broker fails, the comparison continues later where it stopped."""

import pytest

from messaging.envelope import RECONCILE, Envelope
from messaging.errors import RejectedEventError, RetryLaterError
from messaging.topology import EVENTS_QUEUE
from simulator.platform import Fault
from tests.integration.workers.consuming import depth
from tests.integration.workers.events import deliver, native
from tests.integration.workers.reconcile.conftest import LAST, run
from tests.services import GONE
from workers.reconcile import EventsExchange, comparison


def test_a_refused_conversation_does_not_delay_others(compare, organisation, channel, query, fail):
    for number in range(7):
        organisation.history.record(native(number, conversation=f"c-{number}", after_s=-300))
    # The platform refuses every request for one conversation, and the request for another's messages.
    fail({"conversations/messages/c-0": Fault(403), "messages/c-5/messages/bulk": Fault(400)})
    compare()
    assert depth(channel) == 5
    assert query("SELECT conversations, missing, finished_at IS NULL" + LAST) == [(5, 5, False)]
    states = "SELECT conversation_id, state FROM platform_conversations WHERE fingerprint IS NULL ORDER BY 1"
    assert query(states) == [("c-0", "open"), ("c-5", "open")]
    fail({})
    compare(0.5)
    assert depth(channel) == 7
    assert query(states) == []


@pytest.mark.parametrize("refuses", [False, True])
def test_a_comparison_continues_later_if_the_broker_is_away_or_refuses_connections(  # noqa: PLR0917  # fixtures
    started, make_reconciler, organisation, channel, vhost, query, refuses, compare
):
    organisation.history.record(native(1, after_s=-300))
    broken = make_reconciler(amqp_url=f"{vhost.amqp_url}x" if refuses else GONE)
    with pytest.raises(RetryLaterError, match="OM_AMQP_URL"):
        broken.reconcile()
    # The comparison has already listed the conversations, but has not yet found the events to publish.
    assert started.reconcile()
    with pytest.raises(RetryLaterError, match="OM_AMQP_URL"):
        run(broken)
    assert query("SELECT conversations" + LAST) == [(0,)]
    compare(0.05)
    assert depth(channel) == 1


def test_a_gap_is_counted_although_its_comparison_is_cut_off(
    compare, organisation, channel, query, monkeypatch
):
    organisation.history.record(native(1, after_s=-300))

    def fail(*_):
        raise RetryLaterError("the database is away")

    with monkeypatch.context() as patched:
        patched.setattr(comparison, "record_progress", fail)
        with pytest.raises(RetryLaterError):
            compare()
    assert depth(channel) == 1
    compare(0.05)
    assert depth(channel) == 1
    assert query("SELECT published, waiting" + LAST) == [(1, 1)]


def test_only_the_event_whose_body_is_too_large_for_the_broker_is_rejected(channel, vhost):
    # RabbitMQ's default max_message_size is 16 MiB.
    bodies = [b"small", bytes(17 << 20)]
    envelopes = [Envelope(f"m-{number}", 2**50, "r", RECONCILE, body) for number, body in enumerate(bodies)]
    with pytest.raises(RejectedEventError):
        EventsExchange((vhost.amqp_url,)).publish(envelopes)
    assert depth(channel) == 1


def test_conversations_that_cannot_be_listed_are_compared_later(
    compare, organisation, intake, channel, query
):
    known = [native(number, after_s=-300) for number in range(2)]
    for payload in (*known, native(7, conversation="unseen", after_s=-300)):
        organisation.history.record(payload)
    intake(deliver(known[0]))
    organisation.inject_fault(Fault(403))
    compare()
    assert query("SELECT platform_message_id FROM reconciliation_gaps_v1") == [("m-1",)]
    [[unlisted, finished_at]] = query("SELECT unlisted, finished_at" + LAST)
    assert "403" in unlisted
    assert finished_at is not None
    # Once no events wait in the queue, only the missing list moves the next comparison's start back.
    channel.queue_purge(EVENTS_QUEUE)
    organisation.inject_fault(Fault(403))
    compare(26)
    compare(52)
    assert query("SELECT platform_message_id FROM reconciliation_gaps_v1 ORDER BY 1") == [("m-1",), ("m-7",)]
    assert query("SELECT unlisted" + LAST) == [(None,)]


def test_conversations_are_read_even_if_analytics_cannot_count_them(compare, organisation, channel, fail):
    for number in range(3):
        organisation.history.record(native(number, conversation=f"c-{number}", after_s=-300))
    fail({"conversations/details?": Fault(503)})
    with pytest.raises(RetryLaterError):
        compare()
    compare()
    assert depth(channel) == 3
