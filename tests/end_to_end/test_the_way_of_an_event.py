"""A signed webhook takes effect in SQL once, even if it is sent many times."""

import json
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

from tests.integration.workers.events import event, routed, said


def test_the_events_of_a_conversation_are_settled_in_order(whole_service):
    conversation = str(uuid4())
    events = [
        event("new", conversation=conversation),
        said("first", conversation=conversation, after_ms=1),
        said("second", conversation=conversation, after_ms=2),
        routed("QUEUED", conversation=conversation, after_ms=3),
        routed("ROUTED", conversation=conversation, after_ms=4),
    ]
    bodies = [json.dumps(each).encode() for each in events]
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
    assert [each["event_type"] for each in outbox] == [each["eventType"] for each in events]
    assert not any(each["late"] for each in outbox)


def test_fifty_simultaneous_identical_requests_take_effect_once(whole_service):
    """Guarantee 3.1."""
    conversation = str(uuid4())
    body = json.dumps(said("once", conversation=conversation)).encode()
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(whole_service.send, [body] * 50))
    assert answers == [200] * 50
    last = json.dumps(said("after all of them", conversation=conversation, after_ms=1)).encode()
    whole_service.send(last)
    whole_service.event_of(last)
    [row] = whole_service.rows("SELECT * FROM conversations WHERE conversation_id = :id", id=conversation)
    assert row["message_count"] == 2
