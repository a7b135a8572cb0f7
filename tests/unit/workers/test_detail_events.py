import pytest

from workers.parsing import CONVERSATION_NEW, CONVERSATION_UPDATED


def of_kind(payload, kind, **body):
    """Make a detail event of a different kind, with some fields of its body replaced."""
    event = payload(
        "eventbridge/customer-start", **{"detail-type": "v2.detail.events.conversation.{id}." + kind}
    )
    detail = event["detail"]
    detail["topicName"] = detail["topicName"].replace("customer.start", kind)
    detail["eventBody"] |= body
    return event


def test_a_customer_start_event_starts_the_conversation(read, payload, notes):
    event = read(payload("eventbridge/customer-start"))
    assert (event.event_type, event.dialect, event.skip) == (CONVERSATION_NEW, "eventbridge", None)
    assert event.conversation_id == "5d0d331e-d2a8-4fb5-96f7-7021bef2a8ee"
    assert event.occurred_at_us == 1_749_589_384_000_000
    assert notes.pending() == []


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("acd.start", {"queueId": "q"}, "CONTACT-QUEUED"),
        ("acd.end", {"acdOutcome": "ANSWERED"}, "CONTACT-ROUTED"),
        ("acd.end", {"acdOutcome": "ABANDON"}, None),
        ("acd.end", {}, None),
        ("user.start", {}, "ALERTING"),
        ("user.end", {}, "AGENT-LEFT"),
        ("customer.end", {}, "ENDED"),
        ("flow.end", {}, None),
        ("wrapup", {}, None),
    ],
)
def test_later_detail_events_update_the_routing_if_they_carry_a_status(
    read, payload, notes, kind, body, *, status
):
    event = read(of_kind(payload, kind, **body))
    assert (event.event_type, event.routing_status) == (CONVERSATION_UPDATED, status)
    assert event.routing_queue == body.get("queueId")
    assert notes.pending() == []


@pytest.mark.parametrize("body", [{"mediaType": "VOICE", "messageType": None}, {"messageType": "WHATSAPP"}])
def test_a_detail_event_of_another_medium_is_skipped(read, payload, notes, body):
    assert read(of_kind(payload, "customer.start", **body)).skip == "other_medium"
    # This payload is a sample that the platform publishes.
    assert read(payload("eventbridge/customer-start-chat")).skip == "other_medium"
    assert notes.pending() == []


def test_a_detail_event_has_the_same_key_in_every_envelope(read, payload):
    bridged = payload("eventbridge/acd-end")
    again = payload("eventbridge/acd-end", id="another", time="2025-06-10T21:09:20Z")
    notified = {name: bridged["detail"][name] for name in ("topicName", "eventBody", "metadata")}
    keys = {read(each).idempotency_key for each in (bridged, again, notified)}
    assert len(keys) == 1


def test_detail_events_of_different_kinds_with_the_same_time_are_different_events(read, payload):
    kinds = ("user.start", "user.end", "acd.start")
    assert len({read(of_kind(payload, kind)).idempotency_key for kind in kinds}) == 3


def test_an_unknown_kind_of_detail_event_is_noted_and_read_as_an_update_without_a_status(
    read, payload, notes
):
    event = read(of_kind(payload, "user.hold"))
    assert (event.event_type, event.routing_status) == (CONVERSATION_UPDATED, None)
    assert [drift.name for drift in notes.pending()] == ["detail-type=user-hold"]
