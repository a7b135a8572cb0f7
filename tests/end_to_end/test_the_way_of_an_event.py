"""A signed webhook takes effect in SQL once, even if it is sent many times."""

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

from tests.end_to_end import payloads


def test_the_events_of_a_conversation_are_settled_in_order(whole_service):
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
    outbox = whole_service.rows(
        "SELECT * FROM outbox WHERE conversation_id = :id ORDER BY id", id=conversation
    )
    assert [each["event_type"].rpartition(":")[2] for each in outbox] == [
        "new",
        "message",
        "message",
        "updated",
        "updated",
    ]
    assert not any(each["late"] for each in outbox)


def test_fifty_simultaneous_identical_requests_take_effect_once(whole_service):
    """Guarantee 3.1."""
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
