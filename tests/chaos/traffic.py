"""Write numbered events of many conversations: one number, one body, whoever asks and however often."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

CONVERSATIONS = 50
"""Conversations that go on at a time: enough for two workers to meet in few of them."""

EVENTS_EACH = 20
BLOCK = CONVERSATIONS * EVENTS_EACH
FIRST_MOMENT = datetime(2026, 3, 1, 8, tzinfo=UTC)
ROUTING = ("CONTACT-QUEUED", "CONTACT-ROUTED")


@dataclass(frozen=True, slots=True)
class Traffic:
    """The events of one run.

    Args:
        run: Begins every conversation id, so that the tables can be asked for this run alone.
    """

    run: str

    def body(self, number: int) -> bytes:
        """Return the raw body of event *number*, which is valid in the guide's dialect."""
        place = number % BLOCK // CONVERSATIONS
        moment = FIRST_MOMENT + timedelta(milliseconds=number)
        event = {
            "conversationId": self.conversation(number),
            "timestamp": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            **_particulars(number, place),
        }
        return json.dumps(event, separators=(",", ":")).encode()

    def conversation(self, number: int) -> str:
        """Return the conversation that event *number* belongs to."""
        return f"{self.run}-{number // BLOCK * CONVERSATIONS + number % CONVERSATIONS}"

    def malformed(self, number: int) -> bytes:
        """Return a body that every worker must dead-letter: it has no timestamp."""
        return json.dumps({"conversationId": f"{self.run}-malformed", "number": number}).encode()


def _particulars(number: int, place: int) -> dict[str, object]:
    if place == 0:
        return {"eventType": "openmessaging:conversation:new", "channel": {"type": "custom"}}
    if place % 8 == 7:
        status = ROUTING[place // 8 % len(ROUTING)]
        return {"eventType": "openmessaging:conversation:updated", "routing": {"status": status}}
    message = {"id": f"message-{number}", "text": f"event {number}", "direction": "inbound"}
    return {"eventType": "openmessaging:conversation:message", "message": message}
