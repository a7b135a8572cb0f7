"""A service behind the outbox: verifies each delivery's signature and records it, or fails on request."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from flask import Flask, Response, request
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from simulator.platform import Fault
from simulator.serving import serve_app


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """A request with a valid signature; `webhook_id` is the same in every attempt.

    `sequence` rises within a conversation; `late`: a newer event of it was sent before. `body`: decoded, its
    `data` is what the platform sent; `raw`: its bytes.
    """

    destination: str
    webhook_id: str
    event_type: str
    conversation_id: str
    sequence: int
    late: bool
    body: Mapping[str, Any]
    raw: bytes


class Inbox:
    """The requests that a receiver got; any thread may read its lists.

    *secrets* has each destination's by name. *fault_for* returns the fault to answer a request with; None
    accepts the request.
    """

    def __init__(
        self, secrets: Mapping[str, str], fault_for: Callable[[ReceivedEvent], Fault | None] = lambda _: None
    ) -> None:
        self.secrets = secrets
        self.fault_for = fault_for
        self.requested: list[ReceivedEvent] = []
        self.accepted: list[ReceivedEvent] = []
        self.forgeries: list[str] = []

    def accept(self, event: ReceivedEvent) -> None:
        """Record a request that is answered 2xx."""
        self.accepted.append(event)

    def accepted_by(self, destination: str) -> list[ReceivedEvent]:
        """Return what one destination accepted, in order of arrival."""
        return [event for event in list(self.accepted) if event.destination == destination]

    def counts(self) -> dict[str, int]:
        """Count distinct, repeated, out-of-order and forged requests."""
        newest: dict[tuple[str, str], int] = {}
        known: set[tuple[str, str]] = set()
        repeated = disordered = 0
        for event in list(self.accepted):
            identity = event.destination, event.webhook_id
            stream = event.destination, event.conversation_id
            if identity in known:
                repeated += 1
                continue
            known.add(identity)
            disordered += event.sequence < newest.get(stream, 0)
            newest[stream] = max(event.sequence, newest.get(stream, 0))
        forged = len(self.forgeries)
        return {"delivered": len(known), "repeated": repeated, "disordered": disordered, "forged": forged}


@contextmanager
def serve_receiver(inbox: Inbox, port: int = 0) -> Iterator[str]:
    """Serve *inbox* in a thread and yield the URL, to which a destination's name is the path."""
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

    with serve_app(app, port) as url:
        yield url


def destination_table(name: str, url: str, secret: str, events: Sequence[str]) -> str:
    """Return one destination's table for the file of OM_DESTINATIONS."""
    values = {"url": url, "secret": secret, "events": list(events)}
    lines = (f"{key} = {json.dumps(value)}" for key, value in values.items())
    return "\n".join([f"[destinations.{name}]", *lines, "", ""])
