"""Events of the guide's dialect, as the tests send them."""

import json
from uuid import uuid4


def _event(kind, conversation, time, **more):
    event = {
        "eventType": f"openmessaging:conversation:{kind}",
        "conversationId": conversation,
        "timestamp": f"2024-05-15T{time}Z",
        "channel": {"type": "custom", "externalId": "custom-social-channel-01"},
    }
    return json.dumps(event | more).encode()


def new(conversation, time):
    """Source: the guide's sample payload."""
    participants = [{"id": "ext:customer:1", "role": "customer"}]
    return _event("new", conversation, time, participants=participants)


def message(conversation, time, text):
    """A message of the customer with an id of its own."""
    return _event("message", conversation, time, message={"id": str(uuid4()), "text": text})


def updated(conversation, time, status):
    """Source: the routing states of the guide's filters."""
    routing = {"status": status, "queueId": "queue-1"} if status else None
    return _event("updated", conversation, time, routing=routing, attributes={"note": "whisper"})
