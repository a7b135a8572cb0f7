"""Conversations without a start event are announced, and typing indicators are only counted."""

from datetime import UTC, datetime, timedelta

import pytest

from messaging.clock import SystemClock
from tests.integration.workers.events import deliver, payload_of, said
from workers.db.ingest import WindowBounds
from workers.filters import check_filter
from workers.intake import Intake, unstored_types
from workers.settle import Settler

AT_ONCE = WindowBounds(0, 0)
OUTBOX = "SELECT event_type, event_id IS NULL, late FROM outbox ORDER BY id"
NEW = "openmessaging:conversation:new"
MESSAGE = "openmessaging:conversation:message"
RECEIPT = "openmessaging:receipt"


@pytest.fixture
def counting(engine, handlers):
    """Return a function that processes deliveries with intake's default settings and settles at once."""
    intake = Intake(engine, handlers, SystemClock(), window=AT_ONCE, unstored=unstored_types(handlers))

    def process(*deliveries):
        settlement = intake.process(deliveries)
        Settler(engine, SystemClock(), window=AT_ONCE, verifies=False).settle_windows()
        return settlement

    return process


def told(query):
    return [(event_type, bool(unnotified), bool(late)) for event_type, unnotified, late in query(OUTBOX)]


START, TEXT, RECEIVED = "eventbridge/customer-start", "genesys/text", "genesys/receipt-published"
NAMELESS = {"conversationId": None}
SESSIONS = {
    "the first message starts it, the next does not": (
        [[(TEXT, {})], [(TEXT, {"id": "another"})]],
        [(NEW, True, False), (MESSAGE, False, False), (MESSAGE, False, False)],
    ),
    "a receipt that comes first starts it": (
        [[(RECEIVED, {}), (TEXT, {})]],
        [(NEW, True, False), (RECEIPT, False, False), (MESSAGE, False, False)],
    ),
    "a receipt of no named conversation does not": ([[(RECEIVED, NAMELESS)]], [(RECEIPT, False, False)]),
    "a notified start comes first": (
        [[(START, {})], [(TEXT, {})]],
        [(NEW, False, False), (MESSAGE, False, False)],
    ),
    "a notified start after the first message is late": (
        [[(TEXT, {})], [(START, {})]],
        [(NEW, True, False), (MESSAGE, False, False), (NEW, False, True)],
    ),
}


@pytest.mark.parametrize(("batches", "entries"), SESSIONS.values(), ids=SESSIONS)
def test_a_conversation_is_announced_before_its_events(counting, query, batches, entries):
    for batch in batches:
        counting(*[deliver(payload_of(name) | changes) for name, changes in batch])
    assert told(query) == entries


def test_a_conversations_start_is_sent_before_its_receipt_in_a_batch_with_other_receipts(counting, query):
    """A handler gets all receipts of a batch at once, and here another conversation's receipt comes first."""
    start, receipt = payload_of("eventbridge/customer-start"), payload_of("genesys/receipt-published")
    of_another = receipt | {"conversationId": "0-before-the-other", "id": "another"}
    counting(deliver(of_another), deliver(start), deliver(receipt))
    told_of = "SELECT event_type, event_id IS NULL, late FROM outbox WHERE conversation_id = :id ORDER BY id"
    rows = query(told_of, id=receipt["conversationId"])
    assert [(kind, bool(unnotified), bool(late)) for kind, unnotified, late in rows] == [
        (NEW, False, False),
        (RECEIPT, False, False),
    ]


def test_typing_indicators_are_counted_by_day_and_not_stored(counting, query):
    settlements = [counting(deliver(payload_of("genesys/typing"))) for _ in range(3)]
    assert not any(settlement.rejected or settlement.retries for settlement in settlements)
    assert query("SELECT event_type, events FROM unstored_events") == [("openmessaging:typing", 3)]
    assert query("SELECT count(*) FROM processed_events") == [(0,)]
    assert query("SELECT count(*) FROM conversations") == [(0,)]


def test_events_in_one_body_with_a_typing_indicator_are_stored(counting, query):
    kinds = [{"eventType": "Typing"}, {"eventType": "Presence"}]
    counting(deliver(payload_of("genesys/typing") | {"events": kinds}))
    assert query("SELECT event_type, reason FROM processed_events") == [
        ("openmessaging:event:presence", "no_handler")
    ]
    assert query("SELECT sum(events) FROM unstored_events") == [(1,)]


def test_typing_indicators_are_stored_if_an_integrators_handler_exists_for_them(handlers):
    handlers["openmessaging:typing"] += (lambda *_: {},)
    assert unstored_types(handlers) == frozenset()


def test_an_event_that_the_filter_excludes_is_recorded_as_skipped_without_effect(engine, handlers, query):
    guarded = Intake(
        engine, handlers, SystemClock(), event_filter=check_filter("channel.externalId == 'mine'")
    )
    channels = [{"type": "custom", "externalId": name} for name in ("mine", "yours")]

    guarded.process(
        [deliver(said(str(n), after_ms=n, channel=channel)) for n, channel in enumerate(channels)]
        + [deliver(said("untold", after_ms=9))]
    )

    assert query("SELECT outcome, reason FROM processed_events ORDER BY occurred_at") == [
        ("processed", None),
        ("skipped", "filtered"),
        ("processed", None),
    ]
    assert query("SELECT event_count, message_count FROM conversations") == [(2, 2)]
    assert query("SELECT count(*) FROM event_payloads") == [(3,)]


def test_an_event_older_than_the_retention_is_recorded_as_skipped_and_has_no_effect(engine, handlers, query):
    now = datetime.now(UTC)
    retention = timedelta(days=30)
    keeping = Intake(engine, handlers, SystemClock(), retention_us=retention // timedelta(microseconds=1))
    ages = {
        "young": timedelta(0),
        "old": retention - timedelta(hours=1),
        "too old": retention + timedelta(hours=1),
        # The sender has added a canary's header, which is possible because signatures do not cover headers.
        "canary": retention + timedelta(hours=2),
    }

    keeping.process(
        [
            deliver(
                said(words, conversation=words, timestamp=f"{now - age:%Y-%m-%dT%H:%M:%SZ}"),
                source="canary" if words == "canary" else "webhook",
            )
            for words, age in ages.items()
        ]
    )

    assert query("SELECT outcome, reason FROM processed_events ORDER BY occurred_at DESC") == [
        ("processed", None),
        ("processed", None),
        *[("skipped", "too_old")] * 2,
    ]
    assert query("SELECT count(*) FROM conversations") == [(2,)]
