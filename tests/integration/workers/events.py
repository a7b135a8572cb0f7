"""Make events as the platform sends them, and deliveries of such events."""

import copy
import itertools
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from messaging.consuming import Delivery
from messaging.envelope import Envelope
from messaging.topology import EVENTS_QUEUE

PAYLOADS = Path(__file__).parents[2] / "payloads"
START = datetime(2024, 5, 15, 14, 32, 10, tzinfo=UTC)
TAGS = itertools.count(1)


def deliver(payload, *, attempt=1, message_id=None, request_id="r", queue=EVENTS_QUEUE, source="webhook"):
    """Make a delivery of a payload or of raw bytes."""
    tag = next(TAGS)
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    envelope = Envelope(message_id or f"request-{tag}", time.time_ns() // 1000, request_id, source, body)
    return Delivery(tag, queue, attempt, envelope)


def payload_of(name):
    return json.loads((PAYLOADS / f"{name}.json").read_text())


def event(kind, *, conversation="c-1", after_ms=0, **fields):
    """Make an event in the guide's dialect, *after_ms* milliseconds after the start."""
    moment = (START + timedelta(milliseconds=after_ms)).isoformat(timespec="milliseconds")
    return {
        "eventType": f"openmessaging:conversation:{kind}",
        "conversationId": conversation,
        "timestamp": moment,
        **fields,
    }


def said(words, *, sequence=None, **others):
    return event("message", message={"text": words}, sequence=sequence, **others)


def routed(status, **others):
    return event("updated", routing={"status": f"CONTACT-{status}", "queueId": "queue-1"}, **others)


def native(number, *, conversation="c-1", after_s=0.0, kind="genesys/text", **changes):
    """Make a native event, *after_s* seconds from now."""
    payload = copy.deepcopy(payload_of(kind))
    moment = time.time() + after_s
    at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment)) + f".{number % 1000:03d}Z"
    payload |= {"id": f"m-{number}", "conversationId": conversation, **changes}
    payload["channel"] |= {"time": at, "messageId": f"m-{number}"}
    return payload
