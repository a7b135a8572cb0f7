"""Count how well the platform's notifications arrived, out of the records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

_DAYS: Final = text(
    "SELECT day, notified, repeated, recovered, dead_letters FROM notification_statistics_v1"
    " WHERE day >= :since ORDER BY day"
)


@dataclass(frozen=True, slots=True)
class Notifications:
    """What came, and what had to be fetched.

    Args:
        day: In UTC; the word "all" for a sum.
        notified: Events that a webhook brought, each once.
        repeated: How often one came again: the platform repeats what was not answered well in time.
        recovered: Events that no webhook brought, found in the platform's history.
        dead_letters: What a webhook brought that could not be processed.
    """

    day: str
    notified: int
    repeated: int
    recovered: int
    dead_letters: int

    @property
    def success_rate(self) -> float | None:
        """The percentage of the platform's events that a webhook brought; None where there were none."""
        arrived = self.notified + self.dead_letters
        return 100.0 * arrived / (arrived + self.recovered) if arrived + self.recovered else None


def notifications_by_day(connection: Connection, since: str) -> list[Notifications]:
    """Return each day from *since* on that has any; blocks while the events of all days are read."""
    rows = connection.execute(_DAYS, {"since": since})
    return [Notifications(day, *(int(count) for count in counts)) for day, *counts in rows]


def summed(days: Sequence[Notifications]) -> Notifications:
    """Return the days together."""
    return Notifications(
        "all",
        sum(each.notified for each in days),
        sum(each.repeated for each in days),
        sum(each.recovered for each in days),
        sum(each.dead_letters for each in days),
    )
