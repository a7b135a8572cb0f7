"""An event reconstructed from the platform's history has the key of its original."""

import json
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.platform import History
from simulator.platform.history import PastMessage, as_normalized
from workers.db.reconcile import DialectProfile
from workers.parsing import EVENT_TYPES, DriftNotes, read_body
from workers.parsing.dialects.genesys import CONTENT_TYPES
from workers.reconcile.reconstruction import reconstruct_events

NATIVE = DialectProfile("genesys", has_ids=True)

# These values are from ConversationNormalizedMessage and ConversationReason in release 269 of the Python SDK.
REASONS = ("MessageExpired", "RateLimited", "GeneralError")
STATUSES = ("Sent", "Delivered", "Read", "Failed", "Published", "Removed")

IDS = st.uuids().map(lambda drawn: drawn.hex)
# A webhook's body can contain these texts; lone surrogates are tested with the parser instead.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@st.composite
def channels(draw, message_id):
    integration = draw(st.uuids().map(str))
    channel = {
        "id": integration,
        "platform": "Open",
        "type": draw(st.sampled_from(("Private", "Public"))),
        "to": {"id": draw(TEXTS) or "customer", "idType": "Opaque"},
        "from": {"nickname": draw(TEXTS), "id": integration, "idType": "Opaque"},
        "time": draw(st.datetimes().filter(lambda each: 1970 < each.year < 2255)).strftime(
            "%Y-%m-%dT%H:%M:%S.123Z"
        ),
    }
    return channel | draw(st.sampled_from(({}, {"messageId": message_id})))


@st.composite
def messages(draw):
    message_id = draw(IDS)
    kind = draw(st.sampled_from(sorted(CONTENT_TYPES)))
    content = [{"contentType": kind, kind[0].lower() + kind[1:]: {"text": draw(TEXTS)}}]
    optional = {
        "text": draw(TEXTS),
        "content": content,
        "originatingEntity": draw(st.sampled_from(("Human", "Bot"))),
        "metadata": {"a": draw(TEXTS)},
        "relatedMessages": [],
    }
    names = draw(st.sets(st.sampled_from(sorted(optional))))
    return {
        "id": message_id,
        "channel": draw(channels(message_id)),
        "type": draw(st.sampled_from(("Text", "Structured"))),
        "direction": "Outbound",
        "conversationId": draw(st.uuids().map(str)),
        **{name: optional[name] for name in names},
    }


@st.composite
def receipts(draw, message):
    receipt = {
        **{name: message[name] for name in ("id", "channel", "direction", "conversationId")},
        "type": "Receipt",
        "status": draw(st.sampled_from(STATUSES)),
    }
    reasons = st.lists(
        st.fixed_dictionaries({"code": st.sampled_from(REASONS), "message": TEXTS}), max_size=2
    )
    said = {"isFinalReceipt": draw(st.sampled_from((True, False, None))), "reasons": draw(reasons)}
    return receipt | {name: said[name] for name in draw(st.sets(st.sampled_from(sorted(said))))}


def key_of(payload):
    body = json.dumps(payload, ensure_ascii=False).encode()
    [event] = read_body(body, DriftNotes(), EVENT_TYPES)
    return event.idempotency_key


def copies(history, conversation_id):
    data = history.conversations[conversation_id].known_messages()
    return [copy for each in data for copy in reconstruct_events(conversation_id, each, NATIVE)]


@settings(max_examples=50)
@given(st.data())
def test_every_kind_of_message_and_receipt_has_the_same_key_in_the_history_and_on_the_webhook(data):
    message = data.draw(messages())
    said = [message, *data.draw(st.lists(receipts(message), max_size=4))]
    history = History()
    for payload in said:
        history.record(payload)
    keys = [copy.event.idempotency_key for copy in copies(history, message["conversationId"])]
    assert set(keys) == {key_of(payload) for payload in said}


@settings(max_examples=50)
@given(st.data())
def test_differences_between_history_and_webhook_do_not_change_the_key(data):
    message = data.draw(messages())
    receipt = data.draw(receipts(message))
    sparse = [
        {name: value for name, value in as_normalized(each).items() if value} for each in (message, receipt)
    ]
    for content in sparse:
        # The times differ by milliseconds, and a receipt need not repeat its message's id.
        content["channel"] = content["channel"] | {"time": "2025-06-10T21:03:05.999Z"}
    sparse[1].pop("id")
    past = PastMessage(message["id"], sparse[0], [sparse[1]])
    told = past.as_data(message["conversationId"])
    [one, other] = reconstruct_events(message["conversationId"], told, NATIVE)
    assert one.event.idempotency_key == key_of(message)
    assert other.event.idempotency_key == key_of(receipt)


CHANNEL = {"id": "i", "time": "2026-01-01T00:00:00Z"}
MESSAGE = {"id": "m", "type": "Text", "direction": "Outbound", "channel": CHANNEL}


def count_copies(profile=NATIVE, receipts=(), **message):
    data = {"id": "m", "normalizedMessage": MESSAGE | message, "normalizedReceipts": list(receipts)}
    return [copy is not None for copy in reconstruct_events("c", data, profile)]


def test_a_customers_message_in_the_history_does_not_count_as_missing():
    assert count_copies(direction="Inbound") == []


def test_a_message_of_an_unknown_type_is_counted_as_unreadable():
    assert count_copies(type="Hologram") == [False]


def test_receipts_are_left_out_if_the_dialect_has_none():
    receipt = MESSAGE | {"type": "Receipt", "status": "Read"}
    assert count_copies(receipts=[receipt]) == [True, True]
    assert count_copies(replace(NATIVE, has_receipts=False), [receipt]) == [True]


def test_a_reconstructed_message_in_the_guides_dialect_has_the_key_of_its_original():
    content = {"id": "m", "text": "a", "direction": "Inbound", "channel": {"id": "x"}}
    data = {"id": "m", "timestamp": "2026-01-01T00:00:00.120Z", "normalizedMessage": content}
    [copy] = reconstruct_events("c", data, DialectProfile("guide", has_ids=True))
    original = {
        "eventType": "openmessaging:conversation:message",
        "conversationId": "c",
        "timestamp": "2026-01-01T00:00:00.12Z",
        "message": {"id": "m", "text": "a"},
    }
    assert copy.event.idempotency_key == key_of(original)
