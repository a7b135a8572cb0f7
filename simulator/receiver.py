"""Simulate a destination: verify and record each delivery, or respond with a fault on request."""

import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from flask import Flask, Response, request
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from simulator.platform import Fault
from simulator.serving import serve_app


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """A delivered event, from a request with a valid signature."""

    destination: str
    webhook_id: str  # the same in every attempt
    event_type: str
    conversation_id: str
    sequence: int  # increases within a conversation
    late: bool  # whether a newer event of the conversation was sent before
    body: Mapping[str, Any]  # decoded; its `data` is the body that the platform sent
    raw: bytes


@dataclass(eq=False)
class Inbox:
    """A receiver's requests, which any thread may read. *fault_for* returns a request's fault, or None."""

    secrets: Mapping[str, str]
    fault_for: Callable[[ReceivedEvent], Fault | None] = lambda _: None
    requested: list[ReceivedEvent] = field(default_factory=list)
    accepted: list[ReceivedEvent] = field(default_factory=list)
    forgeries: list[str] = field(default_factory=list)

    def accept(self, event: ReceivedEvent) -> None:
        """Record the event of a request that is answered with 2xx."""
        self.accepted.append(event)

    def accepted_by(self, destination: str) -> list[ReceivedEvent]:
        """Return the events that one destination accepted, in order of arrival."""
        return [event for event in list(self.accepted) if event.destination == destination]

    def counts(self) -> dict[str, int]:
        """Count distinct, repeated and out-of-order events, and forged requests."""
        accepted = list(self.accepted)
        distinct = {(event.destination, event.webhook_id): event for event in accepted}
        newest, disordered = defaultdict[tuple[str, str], int](int), 0
        for event in distinct.values():
            stream = event.destination, event.conversation_id
            disordered += event.sequence < newest[stream]
            newest[stream] = max(event.sequence, newest[stream])
        delivered, repeated, forged = len(distinct), len(accepted) - len(distinct), len(self.forgeries)
        return {"delivered": delivered, "repeated": repeated, "disordered": disordered, "forged": forged}


@contextmanager
def serve_receiver(inbox: Inbox) -> Iterator[str]:
    """Serve *inbox* in a thread and yield its URL. Each destination's path is its name."""
    app = Flask("simulator.receiver")

    @app.post("/<destination>")
    def receive(destination: str) -> Response:
        raw = request.get_data()
        try:
            body = Webhook(inbox.secrets[destination]).verify(raw, dict(request.headers))
        except (KeyError, WebhookVerificationError):
            inbox.forgeries.append(destination)
            return Response(status=401)
        identity = request.headers["webhook-id"], body["type"], body["conversation_id"]
        event = ReceivedEvent(destination, *identity, body["sequence"], body["late"], body, raw)
        inbox.requested.append(event)
        fault = inbox.fault_for(event) or Fault(204)
        time.sleep(fault.delay)
        if 200 <= fault.status < 300:
            inbox.accept(event)
        headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
        return Response(status=fault.status, headers=headers)

    with serve_app(app) as url:
        yield url


def destination_table(name: str, url: str, secret: str, events: Sequence[str]) -> str:
    """Return the TOML table of one destination for the file that OM_DESTINATIONS names."""
    values = {"url": url, "secret": secret, "events": list(events)}
    lines = (f"{key} = {json.dumps(value)}" for key, value in values.items())
    return "\n".join([f"[destinations.{name}]", *lines, "", ""])
