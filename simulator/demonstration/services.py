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

from sqlalchemy import create_engine, text

from simulator.demonstration.accounts import ReconciliationResult
from simulator.platform import Conversation, History, Organisation, Participant, serve_platform
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

SUBSCRIPTIONS_KNOWN: Final = "SELECT count(*) FROM subscriptions"
"""Not 0 once the deliver process has started, so that every later event is delivered."""

UNFINISHED: Final = """
    SELECT (SELECT count(*) FROM conversations WHERE window_opened_at IS NOT NULL)
        + (SELECT count(*) FROM routing_updates WHERE decision IS NULL)
        + (SELECT count(*) FROM deliveries WHERE outcome IS NULL)"""
"""What is still to be settled or delivered."""

COUNTS: Final = """
    SELECT (SELECT sum(settled_count) FROM conversations) AS settled,
        (SELECT count(*) FROM routing_updates WHERE decision = 'superseded') AS superseded,
        (SELECT count(*) FROM outbox WHERE late) AS late,
        (SELECT count(*) FROM outbox o JOIN subscriptions s ON s.event_type = o.event_type) AS planned"""


class _Conversations(dict[str, Conversation]):
    """Every conversation that is asked for and not stored; a third of them are still in the routing queue."""

    def get(self, conversation_id: str, _default: object = None) -> Conversation:
        if conversation_id in self:
            return self[conversation_id]
        purpose = "acd" if conversation_id[-1] in "01234" else "agent"
        customer = Participant("customer")
        other = Participant(purpose, queue_id="queue-1", user_id="agent-1" if purpose == "agent" else None)
        return Conversation(conversation_id, "2026-01-01T00:00:00.000Z", participants=[customer, other])


@dataclass(frozen=True, slots=True)
class ConversationCounts:
    """What the tables and the receiver hold of the conversations."""

    settled: int
    superseded: int
    late: int
    planned: int
    received: Mapping[str, int]

    def __str__(self) -> str:
        received = (f"{name}={self.received[name]}" for name in ("delivered", "repeated", "disordered"))
        counts = f"settled={self.settled} superseded={self.superseded} late={self.late}"
        return " ".join((counts, *received))

    def disagreements(self) -> list[str]:
        """Return what is wrong; empty if all is well."""
        received = self.received
        found = {
            f"{self.planned} deliveries planned, {received['delivered']} received": (
                self.planned != received["delivered"]
            ),
            f"{received['repeated']} received twice": received["repeated"],
            f"{received['disordered']} received out of order": received["disordered"],
            f"{received['forged']} received without a valid signature": received["forged"],
        }
        return [text for text, is_wrong in found.items() if is_wrong]


class DemonstrationServices:
    """A platform that contradicts some routing updates, and a receiver for each destination."""

    def __init__(self, platform_port: int) -> None:
        self._secrets = {
            name: "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode() for name in SUBSCRIPTIONS
        }
        self._client_secret = secrets.token_urlsafe(16)
        self._platform_port = platform_port
        self.inbox = Inbox(self._secrets)
        self.organisation = Organisation("demo", self._client_secret, requests_per_minute=REQUESTS_PER_MINUTE)
        self.organisation.conversations = _Conversations()

    @contextmanager
    def serve(self, directory: Path) -> Iterator[dict[str, str]]:
        """Serve both and yield the settings that point the service to them."""
        platform = serve_platform(self.organisation, self._platform_port)
        with serve_receiver(self.inbox) as receiver_url, platform as platform_url:
            path = directory / "destinations.toml"
            path.touch(mode=0o600)
            path.write_text(
                "".join(
                    destination_table(name, f"{receiver_url}/{name}", self._secrets[name], events)
                    for name, events in SUBSCRIPTIONS.items()
                )
            )
            yield {
                "OM_DESTINATIONS": str(path),
                "OM_GENESYS_API_URL": platform_url,
                "OM_GENESYS_CLIENT_ID": "demo",
                "OM_GENESYS_CLIENT_SECRET": self._client_secret,
                "OM_GENESYS_REQUESTS_PER_MINUTE": str(REQUESTS_PER_MINUTE),
            }


def read_counts(database_url: str, inbox: Inbox) -> ConversationCounts:
    """Return what the tables and the receiver hold of the conversations."""
    settled, superseded, late, planned = query(database_url, COUNTS)
    return ConversationCounts(settled, superseded, late, planned, inbox.counts())


def query(database_url: str, statement: str) -> tuple[int, ...]:
    """Return the one row of numbers that a statement selects."""
    engine = create_engine(database_url)
    try:
        with engine.connect() as connection:
            return tuple(int(value or 0) for value in connection.execute(text(statement)).one())
    finally:
        engine.dispose()


WITHHELD: Final = 20
"""Two percent of a thousand events."""

MIN_EVENTS: Final = 4
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

    history: History
    withheld: set[tuple[str, str]] = field(default_factory=set)

    def filter(self, posts: Sequence[Post]) -> Iterator[Post]:
        """Yield the posts except those of withheld events; the history gets all of them."""
        payloads = {post.event: json.loads(post.body) for post in posts if post.event is not None}
        chosen = _choose(payloads)
        self.withheld = {_identity(payloads[event]) for event in chosen}
        for post in posts:
            if post.event is not None:
                self.history.record(payloads[post.event])
            if post.event not in chosen:
                yield post

    def compare(self, gaps: Sequence[Mapping[str, Any]]) -> ReconciliationResult:
        """Compare with the gaps that `omctl reconcile --json` reports."""
        found = {(gap["message"], gap["status"] or ""): gap["recovered"] for gap in gaps}
        recovered = sum(found.get(identity, False) for identity in self.withheld)
        false = len(found.keys() - self.withheld)
        return ReconciliationResult(len(gaps), recovered, false, len(self.withheld))


def _choose(payloads: dict[int, dict[str, Any]]) -> set[int]:
    """Draw events that are in the history: messages with an id of their own, and receipts."""
    by_conversation: dict[str, list[int]] = {}
    for event, payload in payloads.items():
        by_conversation.setdefault(payload["conversationId"], []).append(event)
    long_ones = (events for events in by_conversation.values() if len(events) >= MIN_EVENTS)
    candidates = [[event for event in events if _identity(payloads[event])[0]] for events in long_ones]
    drawn = random.sample([events for events in candidates if len(events) > 1], WITHHELD)
    return {random.choice(events) for events in drawn}  # noqa: S311  nothing secret


def _identity(payload: dict[str, Any]) -> tuple[str, str]:
    """Return what identifies an event in the history; the id is empty if it is not in the history."""
    if "eventType" in payload:
        return str((payload.get("message") or {}).get("id", "")), ""
    if payload["type"] == "Event":
        return "", ""
    return payload["id"], str(payload.get("status", ""))
