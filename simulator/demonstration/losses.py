"""What the demonstration's platform never sends, and what the reconciliation says of it."""

import json
import random
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from simulator.platform import History
from simulator.traffic import Dialect, Post, TrafficPlan

LOST = 20
"""Of a thousand events: two percent."""

LEAST_EVENTS = 4
"""A conversation loses one event at most, and has others, by which its dialect is known."""

# In the past, so that nothing is too new to be compared; more than any conversation lasts.
STARTED_AGO = timedelta(minutes=15)


def plan_of(events: int) -> TrafficPlan:
    """Return what is told: some of everything that is known to hurt."""
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


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What `omctl reconcile` found.

    Args:
        missing: How many events it says were missing.
        recovered: How many of those that were withheld have taken effect.
        false: How many it says were missing that were not withheld.
        lost: How many were withheld.
    """

    missing: int
    recovered: int
    false: int
    lost: int

    def __str__(self) -> str:
        return f"missing={self.missing} recovered={self.recovered} false={self.false}"

    def disagreements(self) -> list[str]:
        """Say in words what is wrong; empty when all is well."""
        found = {
            f"{self.lost} events withheld, {self.missing} found missing": self.lost != self.missing,
            f"{self.lost} events withheld, {self.recovered} recovered": self.lost != self.recovered,
            f"{self.false} events found missing that were not": self.false,
        }
        return [words for words, is_so in found.items() if is_so]


@dataclass(slots=True)
class Losses:
    """Posts on their way from the platform, some of which never leave it.

    Args:
        history: The platform's, which has all of them.
        lost: What was withheld: message id, and status where it is a receipt.
    """

    history: History
    lost: set[tuple[str, str]] = field(default_factory=set)

    def withhold(self, posts: Sequence[Post]) -> Iterator[Post]:
        """Yield the posts but those of lost events; the history has each event all the same."""
        payloads = {post.event: json.loads(post.body) for post in posts if post.event is not None}
        withheld = self._chosen(payloads)
        self.lost = {_identity(payloads[event]) for event in withheld}
        for post in posts:
            if post.event is not None:
                self.history.record(payloads[post.event])
            if post.event not in withheld:
                yield post

    def judge(self, gaps: Sequence[Mapping[str, Any]]) -> Reconciled:
        """Compare what was withheld with the gaps that `omctl reconcile --json` tells."""
        found = {(gap["message"], gap["status"] or ""): gap["recovered"] for gap in gaps}
        recovered = sum(found.get(each, False) for each in self.lost)
        return Reconciled(len(gaps), recovered, len(found.keys() - self.lost), len(self.lost))

    @staticmethod
    def _chosen(payloads: dict[int, dict[str, Any]]) -> set[int]:
        """Draw events that the history can tell: messages with an id of their own, and receipts."""
        by_conversation: dict[str, list[int]] = {}
        for event, payload in payloads.items():
            by_conversation.setdefault(payload["conversationId"], []).append(event)
        candidates = [
            [event for event in events if _identity(payloads[event])[0]]
            for events in by_conversation.values()
            if len(events) >= LEAST_EVENTS
        ]
        drawn = random.sample([events for events in candidates if len(events) > 1], LOST)
        return {random.choice(events) for events in drawn}  # noqa: S311  # nothing secret


def _identity(payload: dict[str, Any]) -> tuple[str, str]:
    """Return what an event is known by in the history; an empty id where it is in none."""
    if "eventType" in payload:
        return str((payload.get("message") or {}).get("id", "")), ""
    if payload["type"] == "Event":
        return "", ""
    return payload["id"], str(payload.get("status", ""))
