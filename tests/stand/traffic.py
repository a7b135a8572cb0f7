"""Generate numbered events in many conversations; the same number always produces the same body."""

from __future__ import annotations

import base64
import hmac
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tests.stand.product import SECRET

PATH = "/webhooks/genesys/openmessaging"
CONVERSATIONS = 50
"""Conversations in progress at the same time: enough that two workers seldom process the same one."""

EVENTS_EACH = 20
BLOCK = CONVERSATIONS * EVENTS_EACH
FIRST_MOMENT = datetime(2026, 3, 1, 8, tzinfo=UTC)
ROUTING = ("CONTACT-QUEUED", "CONTACT-ROUTED")


def signed(body: bytes, secret: bytes = SECRET) -> bytes:
    """Return the whole HTTP request that carries a body, signed as the platform signs it."""
    signature = base64.b64encode(hmac.digest(secret, body, "sha256")).decode()
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"X-Hub-Signature-256: sha256={signature}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@dataclass(frozen=True, slots=True)
class Traffic:
    """The events of one run.

    Args:
        run: The prefix of every conversation id, so that a query can select the events of this run.
        event_type: The type of every event; if empty, events have the types of an ordinary conversation.
    """

    run: str
    event_type: str = ""

    def __getitem__(self, number: int) -> bytes:
        """Return the signed request with event *number*."""
        return signed(self.body(number))

    def body(self, number: int) -> bytes:
        """Return the raw body of event *number*, which is valid in the guide's dialect."""
        moment = FIRST_MOMENT + timedelta(milliseconds=number)
        particulars = f'"eventType":"{self.event_type}"' if self.event_type else _particulars(number)
        return (
            f'{{"conversationId":"{self.conversation(number)}",'
            f'"timestamp":"{moment.isoformat(timespec="milliseconds")[:-6]}Z",{particulars}}}'
        ).encode()

    def conversation(self, number: int) -> str:
        """Return the conversation that event *number* belongs to."""
        return f"{self.run}-{number // BLOCK * CONVERSATIONS + number % CONVERSATIONS}"

    def malformed(self, number: int) -> bytes:
        """Return a body without a timestamp, which every worker must dead-letter."""
        return json.dumps({"conversationId": f"{self.run}-malformed", "number": number}).encode()


def opens(number: int) -> bool:
    """Return whether event *number* is the first of its conversation."""
    return number % BLOCK < CONVERSATIONS


def is_update(number: int) -> bool:
    """Return whether event *number* is a routing update."""
    return number % BLOCK // CONVERSATIONS % 8 == 7


def _particulars(number: int) -> str:
    if opens(number):
        return '"eventType":"openmessaging:conversation:new","channel":{"type":"custom"}'
    if is_update(number):
        status = ROUTING[number % BLOCK // CONVERSATIONS // 8 % len(ROUTING)]
        return f'"eventType":"openmessaging:conversation:updated","routing":{{"status":"{status}"}}'
    message = f'{{"id":"message-{number}","text":"event {number}","direction":"inbound"}}'
    return f'"eventType":"openmessaging:conversation:message","message":{message}'
