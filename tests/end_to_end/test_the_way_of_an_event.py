"""A signed webhook in, one row with one effect in SQL out, however often it comes."""

import json
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

from tests.end_to_end import payloads


def test_a_conversation_takes_shape(whole_service):
    conversation = str(uuid4())
    bodies = [
        payloads.new(conversation, "14:00:00.000"),
        payloads.message(conversation, "14:00:01.000", "first"),
        payloads.message(conversation, "14:00:02.000", "second"),
        payloads.updated(conversation, "14:00:03.000", "CONTACT-QUEUED"),
        payloads.updated(conversation, "14:00:04.000", "CONTACT-ROUTED"),
    ]
    for body in bodies:
        assert whole_service.send(body) == 200
    for body in bodies:
        assert whole_service.event_of(body)["outcome"] == "processed"

    [row] = whole_service.wait_for(
        "SELECT * FROM conversations WHERE conversation_id = :id AND settled_count = 5", id=conversation
    )
    assert (row["status"], row["routing_status"], row["message_count"]) == ("started", "CONTACT-ROUTED", 2)
    told = whole_service.rows("SELECT * FROM outbox WHERE conversation_id = :id ORDER BY id", id=conversation)
    assert [each["event_type"].rpartition(":")[2] for each in told] == [
        "new",
        "message",
        "message",
        "updated",
        "updated",
    ]
    assert not any(each["late"] for each in told)


def test_fifty_identical_requests_at_once_have_one_effect(whole_service):
    conversation = str(uuid4())
    body = payloads.message(conversation, "14:00:00.000", "once")

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(whole_service.send, [body] * 50))

    assert answers == [200] * 50
    last = payloads.message(conversation, "14:00:01.000", "after all of them")
    whole_service.send(last)
    whole_service.event_of(last)
    [row] = whole_service.rows("SELECT * FROM conversations WHERE conversation_id = :id", id=conversation)
    assert row["message_count"] == 2


def test_two_messages_of_one_millisecond_both_take_effect(whole_service):
    conversation = str(uuid4())
    bodies = [payloads.message(conversation, "14:00:00.000", text) for text in ("one", "two")]
    for body in bodies:
        whole_service.send(body)
    for body in bodies:
        whole_service.event_of(body)

    texts = whole_service.rows(
        "SELECT text FROM conversation_messages WHERE conversation_id = :id ORDER BY text", id=conversation
    )
    assert [row["text"] for row in texts] == ["one", "two"]


def test_a_redelivery_in_other_bytes_is_the_same_event(whole_service):
    conversation = str(uuid4())
    body = payloads.message(conversation, "14:00:00.000", "once")
    again = json.dumps(json.loads(body) | {"whatIsNew": 1}, indent=1).encode()
    last = payloads.message(conversation, "14:00:01.000", "after")
    for each in (body, again, last):
        whole_service.send(each)
    whole_service.event_of(last)

    rows = whole_service.rows("SELECT * FROM processed_events WHERE conversation_id = :id", id=conversation)
    assert len(rows) == 2


def test_an_update_that_is_no_transition_is_recorded_as_skipped(whole_service):
    conversation = str(uuid4())
    body = payloads.updated(conversation, "14:00:00.000", None)

    whole_service.send(body)

    assert whole_service.event_of(body)["outcome"] == "skipped"
