"""What the platform has and we had not takes effect, once, and is on record."""

import json
from dataclasses import replace

import pytest
from flask import request

from messaging.clock import SystemClock
from messaging.errors import RetryLaterError
from messaging.topology import EVENTS_QUEUE
from simulator.platform import Fault, History
from simulator.platform.history_routes import as_data
from tests.integration.workers.conftest import CLIENT_SECRET, REQUESTS_PER_MINUTE
from tests.integration.workers.consuming import depth, wait_until
from tests.integration.workers.events import deliver, event, native, payload_of
from tests.integration.workers.reconcile.reconcilers import reconciler_of
from tests.services import GONE
from workers.genesys import GenesysSettings
from workers.reconcile import (
    EventsExchange,
    ReconcileSettings,
    platform_history_of,
)
from workers.reconcile.copies import copies_of
from workers.tables import Manner, late_received_us, manner_of, transact

HOUR_US = 3_600_000_000


class MovableClock(SystemClock):
    """The host's clock, moved by the test."""

    def __init__(self):
        self.ahead_us = 0

    def now_us(self):
        return super().now_us() + self.ahead_us


@pytest.fixture
def clock():
    return MovableClock()


@pytest.fixture
def make_reconciler(  # noqa: PLR0917  # fixtures
    platform_url,
    engine,
    migrated_url,
    vhost,
    channel,
    clock,
):
    """Make one process's reconciler."""

    def make(holder="one", amqp_url=vhost.amqp_url):
        genesys = GenesysSettings(platform_url, platform_url, "client", CLIENT_SECRET, REQUESTS_PER_MINUTE)
        settings = ReconcileSettings(genesys, (vhost.amqp_url,), migrated_url, margin_seconds=60.0)
        history = platform_history_of(genesys, engine, clock)
        exchange = EventsExchange((amqp_url,))
        return reconciler_of(engine, clock, history, exchange=exchange, settings=settings, holder=holder)

    return make


def run(reconciler):
    """Take steps until nothing is to do."""
    steps = 0
    while reconciler.reconcile():
        steps += 1
    return steps


@pytest.fixture
def started(make_reconciler, clock):
    """A reconciler that has begun to watch an hour ago."""
    reconciler = make_reconciler()
    clock.ahead_us = -HOUR_US
    run(reconciler)
    clock.ahead_us = 0
    return reconciler


GAPS = "SELECT platform_message_id, event_type, became FROM reconciliation_gaps_v1 ORDER BY 1, 2"


def test_what_never_came_is_found_and_takes_effect_once_and_nothing_else(  # noqa: PLR0917  # fixtures
    started,
    organisation,
    intake,
    working,
    channel,
    query,
    clock,
):
    receipt = {"kind": "genesys/receipt-published", "direction": "Outbound"}
    sent = [native(number, conversation=f"c-{number % 3}", after_s=-300) for number in range(12)]
    sent += [native(number, conversation=f"c-{number % 3}", after_s=-290, **receipt) for number in range(6)]
    lost = [sent[4], sent[9], sent[14]]
    for payload in sent:
        organisation.history.record(payload)
        if payload not in lost:
            intake(deliver(payload))
    assert run(started) > 0
    assert depth(channel) == 3
    with working():
        wait_until(lambda: query("SELECT count(*) FROM processed_events") == [(18,)])
    assert query(GAPS) == [
        ("m-2", "openmessaging:receipt", "recovered"),
        ("m-4", "openmessaging:conversation:message", "recovered"),
        ("m-9", "openmessaging:conversation:message", "recovered"),
    ]
    assert query("SELECT missing, published, unreadable FROM reconciliations ORDER BY id DESC LIMIT 1") == [
        (3, 3, 0)
    ]
    clock.ahead_us = HOUR_US // 2
    run(started)
    assert depth(channel) == 0
    # The original, late after all.
    intake(deliver(lost[0]))
    assert query("SELECT sum(message_count) FROM conversations") == [(12,)]
    assert query("SELECT count(*) FROM processed_events WHERE source = 'reconcile'") == [(3,)]


def test_a_conversation_never_seen_is_found_by_the_platforms_list(started, organisation, channel, query):
    organisation.history.record(native(1, conversation="unseen", after_s=-300))
    run(started)
    assert depth(channel) == 1
    assert query("SELECT conversation_id, became FROM reconciliation_gaps_v1") == [("unseen", "waiting")]


def test_what_may_still_be_on_its_way_is_left_for_the_next_time(started, organisation, channel, clock):
    organisation.history.record(native(1, after_s=-300))
    organisation.history.record(native(2, after_s=-5))
    run(started)
    assert depth(channel) == 1
    clock.ahead_us = HOUR_US // 2
    run(started)
    assert depth(channel) == 2


def test_what_was_before_the_first_comparison_is_not_missing(make_reconciler, organisation, channel, clock):
    organisation.history.record(native(1, after_s=-300))
    reconciler = make_reconciler()
    run(reconciler)
    clock.ahead_us = HOUR_US // 2
    run(reconciler)
    assert depth(channel) == 0


def test_a_conversation_without_news_costs_one_request(started, organisation, intake, clock):
    payload = native(1, after_s=-300)
    organisation.history.record(payload)
    intake(deliver(payload))
    run(started)
    clock.ahead_us = HOUR_US // 2
    organisation.requests.clear()
    run(started)
    # Once it was seen as it stands, with nothing too new.
    assert [each.partition(" ")[0] for each in organisation.requests] == ["POST", "GET"]


def test_a_gap_that_cannot_be_processed_is_published_once(started, organisation, channel, query, clock):
    organisation.history.record(native(1, after_s=-300))
    run(started)
    clock.ahead_us = HOUR_US // 2
    organisation.history.record(native(2, after_s=-290))
    run(started)
    assert depth(channel) == 2
    assert query("SELECT missing, published, waiting FROM reconciliations ORDER BY id DESC LIMIT 1") == [
        (2, 1, 1)
    ]


def test_two_at_once_share_the_work_and_a_killed_ones_is_taken_over(  # noqa: PLR0917  # fixtures
    started,
    make_reconciler,
    organisation,
    channel,
    query,
    clock,
):
    for number in range(12):
        organisation.history.record(native(number, conversation=f"c-{number:02}", after_s=-300))
    other = make_reconciler("other")
    assert started.reconcile()
    assert started.reconcile()
    assert not other.reconcile()
    read = query("SELECT read_through FROM reconciliations ORDER BY id DESC LIMIT 1")
    assert read == [("c-04",)]
    # The first is killed; its hold runs out.
    clock.ahead_us = 180_000_000
    organisation.requests.clear()
    assert run(other)
    assert not any("c-04" in each for each in organisation.requests)
    assert depth(channel) == 12
    assert query("SELECT conversations, missing FROM reconciliations ORDER BY id DESC LIMIT 1") == [(12, 12)]


def test_a_platform_that_fails_leaves_the_comparison_where_it_was(started, organisation, channel, query):
    organisation.history.record(native(1, after_s=-300))
    assert started.reconcile()
    organisation.strike(Fault(503))
    with pytest.raises(Exception, match="503"):
        started.reconcile()
    assert query("SELECT conversations FROM reconciliations ORDER BY id DESC LIMIT 1") == [(0,)]
    run(started)
    assert depth(channel) == 1


@pytest.mark.parametrize(
    "answer",
    [
        ("<html>busy</html>", 503),
        ('{"code": "too.many.requests"}', 429),
        ("<html>a proxy's</html>", 200),
        ('{"error": "invalid_request"}', 400),
    ],
)
def test_a_login_that_fails_leaves_the_comparison_where_it_was(started, organisation, channel, query, answer):
    organisation.history.record(native(1, after_s=-300))
    assert started.reconcile()
    organisation.revoke_tokens()
    organisation.login_answers.append(answer)
    with pytest.raises(RetryLaterError):
        started.reconcile()
    assert query("SELECT conversations FROM reconciliations ORDER BY id DESC LIMIT 1") == [(0,)]
    run(started)
    assert depth(channel) == 1


@pytest.fixture
def fail(organisation, monkeypatch):
    """Have every request for a conversation fail so, whatever it asks of it."""

    def fail(faults):
        def next_fault(_method):
            return next((fault for name, fault in faults.items() if name in request.path), None)

        monkeypatch.setattr(organisation, "next_fault", next_fault)

    return fail


def test_a_conversation_of_another_division_holds_up_no_other(  # noqa: PLR0917  # fixtures
    started, organisation, channel, query, clock, fail
):
    for number in range(7):
        organisation.history.record(native(number, conversation=f"c-{number}", after_s=-300))
    # One that is refused whole, one of which only the messages are.
    fail({"conversations/messages/c-0": Fault(403), "messages/c-5/messages/bulk": Fault(400)})
    run(started)
    assert depth(channel) == 5
    last = "SELECT conversations, missing, finished_at IS NULL FROM reconciliations ORDER BY id DESC LIMIT 1"
    assert query(last) == [(5, 5, False)]
    states = "SELECT conversation_id, state FROM platform_conversations WHERE fingerprint IS NULL ORDER BY 1"
    assert query(states) == [("c-0", "open"), ("c-5", "open")]
    fail({})
    clock.ahead_us = HOUR_US // 2
    run(started)
    assert depth(channel) == 7
    assert query(states) == []


def test_a_conversation_that_never_has_an_answer_holds_up_no_other(  # noqa: PLR0917  # fixtures
    started, organisation, channel, query, clock, fail
):
    for number in range(7):
        organisation.history.record(native(number, conversation=f"c-{number}", after_s=-300))
    fail({"c-2": Fault(504), "c-6/messages/bulk": Fault(500)})
    run_patiently(started)
    assert depth(channel) == 5
    last = "SELECT conversations, passed_over, finished_at IS NULL FROM reconciliations_v2 ORDER BY id DESC"
    assert query(f"{last} LIMIT 1") == [(5, 2, False)]
    clock.ahead_us = HOUR_US // 2
    # All of it fails: nothing is passed over.
    organisation.history.record(native(8, conversation="c-8", after_s=-300))
    assert started.reconcile()
    fail({"": Fault(503)})
    run_patiently(started)
    read = "SELECT conversations, read_through FROM reconciliations ORDER BY id DESC LIMIT 1"
    assert query(read) == [(0, "")]
    fail({})
    run(started)
    assert depth(channel) == 8


def run_patiently(reconciler):
    """Take steps until nothing is to do, or the platform has been away for long."""
    for _ in range(50):
        try:
            if not reconciler.reconcile():
                return
        except RetryLaterError:
            pass


@pytest.mark.parametrize("refuses", [False, True])
def test_a_broker_that_is_away_or_refuses_leaves_the_comparison_where_it_was(  # noqa: PLR0917  # fixtures
    started, make_reconciler, organisation, channel, vhost, query, refuses
):
    organisation.history.record(native(1, after_s=-300))
    broken = make_reconciler(amqp_url=f"{vhost.amqp_url}x" if refuses else GONE)
    with pytest.raises(RetryLaterError, match="OM_AMQP_URL"):
        broken.reconcile()
    # It has begun and knows its conversations, but not what to publish yet.
    assert started.reconcile()
    with pytest.raises(RetryLaterError, match="OM_AMQP_URL"):
        broken.reconcile()
    assert query("SELECT conversations FROM reconciliations ORDER BY id DESC LIMIT 1") == [(0,)]
    run(started)
    assert depth(channel) == 1


def test_without_the_right_to_list_what_is_known_is_compared_and_the_list_is_made_up_for(  # noqa: PLR0917  # fixtures
    started, organisation, intake, channel, query, clock
):
    known = [native(number, after_s=-300) for number in range(2)]
    for payload in (*known, native(7, conversation="unseen", after_s=-300)):
        organisation.history.record(payload)
    intake(deliver(known[0]))
    organisation.strike(Fault(403))
    run(started)
    assert query("SELECT platform_message_id FROM reconciliation_gaps_v1") == [("m-1",)]
    [[unlisted, finished_at]] = query(
        "SELECT unlisted, finished_at FROM reconciliations ORDER BY id DESC LIMIT 1"
    )
    assert "403" in unlisted
    assert finished_at is not None
    # The day before is asked for only because its list is missing; nothing waits that would hold the time.
    channel.queue_purge(EVENTS_QUEUE)
    organisation.strike(Fault(403))
    clock.ahead_us = 26 * HOUR_US
    run(started)
    clock.ahead_us = 52 * HOUR_US
    run(started)
    assert query("SELECT platform_message_id FROM reconciliation_gaps_v1 ORDER BY 1") == [("m-1",), ("m-7",)]
    assert query("SELECT unlisted FROM reconciliations ORDER BY id DESC LIMIT 1") == [(None,)]


def test_a_guide_conversation_is_compared_where_its_messages_have_ids(  # noqa: PLR0917  # fixtures
    started,
    organisation,
    intake,
    working,
    channel,
    query,
):
    def guide(number, conversation, **message):
        at = native(number, after_s=-300)["channel"]["time"]
        channel = {"type": "custom", "externalId": "x"}
        event = {"eventType": "openmessaging:conversation:message", "conversationId": conversation}
        return {**event, "timestamp": at, "channel": channel, "message": {"text": "a", **message}}

    with_ids = [guide(number, "g-1", id=f"g-{number}", direction="inbound") for number in range(4)]
    without = [guide(number, "g-2") for number in range(4)]
    for payload in with_ids + without:
        organisation.history.record(payload)
    for payload in with_ids[1:] + without[1:]:
        intake(deliver(payload))
    run(started)
    assert depth(channel) == 1
    with working():
        wait_until(lambda: depth(channel) == 0)
        wait_until(lambda: query("SELECT message_count FROM conversations ORDER BY 1") == [(3,), (4,)])
    intake(deliver(with_ids[0]))
    assert query("SELECT message_count FROM conversations ORDER BY 1") == [(3,), (4,)]
    assert query("SELECT unreadable FROM reconciliations ORDER BY id DESC LIMIT 1") == [(4,)]


def test_what_a_journal_still_holds_is_not_missing(  # noqa: PLR0917  # fixtures
    started, organisation, intake, channel, query, clock
):
    payloads = [native(number, after_s=-1000 + number) for number in range(3)]
    for payload in payloads:
        organisation.history.record(payload)
    intake(received_before(deliver(payloads[0]), 990), deliver(native(9, conversation="c-2")))
    run(started)
    assert depth(channel) == 0
    assert query("SELECT compared, missing FROM reconciliations ORDER BY id DESC LIMIT 1") == [(0, 0)]
    # The journal has long given out all that it held, and that was not among it.
    clock.ahead_us = HOUR_US // 2
    run(started)
    assert depth(channel) == 2


@pytest.mark.parametrize(
    ("seconds", "source", "is_late"),
    [(0, "webhook", False), (50, "webhook", False), (70, "webhook", True), (70, "replay", False)],
)
def test_what_webhooks_brought_and_was_processed_late_just_now_says_that_more_is_to_come(
    intake, engine, seconds, source, is_late
):
    def late(ahead_us=0):
        now_us = SystemClock().now_us() + ahead_us
        return transact(engine, lambda connection: late_received_us(connection, now_us, 60_000_000))

    assert late() is None
    intake(received_before(deliver(native(1)), seconds, source), deliver(native(2)))
    assert (late() is not None) is is_late
    assert late(HOUR_US) is None


def received_before(delivery, seconds, source="webhook"):
    """Have a delivery come in so many seconds earlier."""
    received_at_us = delivery.envelope.received_at_us - seconds * 1_000_000
    return replace(
        delivery, envelope=replace(delivery.envelope, received_at_us=received_at_us, source=source)
    )


def detail_event(conversation):
    """Make a detail event of a conversation."""
    payload = payload_of("eventbridge/customer-start")
    body = payload["detail"]["eventBody"]
    payload["detail"]["topicName"] = payload["detail"]["topicName"].replace(
        body["conversationId"], conversation
    )
    body["conversationId"] = conversation
    return payload


def test_detail_events_say_nothing_of_how_messages_are_notified(intake, engine):
    def manner(conversation):
        return transact(engine, lambda connection: manner_of(connection, conversation))

    intake(deliver(detail_event("nothing-else")))
    assert manner("nothing-else") == Manner(None, has_ids=False)
    # One after the other: within a batch the order is that of the keys.
    intake(deliver(native(1, conversation="native")))
    intake(deliver(detail_event("native")))
    assert manner("native").dialect == "genesys"
    intake(deliver(event("message", message={"id": "g-1"})))
    intake(deliver(detail_event("c-1")))
    assert manner("c-1") == Manner("guide", has_ids=True)
    # Nor where a conversation has nothing else: it is as the newest of the others.
    assert manner("nothing-else") == Manner("guide", has_ids=False)


def test_a_guides_message_beside_detail_events_is_not_missing(started, organisation, intake, channel, query):
    at = native(1, after_s=-300)["channel"]["time"]
    message = {"id": "g-1", "text": "a", "direction": "outbound"}
    payload = event("message", message=message, channel={"externalId": "x"}) | {"timestamp": at}
    organisation.history.record(payload)
    intake(deliver(payload))
    intake(deliver(detail_event("c-1")))
    run(started)
    assert depth(channel) == 0
    assert query("SELECT compared, missing FROM reconciliations ORDER BY id DESC LIMIT 1") == [(1, 0)]


@pytest.mark.parametrize("copy_first", [True, False])
@pytest.mark.parametrize(
    "kind", ["text", "structured-quick-replies", "attachment", "receipt-failed", "receipt-published"]
)
def test_a_copy_and_its_original_have_one_effect_in_either_order(intake, query, kind, copy_first):
    original = native(1, kind=f"genesys/{kind}", direction="Outbound")
    history = History()
    if "receipt" in kind:
        history.record(native(1, type="Text"))
    history.record(original)
    conversation = history.conversation("c-1")
    data = [as_data(conversation, each) for each in conversation.said]
    copies = copies_of("c-1", data[0], Manner("genesys", has_ids=True), receipts=True)
    copy = next(each for each in copies if each.event.receipt_status == original.get("status"))
    bodies = [copy.body, json.dumps(original).encode()]
    for body in bodies if copy_first else reversed(bodies):
        assert not intake(deliver(body))
    assert query("SELECT event_count FROM conversations") == [(1,)]
    assert query("SELECT count(*) FROM processed_events") == [(1,)]
