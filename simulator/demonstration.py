"""The demonstration's own platform, which withholds some events, and its destinations."""

import base64
import json
import random
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from sqlalchemy import NullPool, create_engine, text

from simulator.accounts import ReconciliationResult
from simulator.platform import Conversation, Organisation, Participant, serve_platform
from simulator.receiver import Inbox, destination_table, serve_receiver
from simulator.traffic import Dialect, Post, TrafficPlan

NEW, MESSAGE, UPDATED = (f"openmessaging:conversation:{kind}" for kind in ("new", "message", "updated"))
SUBSCRIPTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "session": (NEW,),
    "routing": (UPDATED,),
    "content": (MESSAGE, "openmessaging:receipt"),
    "crm": (NEW, MESSAGE, UPDATED),
}

REQUESTS_PER_MINUTE: Final = 60_000
"""The demonstration must not wait for a real organisation's rate limit."""

SUBSCRIPTIONS_KNOWN: Final = "SELECT count(*) AS number FROM subscriptions"
"""Not 0 once the deliver process has started, so that every later event is delivered."""

UNFINISHED: Final = """
    SELECT (SELECT count(*) FROM conversations WHERE window_opened_at IS NOT NULL)
        + (SELECT count(*) FROM routing_updates WHERE decision IS NULL)
        + (SELECT count(*) FROM deliveries WHERE outcome IS NULL) AS number"""
"""What is still to be settled or delivered."""

COUNTS: Final = """
    SELECT (SELECT sum(settled_count) FROM conversations) AS settled,
        (SELECT count(*) FROM routing_updates WHERE decision = 'superseded') AS superseded,
        (SELECT count(*) FROM outbox WHERE late) AS late,
        (SELECT count(*) FROM outbox o JOIN subscriptions s ON s.event_type = o.event_type) AS planned"""


@dataclass(frozen=True, slots=True)
class DemonstrationServices:
    """The platform, the receiver of each destination, and the settings that point the service to them."""

    organisation: Organisation
    inbox: Inbox
    settings: Mapping[str, str]


@contextmanager
def serve_services(directory: Path, platform_port: int) -> Iterator[DemonstrationServices]:
    """Serve a platform that contradicts some routing updates, and the destinations."""
    keys = {name: "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode() for name in SUBSCRIPTIONS}
    inbox = Inbox(keys)
    organisation = Organisation("demo", secrets.token_urlsafe(16), requests_per_minute=REQUESTS_PER_MINUTE)
    platform = serve_platform(organisation, platform_port)
    with serve_receiver(inbox) as receiver_url, platform as platform_url:
        tables = [
            destination_table(name, f"{receiver_url}/{name}", keys[name], events)
            for name, events in SUBSCRIPTIONS.items()
        ]
        path = directory / "destinations.toml"
        path.touch(mode=0o600)
        path.write_text("".join(tables))
        settings = {
            "OM_DESTINATIONS": str(path),
            "OM_GENESYS_API_URL": platform_url,
            "OM_GENESYS_CLIENT_ID": organisation.client_id,
            "OM_GENESYS_CLIENT_SECRET": organisation.client_secret,
            "OM_GENESYS_REQUESTS_PER_MINUTE": str(REQUESTS_PER_MINUTE),
        }
        yield DemonstrationServices(organisation, inbox, settings)


def query(database_url: str, statement: str) -> dict[str, int]:
    """Return the one row of numbers that a statement selects, by column."""
    with create_engine(database_url, poolclass=NullPool).connect() as connection:
        row = connection.execute(text(statement)).mappings().one()
        return {name: int(value or 0) for name, value in row.items()}


WITHHELD: Final = 20
"""Two percent of a thousand events."""

MIN_EVENTS: Final = 3
"""A conversation loses at most one event and has others, which show its dialect."""

STARTED_AGO: Final = timedelta(minutes=15)
"""In the past, so that no event is too new to be compared; longer than any conversation lasts."""


def demonstration_plan(events: int) -> TrafficPlan:
    """Return a plan with some of everything that is known to cause trouble."""
    return TrafficPlan(
        events,
        conversations=events // 10,
        seed=secrets.randbits(32),
        start=datetime.now(UTC) - STARTED_AGO,
        dialect=Dialect.BOTH,
        duplicate_share=0.05,
        disorder_share=0.05,
        collision_share=0.05,
        malformed_share=0.03,
        unknown_field_share=0.05,
    )


@dataclass(slots=True)
class WithheldEvents:
    """Events that enter the platform's history without being sent.

    `withheld`: their message ids, and the status if they are receipts.
    """

    organisation: Organisation
    withheld: set[tuple[str, str]] = field(default_factory=set)

    def filter(self, posts: Sequence[Post]) -> Iterator[Post]:
        """Yield the posts except those of withheld events; the platform knows all of them."""
        payloads = {post.event: json.loads(post.body) for post in posts if post.event is not None}
        chosen = _choose(payloads)
        self.withheld = {_identity(payloads[event]) for event in chosen}
        for conversation_id in {payload["conversationId"] for payload in payloads.values()}:
            self.organisation.put(_conversation(conversation_id))
        for post in posts:
            if post.event is not None:
                self.organisation.history.record(payloads[post.event])
            if post.event not in chosen:
                yield post

    def compare(self, gaps: Sequence[Mapping[str, Any]]) -> ReconciliationResult:
        """Compare with the gaps that `omctl reconcile --json` reports."""
        found = {(gap["message"], gap["status"] or ""): gap["recovered"] for gap in gaps}
        recovered = sum(found.get(identity, False) for identity in self.withheld)
        false = len(found.keys() - self.withheld)
        return ReconciliationResult(len(gaps), recovered, false, len(self.withheld))


def _conversation(conversation_id: str) -> Conversation:
    """Return what the platform knows: a third of the conversations are still in the routing queue."""
    is_waiting = conversation_id[-1] in "01234"
    other = Participant("acd", "queue-1") if is_waiting else Participant("agent", "queue-1", "agent-1")
    return Conversation(
        conversation_id, "2026-01-01T00:00:00.000Z", participants=[Participant("customer"), other]
    )


def _choose(payloads: dict[int, dict[str, Any]]) -> set[int]:
    """Draw events that are in the history: messages with an id of their own, and receipts."""
    by_conversation: dict[str, list[int]] = {}
    for event, payload in payloads.items():
        if _identity(payload)[0]:
            by_conversation.setdefault(payload["conversationId"], []).append(event)
    long_ones = [events for events in by_conversation.values() if len(events) >= MIN_EVENTS]
    drawn = random.sample(long_ones, WITHHELD)
    return {random.choice(events) for events in drawn}  # noqa: S311  nothing secret


def _identity(payload: dict[str, Any]) -> tuple[str, str]:
    """Return what identifies an event in the history; the id is empty if it is not in the history."""
    if "eventType" in payload:
        return str((payload.get("message") or {}).get("id", "")), ""
    if payload["type"] == "Event":
        return "", ""
    return payload["id"], str(payload.get("status", ""))
