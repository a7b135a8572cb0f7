"""An event that is only in the platform's history is published and recorded, and takes effect once."""

import json
from dataclasses import replace

import pytest

from messaging.clock import SystemClock
from simulator.platform import History
from tests.integration.workers.consuming import depth, processor
from tests.integration.workers.events import deliver, event, native, payload_of
from tests.integration.workers.reconcile.conftest import GAPS, HOUR_US, LAST, run
from tests.waiting import wait_until
from workers.db.engine import transact
from workers.db.interventions import record_decision
from workers.db.reconcile import DialectProfile, read_arrivals
from workers.handlers import OWN_HANDLERS
from workers.reconcile import DAY_US
from workers.reconcile.reconstruction import reconstruct_events


def guide(number, conversation, *, direction="inbound", **message):
    """Make a message in the guide's dialect that is five minutes old."""
    message = {"text": "a", "direction": direction, **message}
    payload = event("message", conversation=conversation, message=message, channel={"externalId": "x"})
    return payload | {"timestamp": native(number, after_s=-300)["channel"]["time"]}


def test_missing_events_are_found_and_take_effect_once(  # noqa: PLR0917  # fixtures
    compare, take, intake, working, channel, query
):
    """Guarantee 4.6."""
    receipt = {"kind": "genesys/receipt-published", "direction": "Outbound"}
    sent = [native(number, conversation=f"c-{number % 3}", after_s=-300) for number in range(12)]
    sent += [native(number, conversation=f"c-{number % 3}", after_s=-290, **receipt) for number in range(6)]
    lost = [sent[4], sent[9], sent[14]]
    take(sent, lost)
    assert compare() > 0
    assert depth(channel) == 3
    with working():
        wait_until(lambda: query("SELECT count(*) FROM processed_events") == [(18,)])
    assert query(GAPS) == [
        ("m-2", "openmessaging:receipt", "recovered"),
        ("m-4", "openmessaging:conversation:message", "recovered"),
        ("m-9", "openmessaging:conversation:message", "recovered"),
    ]
    assert query("SELECT missing, published, unreadable" + LAST) == [(3, 3, 0)]
    compare(0.5)
    assert depth(channel) == 0
    # The webhook of the recovered event arrives late.
    intake(deliver(lost[0]))
    assert query("SELECT sum(message_count) FROM conversations") == [(12,)]
    assert query("SELECT count(*) FROM processed_events WHERE source = 'reconcile'") == [(3,)]


def test_dead_letters_and_discarded_ones_do_not_count_as_missing(
    compare, organisation, engine, channel, query
):
    def fail(_connection, _events, _now_us):
        raise ValueError

    failing = processor(engine, dict.fromkeys(OWN_HANDLERS, (fail,)))
    payloads = [native(number, after_s=-300) for number in range(10)]
    for payload in payloads:
        organisation.history.record(payload)
        assert failing(deliver(payload, message_id=payload["id"]))
    compare()
    last = "SELECT compared, missing, published" + LAST
    assert query(last) == [(10, 0, 0)]
    transact(engine, lambda connection: record_decision(connection, ["m-1", "m-2"], "an-intervention"))
    organisation.history.record(native(10, after_s=-290))
    compare(0.5)
    assert query(last) == [(11, 1, 1)]
    assert depth(channel) == 1


def test_a_missing_event_is_published_once_unless_it_is_too_recent(
    compare, organisation, intake, channel, query
):
    """The event's conversation is known only from the platform's list."""
    # An event without our headers does not move the bounds of the comparison.
    strange = deliver(native(9, conversation="c-2"))
    intake(replace(strange, envelope=replace(strange.envelope, received_at_us=0)))
    organisation.history.record(native(1, conversation="unseen", after_s=-300))
    organisation.history.record(native(2, conversation="unseen", after_s=-5))
    compare()
    assert depth(channel) == 1
    assert query("SELECT conversation_id, became FROM reconciliation_gaps_v1") == [("unseen", "waiting")]
    compare(0.5)
    assert depth(channel) == 2
    # The first event is not published again: it is still waiting in the queue.
    assert query("SELECT missing, published, waiting" + LAST) == [(2, 1, 1)]


@pytest.mark.parametrize("is_known", [False, True])
def test_an_event_unknown_to_the_platform_is_compared_if_old_enough(compare, take, intake, query, is_known):
    if is_known:
        take([native(2, conversation="c-1", after_s=-300)])
    intake(deliver(native(1, conversation="c-1", after_s=-5)))
    compare()
    assert query("SELECT unmatched" + LAST) == [(0,)]
    compare(0.5)
    assert query("SELECT unmatched" + LAST) == [(1,)]


def test_an_event_with_a_time_in_the_future_does_not_keep_its_conversation_open(compare, intake, query):
    intake(deliver(native(1, conversation="c-1", after_s=86_400)))
    compare()
    assert query("SELECT state FROM platform_conversations") == [("unknown",)]


def test_an_open_conversation_with_unreadable_messages_is_read_again(compare, organisation, query):
    strange = native(1, after_s=-300, type="Hologram")
    organisation.history.record(strange)
    compare()
    compare(0.5)
    assert query("SELECT conversations, unreadable" + LAST) == [(1, 1)]


def test_comparing_a_conversation_without_new_messages_takes_one_request(compare, organisation, take):
    take([native(1, after_s=-300)])
    compare()
    organisation.requests.clear()
    compare(0.5)
    # The three requests are for the list, the counts, and the conversation, which was compared before.
    assert [each.partition(" ")[0] for each in organisation.requests] == ["POST", "GET", "GET"]


def test_only_one_process_compares_at_a_time_and_another_takes_over_if_it_is_killed(  # noqa: PLR0917  # fixtures
    started, make_reconciler, organisation, take, channel, query, clock
):
    take([native(number, conversation=f"c-{number:02}", after_s=-300) for number in range(12)])
    for number in (10, 11):
        organisation.history.record(native(20 + number, conversation=f"c-{number}", after_s=-290))
    other = make_reconciler("other")
    # Five steps read the list, the counts, the two conversations that differ, and one other conversation.
    for _ in range(5):
        assert started.reconcile()
    assert not other.reconcile()
    # The first process is killed, and its lease expires.
    clock.ahead_us = 180_000_000
    organisation.requests.clear()
    assert run(other)
    # The two conversations with missing events are read again, because those events were not yet published.
    asked = {each.split()[1].split("/")[5] for each in organisation.requests if "/messages/c-" in each}
    assert asked == {f"c-{number:02}" for number in range(1, 12)}
    assert depth(channel) == 2
    assert query("SELECT conversations, missing, published" + LAST) == [(12, 2, 2)]


def test_a_conversation_in_the_guides_dialect_is_compared_if_its_messages_have_ids(  # noqa: PLR0917  # fixtures
    compare, take, intake, working, channel, query
):
    with_ids = [guide(number, "g-1", id=f"g-{number}") for number in range(4)]
    without = [guide(number, "g-2") for number in range(4)]
    take(with_ids + without, lost=(with_ids[0], without[0]))
    compare()
    assert depth(channel) == 1
    with working():
        wait_until(lambda: depth(channel) == 0)
        wait_until(lambda: query("SELECT message_count FROM conversations ORDER BY 1") == [(3,), (4,)])
    intake(deliver(with_ids[0]))
    assert query("SELECT message_count FROM conversations ORDER BY 1") == [(3,), (4,)]
    # The history has one more message without an id than the service has received.
    assert query("SELECT unreadable" + LAST) == [(1,)]


def test_missing_messages_without_ids_are_not_a_mismatch(compare, intake, organisation, channel, query):
    for number in range(60):
        intake(deliver(guide(number, f"gone-{number % 7}")))
    organisation.history.record(guide(100, "g-1"))
    compare()
    assert query("SELECT mismatch, finished_at IS NULL" + LAST) == [(None, False)]


def test_a_conversation_in_the_guides_dialect_without_any_received_event_is_recovered(compare, take, query):
    payloads = [guide(number, name, id=f"g-{number}") for number, name in enumerate(("g-0", "new", "new"))]
    take(payloads, lost=payloads[1:])
    compare()
    assert query("SELECT platform_message_id FROM reconciliation_gaps_v1 ORDER BY 1") == [("g-1",), ("g-2",)]
    assert query("SELECT unreadable" + LAST) == [(0,)]


def test_detail_events_do_not_make_a_received_message_missing(compare, take, intake, channel, query):
    take([guide(1, "c-1", id="g-1", direction="outbound")])
    detail = json.dumps(payload_of("eventbridge/customer-start"))
    conversation_id = json.loads(detail)["detail"]["eventBody"]["conversationId"]
    intake(deliver(json.loads(detail.replace(conversation_id, "c-1"))))
    compare()
    assert depth(channel) == 0
    assert query("SELECT compared, missing" + LAST) == [(1, 0)]


def test_events_in_a_journal_do_not_count_as_missing(compare, organisation, intake, channel, query):
    payloads = [native(number, after_s=-1000 + number) for number in range(3)]
    for payload in payloads:
        organisation.history.record(payload)
    intake(received_before(deliver(payloads[0]), 990), deliver(native(9, conversation="c-2")))
    compare()
    assert depth(channel) == 0
    assert query("SELECT compared, missing" + LAST) == [(0, 0)]
    # By now, all events in the journal have been published. The missing events were not among them.
    compare(0.5)
    assert depth(channel) == 2


@pytest.mark.parametrize(
    ("seconds", "source", "is_late"),
    [(0, "webhook", False), (50, "webhook", False), (70, "webhook", True), (70, "replay", False)],
)
def test_a_webhook_processed_late_shows_that_a_journal_has_events(intake, engine, seconds, source, is_late):
    def late(ahead_us=0):
        now_us = SystemClock().now_us() + ahead_us
        return transact(
            engine, lambda connection: read_arrivals(connection, now_us, 60_000_000, DAY_US)
        ).late_us

    assert late() is None
    intake(received_before(deliver(native(1)), seconds, source), deliver(native(2)))
    assert (late() is not None) is is_late
    assert late(HOUR_US) is None


def received_before(delivery, seconds, source="webhook"):
    """Return the delivery as if it had been received *seconds* earlier."""
    received_at_us = delivery.envelope.received_at_us - seconds * 1_000_000
    return replace(
        delivery, envelope=replace(delivery.envelope, received_at_us=received_at_us, source=source)
    )


OUTCOME = "SELECT missing, published, mismatch IS NULL" + LAST


def test_all_events_that_an_outage_of_the_edge_lost_are_recovered(compare, take, channel, query):
    payloads = [native(number, conversation=f"c-{number % 7}", after_s=-300) for number in range(200)]
    take(payloads, lost=payloads[60:])
    compare()
    assert query(OUTCOME) == [(140, 140, True)]
    assert depth(channel) == 140


@pytest.mark.parametrize("has_our_conversations", [True, False])
def test_no_event_is_published_if_the_history_lacks_our_events(  # noqa: PLR0917  # fixtures
    compare, organisation, intake, channel, query, has_our_conversations
):
    """Guarantee 7.16."""
    for number in range(60):
        payload = native(number, conversation=f"c-{number % 7}", after_s=-300)
        intake(deliver(payload))
        # The integration id in the history differs from that of our events, so every message is missing.
        other = {**payload, "channel": payload["channel"] | {"id": "another"}}
        if not has_our_conversations:
            other = native(100 + number, conversation=f"of-another-organisation-{number % 7}", after_s=-300)
        organisation.history.record(other)
    compare()
    assert query(OUTCOME) == [(0, 0, False)]
    assert depth(channel) == 0
    assert not compare(1)
    assert query("SELECT count(*) FROM reconciliation_gaps") == [(0,)]


def test_a_conversation_that_takes_longer_than_a_lease_is_compared_by_one_process(  # noqa: PLR0917  # fixtures
    started, make_reconciler, organisation, take, channel, query, clock
):
    payloads = [native(number, after_s=-300, id=f"m-{number:04}") for number in range(700)]
    take(payloads, lost=[payloads[number] for number in (30, 250, 650)])
    others = [native(1000 + number, conversation="c-0", after_s=-300) for number in range(61)]
    take(others, lost=others[60:])
    organisation.requests.clear()

    def pieces():
        return sum(each.endswith("c-1/messages/bulk") for each in organisation.requests)

    other = make_reconciler("other")
    # A lease lasts 120 seconds, and every step renews it.
    while pieces() < 2:
        assert started.reconcile()
        clock.ahead_us += 100_000_000
        assert not other.reconcile()
    # The first process is killed, and the other process reads the conversation from its beginning.
    clock.ahead_us += 180_000_000
    organisation.requests.clear()
    run(other)
    assert pieces() == 4
    assert depth(channel) == 4
    clock.ahead_us = HOUR_US
    run(other)
    assert query("SELECT count(*) FROM reconciliation_gaps") == [(4,)]


def test_conversations_with_equal_counts_are_read_last_if_time_is_left(
    started, organisation, take, query, clock
):
    take([native(number, conversation=f"c-{number:02}", after_s=-300) for number in range(20)])
    organisation.history.record(native(30, conversation="c-19", after_s=-290))
    organisation.requests.clear()
    for _ in range(3):
        assert started.reconcile()
    assert organisation.requests[2].endswith("/conversations/messages/c-19")
    # The next comparison is scheduled for this time.
    clock.ahead_us = HOUR_US // 4 + 1
    assert query("SELECT count(*) FROM reconciliations WHERE finished_at IS NULL") == [(1,)]
    while query("SELECT finished_at" + LAST) == [(None,)]:
        started.reconcile()
    assert query("SELECT missing, unread" + LAST) == [(1, 19)]


@pytest.mark.parametrize("copy_first", [True, False])
@pytest.mark.parametrize(
    "kind", ["text", "structured-quick-replies", "attachment", "receipt-failed", "receipt-published"]
)
def test_a_reconstructed_event_and_its_original_take_effect_once_in_either_order(
    intake, query, kind, copy_first
):
    """Guarantee 3.2."""
    original = native(1, kind=f"genesys/{kind}", direction="Outbound")
    history = History()
    if "receipt" in kind:
        history.record(native(1, type="Text"))
    history.record(original)
    data = history.conversations["c-1"].known_messages()
    copies = reconstruct_events("c-1", data[0], DialectProfile("genesys", has_ids=True))
    copy = next(each for each in copies if each.event.receipt_status == original.get("status"))
    bodies = [copy.body, json.dumps(original).encode()]
    for body in bodies if copy_first else reversed(bodies):
        assert not intake(deliver(body))
    assert query("SELECT event_count FROM conversations") == [(1,)]
    assert query("SELECT count(*) FROM processed_events") == [(1,)]
