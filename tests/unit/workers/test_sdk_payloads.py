"""Every body that the official SDK declares is read without a refusal or an unknown field."""

import json

import pytest

from tests.sdk_models import MOMENT, made, require_sdk, values_of
from workers.parsing import EVENT_TYPES, read_body

MESSAGES = [
    "ConversationNormalizedMessage",
    "OpenEventNormalizedMessage",
    "OpenMessageNormalizedMessage",
    "OpenNormalizedMessage",
    "OpenReceiptNormalizedMessage",
]
WHOLE = MESSAGES[0]
"""This model is the superset of the other models."""

DETAIL_EVENTS = {
    "customer.start": "CustomerStartDetailEventTopicCustomerStartEvent",
    "customer.end": "CustomerEndDetailEventTopicCustomerEndEvent",
    "acd.start": "AcdStartDetailEventTopicAcdStartEvent",
    "acd.end": "AcdEndDetailEventTopicAcdEndEvent",
    "user.start": "UserStartDetailEventTopicUserStartEvent",
    "user.end": "UserEndDetailEventTopicUserEndEvent",
    "flow.start": "FlowStartDetailEventTopicFlowStartEvent",
    "flow.end": "FlowEndDetailEventTopicFlowEndEvent",
    "flow.outcome": "FlowOutcomeDetailEventTopicFlowOutcomeEvent",
    "attributes": "AttributeDetailEventTopicAttributeUpdateEvent",
    "contact.update": "ContactDetailEventTopicContactUpdateEvent",
    "acw": "AcwDetailEventTopicAfterCallWorkEvent",
    "wrapup": "WrapupDetailEventTopicWrapupEvent",
    "outbound": "OutboundDetailEventTopicOutboundInitEvent",
    "voicemail.start": "VoicemailStartDetailEventTopicVoicemailStartEvent",
    "voicemail.end": "VoicemailEndDetailEventTopicVoicemailEndEvent",
}
WITHOUT_HANDLER = {"Message", "Unknown"}
"""Types of the superset that Open Messaging never posts; they become dead letters."""


@pytest.fixture(autouse=True)
def sdk():
    require_sdk()


def body_of(kind, **changes):
    body = made(kind) | {"conversationId": "c"} | changes
    body["channel"] |= {"time": MOMENT, "id": "integration", "platform": "Open"}
    if body["type"] == "Event":
        body["events"] = [each | {"eventType": "Typing"} for each in body["events"]]
    return body


def read(body, notes):
    return read_body(json.dumps(body).encode(), notes, EVENT_TYPES)


def names(notes):
    return [drift.name for drift in notes.pending()]


@pytest.mark.parametrize("kind", MESSAGES)
def test_every_message_type_of_the_sdk_is_read_without_drift(kind, notes):
    kinds = set(values_of(kind, "type")) - WITHOUT_HANDLER
    assert kinds
    for each in kinds:
        [event] = read(body_of(kind, type=each), notes)
        assert event.conversation_id == "c"
    assert names(notes) == []


def test_every_content_type_of_the_sdk_is_kept(notes):
    kinds = values_of("ConversationMessageContent", "content_type")
    assert len(kinds) > 20
    for kind in kinds:
        part = made("ConversationMessageContent") | {"contentType": kind}
        [event] = read(body_of(WHOLE, type="Structured", content=[part]), notes)
        assert json.loads(event.content)[0]["contentType"] == kind
    assert names(notes) == []


def test_every_receipt_status_of_the_sdk_is_known(notes):
    for status in values_of(WHOLE, "status"):
        [event] = read(body_of(WHOLE, type="Receipt", status=status), notes)
        assert event.receipt_status == status
    assert names(notes) == []


@pytest.mark.parametrize(("topic", "kind"), DETAIL_EVENTS.items())
def test_every_detail_event_of_the_sdk_is_read_without_drift(topic, kind, notes):
    body = made(kind) | {"eventTime": 1_749_589_384_000, "mediaType": "MESSAGE", "messageType": "OPEN"}
    name = f"v2.detail.events.conversation.c.{topic}"
    [event] = read({"detail-type": name, "detail": {"topicName": name, "eventBody": body}}, notes)
    assert event.skip is None
    assert names(notes) == []
