"""Share the platform's request limit between all callers of all hosts, by one row in SQL.

The generic cell rate algorithm: the row holds the moment at which everything that was taken so far will
have been paid for. It may lie ahead of the present by a burst, never more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from workers.genesys.errors import PlatformUnavailableError
from workers.tables import transact

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from messaging.clock import Clock

MINUTE_US: Final = 60_000_000

BURST_SHARE: Final = 10
"""A tenth of the minute's requests may come at once, the others evenly: no minute has more than the limit,
wherever it begins, and a lone look-up does not wait."""

_OPEN: Final = text(
    "INSERT INTO request_budgets (name, paid_at_us) VALUES (:name, 0) ON CONFLICT (name) DO NOTHING"
)
_TAKE: Final = text(
    """
    UPDATE request_budgets SET paid_at_us =
        CASE WHEN paid_at_us > :now_us THEN paid_at_us ELSE :now_us END + :cost_us
    WHERE name = :name AND paid_at_us - :now_us <= :ahead_us
    RETURNING paid_at_us
    """
)
_LOOK: Final = text("SELECT paid_at_us FROM request_budgets WHERE name = :name")
_PAUSE: Final = text(
    "UPDATE request_budgets SET paid_at_us = :until_us WHERE name = :name AND paid_at_us < :until_us"
)


@dataclass(frozen=True, slots=True)
class Rate:
    """How fast requests may follow each other; microseconds.

    Args:
        cost_us: What one request takes of the time.
        ahead_us: How far what is taken may lie ahead of the present.
    """

    cost_us: int
    ahead_us: int


def rate_of(requests_per_minute: int) -> Rate:
    """Return the rate that keeps every minute, wherever it begins, within the limit."""
    burst = max(1, requests_per_minute // BURST_SHARE)
    cost_us = -(-MINUTE_US // (requests_per_minute - burst))
    return Rate(cost_us, (burst - 1) * cost_us)


class RequestBudget:
    """The requests that one OAuth client may make, counted where every host sees them.

    Args:
        engine: The workers' database.
        name: Whose budget; the OAuth client's id.
        requests_per_minute: What the platform allows.
        clock: Our time. Hosts whose clocks differ by seconds share the budget a little unevenly.
    """

    def __init__(self, engine: Engine, name: str, requests_per_minute: int, clock: Clock) -> None:
        self._engine = engine
        self._name = name
        self._rate = rate_of(requests_per_minute)
        self._clock = clock
        self._is_open = False

    def take(self) -> None:
        """Take one request out of the budget; durable when it returns.

        Raises:
            PlatformUnavailableError: None is left; its delay says when there is one again.
            RetryLaterError: The database is away.
        """
        delay_us = transact(self._engine, self._try_to_take)
        if delay_us > 0:
            raise PlatformUnavailableError("the request budget is used up", delay=delay_us / 1_000_000)

    def pause(self, seconds: float) -> None:
        """Let no caller ask anything for so long: the platform has said so."""
        until_us = self._clock.now_us() + round(seconds * 1_000_000) + self._rate.ahead_us
        transact(
            self._engine,
            lambda connection: connection.execute(_PAUSE, {"name": self._name, "until_us": until_us}),
        )

    def _try_to_take(self, connection: Connection) -> int:
        """Return 0 where a request was taken, else the microseconds until there is one."""
        if not self._is_open:
            connection.execute(_OPEN, {"name": self._name})
            self._is_open = True
        now_us = self._clock.now_us()
        rate = {"now_us": now_us, "cost_us": self._rate.cost_us, "ahead_us": self._rate.ahead_us}
        if connection.execute(_TAKE, {"name": self._name, **rate}).first() is not None:
            return 0
        paid_at_us = int(connection.execute(_LOOK, {"name": self._name}).scalar_one())
        return max(1, paid_at_us - now_us - self._rate.ahead_us)
