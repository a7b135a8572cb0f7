"""Provide the demonstration's platform, which withholds some events, and its destinations."""

import base64
import json
import random
import secrets
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from sqlalchemy import NullPool, create_engine, text

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
"""The platform's rate limit. It is high enough that the demonstration never has to wait for it."""

SUBSCRIPTIONS_KNOWN: Final = "SELECT count(*) AS number FROM subscriptions"
"""Selects 0 until the deliver process has started. All events that arrive later are delivered."""

UNFINISHED: Final = """
    SELECT (SELECT count(*) FROM conversations WHERE window_opened_at IS NOT NULL)
        + (SELECT count(*) FROM routing_updates WHERE decision IS NULL)
        + (SELECT count(*) FROM deliveries WHERE outcome IS NULL) AS number"""
"""Counts the conversations, updates and deliveries that still have to be settled or delivered."""

COUNTS: Final = """
    SELECT (SELECT sum(settled_count) FROM conversations) AS settled,
        (SELECT count(*) FROM routing_updates WHERE decision = 'superseded') AS superseded,
        (SELECT count(*) FROM outbox WHERE late) AS late,
        (SELECT count(*) FROM outbox o JOIN subscriptions s ON s.event_type = o.event_type) AS planned"""


@contextmanager
def serve_services(
    directory: Path, platform_port: int
) -> Iterator[tuple[Organisation, Inbox, dict[str, str]]]:
    """Serve a platform that contradicts some updates, and an inbox; yield both, and the settings for them."""
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
        yield organisation, inbox, settings


def query(database_url: str, statement: str) -> dict[str, int]:
    """Run a statement that selects one row of numbers, and return the numbers by column."""
    with create_engine(database_url, poolclass=NullPool).connect() as connection:
        row = connection.execute(text(statement)).mappings().one()
        return {name: int(value or 0) for name, value in row.items()}


WITHHELD: Final = 20
"""The number of withheld events: two percent of the demonstration's thousand."""

MIN_EVENTS: Final = 3
"""Minimum number of events in a conversation from which one is withheld; the rest reveal its dialect."""


def demonstration_plan(events: int) -> TrafficPlan:
    """Return a traffic plan that contains every kind of event that is known to cause trouble."""
    return TrafficPlan(
        events,
        conversations=events // 10,
        seed=secrets.randbits(32),
        # Conversations last less than 15 minutes, so no event is too new to be compared.
        start=datetime.now(UTC) - timedelta(minutes=15),
        dialect=Dialect.BOTH,
        duplicate_share=0.05,
        disorder_share=0.05,
        collision_share=0.05,
        malformed_share=0.03,
        unknown_field_share=0.05,
    )


def withhold(posts: Sequence[Post], organisation: Organisation) -> tuple[list[Post], set[tuple[str, str]]]:
    """Withhold some events that have a message id; return the other posts and the withheld events' ids."""
    payloads = {post.event: json.loads(post.body) for post in posts if post.event is not None}
    by_conversation = defaultdict[str, list[int]](list)
    for event, payload in payloads.items():
        organisation.history.record(payload)
        if _identity(payload)[0]:
            by_conversation[payload["conversationId"]].append(event)
    for conversation_id in {payload["conversationId"] for payload in payloads.values()}:
        # About a third of the conversations are still waiting in the routing queue.
        is_waiting = conversation_id[-1] in "01234"
        other = Participant("acd", "queue-1") if is_waiting else Participant("agent", "queue-1", "agent-1")
        parties = [Participant("customer"), other]
        organisation.put(Conversation(conversation_id, "2026-01-01T00:00:00.000Z", participants=parties))
    long_ones = [events for events in by_conversation.values() if len(events) >= MIN_EVENTS]
    drawn = random.sample(long_ones, WITHHELD)
    chosen = {random.choice(events) for events in drawn}  # noqa: S311  nothing secret
    sent = [post for post in posts if post.event not in chosen]
    return sent, {_identity(payloads[event]) for event in chosen}


def compare_gaps(gaps: Sequence[Mapping[str, Any]], withheld: set[tuple[str, str]]) -> dict[str, int]:
    """Count the withheld events, the gaps that `omctl reconcile --json` reports, and the false gaps."""
    found = {(gap["message"], gap["status"] or ""): gap["recovered"] for gap in gaps}
    recovered = sum(found.get(identity, False) for identity in withheld)
    false = len(found.keys() - withheld)
    return {"withheld": len(withheld), "missing": len(gaps), "recovered": recovered, "false": false}


def _identity(payload: dict[str, Any]) -> tuple[str, str]:
    """Return the message id and status that identify an event in the history; the id is "" if it has none."""
    if "eventType" in payload:
        return str((payload.get("message") or {}).get("id", "")), ""
    if payload["type"] == "Event":
        return "", ""
    return payload["id"], str(payload.get("status", ""))
