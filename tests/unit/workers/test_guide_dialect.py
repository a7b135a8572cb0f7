import pytest


def test_the_guides_own_sample_is_read(read, payload):
    event = read(payload("guide/conversation-new"))
    assert event.event_type == "openmessaging:conversation:new"
    assert event.conversation_id == "a1b2c3d4-e5f6-7890-abcd-ef1234567890"
    assert event.occurred_at_us == 1_715_783_530_000_000
    assert event.social_channel == "custom-social-channel-01"
    assert event.dialect == "guide"


def test_a_message_and_an_update_are_read(read, payload):
    message = read(payload("guide/conversation-message"))
    update = read(payload("guide/conversation-updated"))
    assert (message.text, message.sequence, message.sender) == ("Where is my order?", 1, "inbound")
    assert (update.routing_status, update.routing_queue) == ("CONTACT-QUEUED", "queue-1")


@pytest.mark.parametrize("absent", [None, "missing"])
@pytest.mark.parametrize("field", ["channel", "message", "routing", "participants", "metadata", "sequence"])
def test_an_optional_field_may_be_null_or_missing(read, payload, notes, field, absent):
    body = payload("guide/conversation-message", **{field: None})
    if absent == "missing":
        del body[field]
    assert read(body).conversation_id == body["conversationId"]
    assert notes.pending() == []


@pytest.mark.parametrize(
    ("changes", "kind", "name"),
    [
        ({"newField": {"a": 1}}, "unknown_field", "newField"),
        ({"channel": {"type": "custom", "region": "eu"}}, "unknown_field", "channel.region"),
        ({"participants": [{"id": "p", "mood": "good"}]}, "unknown_field", "participants[].mood"),
        ({"routing": {"status": "CONTACT-LOST"}}, "unknown_value", "routing.status=CONTACT-LOST"),
        ({"participants": [{"role": "ghost"}]}, "unknown_value", "participants[].role=(not shown)"),
        ({"channel": "custom"}, "wrong_type", "channel"),
        ({"participants": {"id": "p"}}, "wrong_type", "participants"),
        ({"message": {"text": 7}}, "wrong_type", "message.text"),
        ({"message": ["Hello"]}, "wrong_type", "message"),
        ({"message": {"id": ["m"]}}, "wrong_type", "message.id"),
        ({"message": {"id": ""}}, "wrong_type", "message.id"),
        ({"sequence": "first"}, "wrong_type", "sequence"),
        ({"sequence": True}, "wrong_type", "sequence"),
        ({"sequence": 2**63}, "wrong_type", "sequence"),
        ({"sequence": "9" * 5_000}, "wrong_type", "sequence"),
    ],
)
def test_unknown_fields_and_values_are_processed_and_noted_once(read, payload, notes, changes, *, kind, name):
    """Guarantee 6.1."""
    for _ in range(2):
        read(payload("guide/conversation-message", **changes))
    assert [(drift.kind, drift.name) for drift in notes.pending()] == [(kind, name)]


@pytest.mark.parametrize(
    ("message", "text"), [("Hello", "Hello"), ({"text": "a\x00b\ud800\nc"}, "a\ufffdb\ufffd\nc")]
)
def test_characters_that_no_database_stores_are_replaced_in_the_text_and_kept_in_the_payload(
    read, payload, message, text
):
    event = read(payload("guide/conversation-message", message=message))
    assert event.text == text
    assert event.payload["message"] == message


@pytest.mark.parametrize(
    ("changes", "sequence", "message_id"),
    [
        ({"sequence": 7}, 7, None),
        ({"sequence": "7"}, 7, None),
        ({"sequence": None, "sequenceNumber": 7}, 7, None),
        ({"sequence": None, "sequenceNumber": "007"}, 7, None),
        ({"sequence": None, "message": {"text": "Where is my order?", "sequenceNumber": 7}}, 7, None),
        ({"message": {"id": "m-1"}}, 1, "m-1"),
        ({"message": {"messageId": "m-1"}}, 1, "m-1"),
        ({"messageId": "m-1"}, 1, "m-1"),
    ],
)
def test_every_spelling_of_the_sequence_number_and_the_message_id_is_read(
    read, payload, changes, sequence, message_id
):
    event = read(payload("guide/conversation-message", **changes))
    assert (event.sequence, event.platform_message_id) == (sequence, message_id)
    assert event.idempotency_key.endswith(f":id-{message_id}" if message_id else f":seq-{sequence}")


def test_the_repr_of_an_event_contains_no_content(read, payload):
    shown = repr(read(payload("guide/conversation-new", message="Hello")))
    assert "Hello" not in shown
    assert "customChannelToken" not in shown
