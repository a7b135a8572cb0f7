"""A simulated event, the body that carries it, and the clock of its conversation."""

import json
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

Payload = dict[str, Any]

MIN_STEP_MS: Final = 40
MAX_STEP_MS: Final = 4_000
"""People and bots write within seconds; this crosses the two-second window in both directions."""


@dataclass(frozen=True, slots=True)
class SimulatedEvent:
    """The next event of a conversation: a short word for tables, and the decoded body."""

    kind: str
    payload: Payload


@dataclass(frozen=True, slots=True)
class Post:
    """One body to post.

    Args:
        event: The number of the distinct event, shared by all of its bodies; None if the body is malformed.
        kind: A short word for tables; "malformed:…" if event is None.
        body: The raw bytes.
    """

    event: int | None
    kind: str
    body: bytes


def compact(payload: Payload) -> bytes:
    """Encode as the platform does: compact UTF-8 JSON without needless escapes."""
    return json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode()


def platform_timestamp(moment: datetime) -> str:
    """Format an aware time as the platform does: UTC, milliseconds, Z.

    Source: `channel.time` in published webhook bodies, "2025-06-10T21:03:05.427Z".
    """
    utc = moment.astimezone(UTC)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03d}Z"


@dataclass(slots=True)
class ConversationClock:
    """The clock of one conversation: it advances with each event, except when two events collide."""

    rng: random.Random
    now: datetime
    collision_share: float

    def advance(self) -> str:
        """Let some time pass and return the next event's timestamp."""
        self.now += timedelta(milliseconds=self.rng.randint(MIN_STEP_MS, MAX_STEP_MS))
        return platform_timestamp(self.now)

    def advance_or_collide(self) -> str:
        """Return the previous event's timestamp for a share of the events, otherwise a new one."""
        if self.rng.random() < self.collision_share:
            return platform_timestamp(self.now)
        return self.advance()
