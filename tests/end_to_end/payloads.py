"""Make the request bodies of events in the guide's dialect."""

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
    """Return the body of a conversation's start event, as in the guide's sample payload."""
    participants = [{"id": "ext:customer:1", "role": "customer"}]
    return _event("new", conversation, time, participants=participants)


def message(conversation, time, text):
    """Return the body of a customer's message, which gets a unique id."""
    return _event("message", conversation, time, message={"id": str(uuid4()), "text": text})


def updated(conversation, time, status):
    """Return the body of an update with a routing status, or without routing if *status* is empty."""
    routing = {"status": status, "queueId": "queue-1"} if status else None
    return _event("updated", conversation, time, routing=routing, attributes={"note": "whisper"})
