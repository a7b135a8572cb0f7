"""The demonstration's own platform and services behind, and what these were told."""

import base64
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table
from sqlalchemy import create_engine, text

from simulator.platform import Conversation, History, Organisation, Participant, create_platform
from simulator.receiver import Inbox, destination_table, serving
from simulator.serving import serving_app

SUBSCRIPTIONS: Mapping[str, tuple[str, ...]] = {
    "session": ("openmessaging:conversation:new",),
    "routing": ("openmessaging:conversation:updated",),
    "content": ("openmessaging:conversation:message", "openmessaging:receipt"),
    "crm": (
        "openmessaging:conversation:new",
        "openmessaging:conversation:message",
        "openmessaging:conversation:updated",
    ),
}

REQUESTS_PER_MINUTE = 60_000
"""The demonstration shall not wait for the limit of a real organisation."""

UNFINISHED = """
    SELECT (SELECT count(*) FROM conversations WHERE window_opened_at IS NOT NULL)
        + (SELECT count(*) FROM routing_updates WHERE decision IS NULL)
        + (SELECT count(*) FROM deliveries WHERE outcome IS NULL)"""
COUNTS = """
    SELECT (SELECT sum(settled_count) FROM conversations) AS settled,
        (SELECT count(*) FROM routing_updates WHERE decision = 'superseded') AS superseded,
        (SELECT count(*) FROM outbox WHERE late) AS late,
        (SELECT count(*) FROM outbox o JOIN subscriptions s ON s.event_type = o.event_type) AS planned"""


class _Conversations(dict[str, Conversation]):
    """Every conversation there may be: of each third contact the platform says that it is still queued."""

    def get(self, conversation_id: str, _default: object = None) -> Conversation:
        purpose = "acd" if conversation_id[-1] in "01234" else "agent"
        customer = Participant("customer")
        other = Participant(purpose, queue_id="queue-1", user_id="agent-1" if purpose == "agent" else None)
        return Conversation(conversation_id, "2026-01-01T00:00:00.000Z", participants=[customer, other])


@dataclass(frozen=True, slots=True)
class ConversationCounts:
    """What became of the conversations, by the tables and by the receiver."""

    settled: int
    superseded: int
    late: int
    planned: int
    received: Mapping[str, int]

    @property
    def line(self) -> str:
        """Return the line for scripts."""
        told = self.received
        return (
            f"conversation: settled={self.settled} superseded={self.superseded} late={self.late} "
            f"delivered={told['delivered']} repeated={told['repeated']} disordered={told['disordered']}"
        )

    def disagreements(self) -> list[str]:
        """Say in words what is wrong; empty when all is well."""
        told = self.received
        found = {
            f"{self.planned} rows of the outbox for destinations, {told['delivered']} of them received": (
                self.planned != told["delivered"]
            ),
            f"{told['repeated']} received twice": told["repeated"],
            f"{told['disordered']} received out of order": told["disordered"],
            f"{told['forged']} received without a good signature": told["forged"],
        }
        return [words for words, is_so in found.items() if is_so]

    def table(self, inbox: Inbox) -> Table:
        """Show what each service was told."""
        table = Table(title="What the services behind were told", title_justify="left")
        for column in ("destination", "events", "late", "conversations"):
            table.add_column(column, justify="left" if column == "destination" else "right")
        for name in SUBSCRIPTIONS:
            told = inbox.told(name)
            late, conversations = sum(each.late for each in told), {each.conversation_id for each in told}
            table.add_row(name, str(len(told)), str(late), str(len(conversations)))
        return table


class ServicesBehind:
    """A platform that contradicts, and a receiver for each destination; runs within `running`."""

    def __init__(self) -> None:
        self._secrets = {
            name: "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode() for name in SUBSCRIPTIONS
        }
        self.inbox = Inbox(self._secrets)
        self.history = History()

    @contextmanager
    def running(self, directory: Path) -> Iterator[dict[str, str]]:
        """Yield the settings that lead the service here."""
        client_secret = secrets.token_urlsafe(16)
        organisation = Organisation("demo", client_secret, requests_per_minute=REQUESTS_PER_MINUTE)
        organisation.conversations = _Conversations()
        organisation.history = self.history
        with serving(self.inbox) as receiver_url, serving_app(create_platform(organisation)) as platform_url:
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
                "OM_GENESYS_CLIENT_SECRET": client_secret,
                "OM_GENESYS_REQUESTS_PER_MINUTE": str(REQUESTS_PER_MINUTE),
            }


def unfinished(database_url: str) -> int:
    """Return how much waits to be settled or delivered."""
    return _row(database_url, UNFINISHED)[0]


def is_registered(database_url: str) -> bool:
    """Tell whether the deliver process has begun, so that whatever comes from now on is told."""
    return _row(database_url, "SELECT count(*) FROM subscriptions")[0] > 0


def read_counts(database_url: str, inbox: Inbox) -> ConversationCounts:
    """Return what became of the conversations."""
    settled, superseded, late, planned = _row(database_url, COUNTS)
    return ConversationCounts(settled, superseded, late, planned, inbox.counts())


def _row(database_url: str, query: str) -> tuple[int, ...]:
    engine = create_engine(database_url)
    try:
        with engine.connect() as connection:
            return tuple(int(each or 0) for each in connection.execute(text(query)).one())
    finally:
        engine.dispose()
