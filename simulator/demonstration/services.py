"""The demonstration's own platform and destinations, and what these received."""

import base64
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import create_engine, text

from simulator.platform import Conversation, Organisation, Participant, serve_platform
from simulator.receiver import Inbox, destination_table, serve_receiver

SUBSCRIPTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "session": ("openmessaging:conversation:new",),
    "routing": ("openmessaging:conversation:updated",),
    "content": ("openmessaging:conversation:message", "openmessaging:receipt"),
    "crm": (
        "openmessaging:conversation:new",
        "openmessaging:conversation:message",
        "openmessaging:conversation:updated",
    ),
}

REQUESTS_PER_MINUTE: Final = 60_000
"""The demonstration must not wait for a real organisation's rate limit."""

UNFINISHED: Final = """
    SELECT (SELECT count(*) FROM conversations WHERE window_opened_at IS NOT NULL)
        + (SELECT count(*) FROM routing_updates WHERE decision IS NULL)
        + (SELECT count(*) FROM deliveries WHERE outcome IS NULL)"""
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
        received = self.received
        return (
            f"settled={self.settled} superseded={self.superseded} late={self.late} "
            f"delivered={received['delivered']} repeated={received['repeated']} "
            f"disordered={received['disordered']}"
        )

    def disagreements(self) -> list[str]:
        """Return what is wrong; empty if all is well."""
        delivered, repeated, disordered, forged = (
            self.received[name] for name in ("delivered", "repeated", "disordered", "forged")
        )
        found = {
            f"{self.planned} deliveries planned, {delivered} received": self.planned != delivered,
            f"{repeated} received twice": repeated,
            f"{disordered} received out of order": disordered,
            f"{forged} received without a valid signature": forged,
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


def count_unfinished(database_url: str) -> int:
    """Return how many conversations, updates and deliveries are still to be settled or delivered."""
    return _query(database_url, UNFINISHED)[0]


def has_subscriptions(database_url: str) -> bool:
    """Return whether the deliver process has started, so that every later event is delivered."""
    return _query(database_url, "SELECT count(*) FROM subscriptions")[0] > 0


def read_counts(database_url: str, inbox: Inbox) -> ConversationCounts:
    """Return what the tables and the receiver hold of the conversations."""
    settled, superseded, late, planned = _query(database_url, COUNTS)
    return ConversationCounts(settled, superseded, late, planned, inbox.counts())


def _query(database_url: str, query: str) -> tuple[int, ...]:
    engine = create_engine(database_url)
    try:
        with engine.connect() as connection:
            return tuple(int(value or 0) for value in connection.execute(text(query)).one())
    finally:
        engine.dispose()
