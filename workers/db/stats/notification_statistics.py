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
_COMPARED: Final = text(
    "SELECT id FROM reconciliations WHERE started_by = 'timer' AND finished_at IS NOT NULL LIMIT 1"
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
        is_compared: Whether any comparison with the platform's history has finished.
    """

    day: str
    notified: int
    repeated: int
    recovered: int
    dead_letters: int
    is_compared: bool = False

    @property
    def success_rate(self) -> float | None:
        """The percentage of the platform's events that a webhook brought; None if that is unknown."""
        arrived = self.notified + self.dead_letters
        is_known = self.recovered or (self.is_compared and arrived)
        return 100.0 * arrived / (arrived + self.recovered) if is_known else None


def notifications_by_day(connection: Connection, since: str) -> list[Notifications]:
    """Return each day from *since* on that has any; blocks while the events of all days are read."""
    rows = connection.execute(_DAYS, {"since": since})
    is_compared = connection.execute(_COMPARED).first() is not None
    return [
        Notifications(
            row.day,
            int(row.notified),
            int(row.repeated),
            int(row.recovered),
            int(row.dead_letters),
            is_compared,
        )
        for row in rows
    ]


def summed(days: Sequence[Notifications]) -> Notifications:
    """Return the days together."""
    return Notifications(
        "all",
        sum(each.notified for each in days),
        sum(each.repeated for each in days),
        sum(each.recovered for each in days),
        sum(each.dead_letters for each in days),
        any(each.is_compared for each in days),
    )
