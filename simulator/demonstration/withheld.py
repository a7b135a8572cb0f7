"""The events that the demonstration's platform never sends, and whether reconciliation finds them."""

import json
import random
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from simulator.demonstration.accounts import ReconciliationResult
from simulator.platform import History
from simulator.traffic import Dialect, Post, TrafficPlan

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

    Args:
        withheld: Their message ids, and the status if they are receipts.
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
    candidates = [
        [event for event in events if _identity(payloads[event])[0]]
        for events in by_conversation.values()
        if len(events) >= MIN_EVENTS
    ]
    drawn = random.sample([events for events in candidates if len(events) > 1], WITHHELD)
    return {random.choice(events) for events in drawn}  # noqa: S311  nothing secret


def _identity(payload: dict[str, Any]) -> tuple[str, str]:
    """Return what identifies an event in the history; the id is empty if it is not in the history."""
    if "eventType" in payload:
        return str((payload.get("message") or {}).get("id", "")), ""
    if payload["type"] == "Event":
        return "", ""
    return payload["id"], str(payload.get("status", ""))
