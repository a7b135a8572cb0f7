"""Share the platform's request limit among the callers on all hosts, through one database row.

This is the generic cell rate algorithm: each request moves a time in the row, the *paid time*, forward by a
fixed cost. Requests may move the paid time ahead of the present by at most one burst.

Urgent callers have priority: settle, deliver and the command line may use the whole burst except one request.
A background caller, such as reconcile, takes a request only while more than half of the burst is left, so
urgent callers never wait for it. The request that urgent callers leave guarantees it a tenth of the limit.
"""

import time
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Final

from sqlalchemy import Connection, Engine, text

from messaging.clock import Clock
from workers.db.engine import transact
from workers.genesys.errors import PlatformBusyError

MINUTE_US: Final = 60_000_000

BURST_SHARE: Final = 10
"""A tenth of a minute's requests may be sent at once; the others are spread over the minute. The requests in
any 60 seconds then stay within the limit, and a single request does not wait."""

MIN_BURST: Final = 3
"""Smallest burst: one urgent request, one background request, and one that urgent callers must leave."""

MAX_PAUSE_SECONDS: Final = 120.0
"""Longest pause. The platform counts requests by the minute, so a longer Retry-After must be an error."""

MAX_WAIT_SECONDS: Final = 10.0
"""Longest time that a background caller waits for a request. If a longer wait is needed, it gets an error."""

_OPEN: Final = text(
    "INSERT INTO request_budgets (name, paid_at_us, background_paid_at_us) VALUES (:name, 0, 0)"
    " ON CONFLICT (name) DO NOTHING"
)
# A paid time that no pause can explain is an error, e.g. after a clock was set back; it counts as now.
_IS_AHEAD: Final = "paid_at_us > :now_us AND paid_at_us <= :furthest_us"
_TAKE: Final = text(
    f"""
    UPDATE request_budgets SET
        paid_at_us = CASE WHEN {_IS_AHEAD} THEN paid_at_us ELSE :now_us END + :cost_us,
        background_paid_at_us = CASE WHEN :background_cost_us = 0 THEN background_paid_at_us
            ELSE :now_us + :background_cost_us END
    WHERE name = :name AND (paid_at_us <= :now_us + :ahead_us OR paid_at_us > :furthest_us
        OR (:background_cost_us > 0 AND paid_at_us <= :now_us + :burst_us
            AND (background_paid_at_us <= :now_us OR background_paid_at_us > :furthest_us)))
    """  # noqa: S608  # our own names
)
_LOOK: Final = text("SELECT paid_at_us, background_paid_at_us FROM request_budgets WHERE name = :name")
_PAUSE: Final = text(
    "UPDATE request_budgets SET paid_at_us = :until_us"
    " WHERE name = :name AND (paid_at_us < :until_us OR paid_at_us > :furthest_us)"
)


class Rate:
    """The pace of requests: the cost of a request, and how far the paid time may be ahead of the present."""

    def __init__(self, requests_per_minute: int, *, is_background: bool) -> None:
        burst = max(MIN_BURST, requests_per_minute // BURST_SHARE)
        self.cost_us = -(-MINUTE_US // (requests_per_minute - burst))
        self.burst_us = (burst - 1) * self.cost_us
        self.ahead_us = (burst // 2 - 1 if is_background else burst - 2) * self.cost_us
        # A tenth of the limit is reserved for background callers.
        self.background_cost_us = 10 * MINUTE_US // requests_per_minute if is_background else 0

    def furthest_us(self, now_us: int) -> int:
        """Return the latest paid time that requests and pauses can cause."""
        return now_us + self.burst_us + self.cost_us + round(MAX_PAUSE_SECONDS * 1_000_000)


@dataclass(slots=True)
class RequestBudget:
    """Counts the requests that all hosts send as the OAuth client *name*, by the database's clock."""

    engine: Engine
    name: str
    requests_per_minute: int
    clock: Clock
    _: KW_ONLY
    is_background: bool = False
    wait: Callable[[float], None] = time.sleep

    def take(self) -> None:
        """Take a request from the budget, or raise PlatformBusyError; background callers might wait first."""
        while (delay := transact(self.engine, self._try_to_take) / 1_000_000) > 0:
            if not self.is_background or delay > MAX_WAIT_SECONDS:
                raise PlatformBusyError("the request budget is used up", delay=delay)
            self.wait(delay)

    def pause(self, seconds: float) -> None:
        """Stop all requests for *seconds*, as the platform asked, but for at most MAX_PAUSE_SECONDS."""
        rate, now_us = self._rate(), self.clock.now_us()
        until_us = now_us + round(min(seconds, MAX_PAUSE_SECONDS) * 1_000_000) + rate.burst_us
        values = {"name": self.name, "until_us": until_us, "furthest_us": rate.furthest_us(now_us)}
        transact(self.engine, Connection.execute, _PAUSE, values)

    def _rate(self) -> Rate:
        return Rate(self.requests_per_minute, is_background=self.is_background)

    def _try_to_take(self, connection: Connection) -> int:
        """Return 0 if a request was taken, else how many microseconds until one is available."""
        connection.execute(_OPEN, {"name": self.name})
        rate, now_us = self._rate(), self.clock.now_us()
        values = {"name": self.name, "now_us": now_us, "furthest_us": rate.furthest_us(now_us), **vars(rate)}
        if connection.execute(_TAKE, values).rowcount:
            return 0
        row = connection.execute(_LOOK, {"name": self.name}).one()
        free_at_us = row.paid_at_us - rate.ahead_us
        if self.is_background:
            free_at_us = min(free_at_us, max(row.background_paid_at_us, row.paid_at_us - rate.burst_us))
        return max(1, int(free_at_us) - now_us)
