"""A body without a type, conversation or time is refused, and the reason names the field."""

import pytest

from messaging.errors import RejectedEventError

GUIDE = [
    ({"eventType": None}, "invalid_field", "eventType"),
    ({"eventType": ["new"]}, "invalid_field", "eventType"),
    ({"eventType": "openmessaging:exploded"}, "unknown_event_type", "eventType"),
    ({"conversationId": None}, "missing_field", "conversationId"),
    ({"conversationId": 42}, "invalid_field", "conversationId"),
    ({"conversationId": ""}, "invalid_field", "conversationId"),
    ({"conversationId": "x" * 3000}, "invalid_field", "conversationId"),
    ({"conversationId": "a\x00b"}, "invalid_field", "conversationId"),
    ({"conversationId": "\ud800"}, "invalid_field", "conversationId"),
    ({"timestamp": None}, "missing_field", "timestamp"),
    ({"timestamp": 1_715_783_530}, "invalid_field", "timestamp"),
    ({"timestamp": ["yesterday"]}, "invalid_field", "timestamp"),
    ({"timestamp": "yesterday at noon"}, "invalid_field", "timestamp"),
    ({"timestamp": "2024-05-15T14:32:10"}, "invalid_field", "timestamp"),
    ({"timestamp": "0001-01-01T00:00:00+14:00"}, "invalid_field", "timestamp"),
]
NATIVE = [
    ({"type": "Message"}, "unknown_event_type", "type"),
    ({"type": None}, "unknown_event_type", "type"),
    ({"type": "Event", "events": [{"eventType": "Presence"}]}, "unknown_event_type", "events[].eventType"),
    ({"channel": None}, "missing_field", "channel"),
    ({"channel": "Open"}, "invalid_field", "channel"),
    ({"channel": {"id": "i"}}, "missing_field", "channel.time"),
    ({"channel": {"time": 5}}, "invalid_field", "channel.time"),
    ({"conversationId": 5}, "invalid_field", "conversationId"),
    (
        {"conversationId": None, "channel": {"time": "2025-06-10T21:03:05Z"}},
        "missing_field",
        "conversationId",
    ),
]
_PRESENCE = {"detail-type": "v2.users.{id}.presence", "detail": {"eventBody": {}}}
_SOON = {"conversationId": "c", "eventTime": "soon"}
DETAIL = [
    ({"detail": None}, "missing_field", "detail.eventBody"),
    ({"detail": {"eventBody": "x"}}, "missing_field", "detail.eventBody"),
    (_PRESENCE, "unknown_event_type", "detail-type"),
    (_PRESENCE | {"detail-type": 5}, "unknown_event_type", "detail-type"),
    ({"detail": {"eventBody": {"conversationId": "c"}}}, "missing_field", "detail.eventBody.eventTime"),
    ({"detail": {"eventBody": {"eventTime": 1}}}, "missing_field", "detail.eventBody.conversationId"),
    ({"detail": {"eventBody": _SOON}}, "invalid_field", "detail.eventBody.eventTime"),
    ({"detail": {"eventBody": _SOON | {"eventTime": 10**18}}}, "invalid_field", "detail.eventBody.eventTime"),
]
SAMPLES = {"guide/conversation-message": GUIDE, "genesys/text": NATIVE, "eventbridge/customer-start": DETAIL}


@pytest.mark.parametrize(
    ("sample", "changes", "code", "field"),
    [(sample, *row) for sample, rows in SAMPLES.items() for row in rows],
)
def test_a_body_without_type_conversation_or_time_is_refused_with_the_fields_name(
    read, payload, sample, changes, code, *, field
):
    with pytest.raises(RejectedEventError) as caught:
        read(payload(sample, **changes))
    assert caught.value.code == code
    assert caught.value.reason.startswith(f"{field}:")


def test_a_body_that_fits_no_dialect_is_refused(read):
    with pytest.raises(RejectedEventError) as caught:
        read({"conversationId": "c", "timestamp": "2024-05-15T14:32:10Z"})
    assert (caught.value.code, caught.value.reason) == ("missing_field", "eventType: is missing")
