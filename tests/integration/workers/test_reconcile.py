"""What the platform has and we had not takes effect, once, and is on record."""

import json

import pytest

from messaging.clock import SystemClock
from messaging.errors import RetryLaterError
from messaging.topology import EVENTS_QUEUE
from simulator.platform import Fault, History
from simulator.platform.history_routes import as_data
from tests.integration.workers.conftest import (
    CLIENT_SECRET,
    REQUESTS_PER_MINUTE,
    deliver,
    event,
    native,
    payload_of,
)
from tests.integration.workers.test_consumer import depth, wait_until
from tests.services import GONE
from workers.genesys import GenesysSettings
from workers.reconcile import (
    Checker,
    Comparer,
    EventsExchange,
    Reconciler,
    ReconcileSettings,
    platform_history_of,
)
from workers.reconcile.copies import copies_of
from workers.tables import Manner, manner_of, transact

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
        checker = Checker(engine, history, receipts=True)
        comparer = Comparer(engine, clock, checker, exchange, holder=holder, again=False)
        return Reconciler(
            engine, clock, history, comparer, exchange=exchange, settings=settings, holder=holder
        )

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
    intake(deliver(native(1, conversation="native")), deliver(detail_event("native")))
    assert manner("native").dialect == "genesys"
    intake(deliver(event("message", message={"id": "g-1"})), deliver(detail_event("c-1")))
    assert manner("c-1") == Manner("guide", has_ids=True)
    # Nor where a conversation has nothing else: it is as the newest of the others.
    assert manner("nothing-else") == Manner("guide", has_ids=False)


def test_a_guides_message_beside_detail_events_is_not_missing(started, organisation, intake, channel, query):
    at = native(1, after_s=-300)["channel"]["time"]
    message = {"id": "g-1", "text": "a", "direction": "outbound"}
    payload = event("message", message=message, channel={"externalId": "x"}) | {"timestamp": at}
    organisation.history.record(payload)
    intake(deliver(payload), deliver(detail_event("c-1")))
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
