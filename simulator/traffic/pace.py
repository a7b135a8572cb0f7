"""Tell a simulated conversation its time, in the platform's own notation."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

MINIMUM_STEP_MS = 40
MAXIMUM_STEP_MS = 4_000
"""People and bots write within seconds; the two-second window is then met from both sides."""


def platform_timestamp(moment: datetime) -> str:
    """Return *moment* as the platform writes it: UTC, milliseconds, Z.

    Source: `channel.time` in published webhook bodies, "2025-06-10T21:03:05.427Z".
    """
    utc = moment.astimezone(UTC)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03d}Z"


@dataclass(slots=True)
class Pace:
    """The clock of one conversation: it advances with each event, except where two collide."""

    rng: random.Random
    now: datetime
    collision_share: float

    def advance(self) -> str:
        """Let some time pass; return the next event's timestamp."""
        self.now += timedelta(milliseconds=self.rng.randint(MINIMUM_STEP_MS, MAXIMUM_STEP_MS))
        return platform_timestamp(self.now)

    def advance_or_collide(self) -> str:
        """Return the timestamp of the event before for a share of the events, else a new one."""
        if self.rng.random() < self.collision_share:
            return platform_timestamp(self.now)
        return self.advance()
