"""Share the platform's request limit between all callers of all hosts, in one row of SQL.

It uses the generic cell rate algorithm: the row holds the time up to which all requests so far are paid for.
This time may be ahead of the present by at most one burst.

Urgent callers have priority: settle, deliver and the command line may use the whole burst except one request.
A background caller, such as reconcile, takes a request only while more than half of the burst is left, so it
never makes urgent callers wait. The one request that urgent callers always leave secures a tenth of the limit
for the background.
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
"""A tenth of a minute's requests may be sent at once, the others evenly. So any 60 seconds stay within the
limit, and a single request does not wait."""

MIN_BURST: Final = 3
"""One request for urgent callers, one for the background, and one that urgent callers must leave to it."""

BACKGROUND_SHARE: Final = 10
"""The background always gets a tenth of the limit."""

MAX_PAUSE_SECONDS: Final = 120.0
"""The platform counts requests by the minute, so a longer pause is an error."""

MAX_WAIT_SECONDS: Final = 10.0
"""A background caller waits for its turn, unless the platform has paused all callers for longer."""

_OPEN: Final = text(
    "INSERT INTO request_budgets (name, paid_at_us, background_paid_at_us) VALUES (:name, 0, 0)"
    " ON CONFLICT (name) DO NOTHING"
)
# A later time than any pause can explain is an error, such as a clock set back: it counts as the present.
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


@dataclass(frozen=True, slots=True)
class Rate:
    """The pace of requests: the cost of each, and how far the paid time may be ahead of the present."""

    cost_us: int
    burst_us: int
    urgent_us: int
    background_us: int
    background_cost_us: int

    def furthest_us(self, now_us: int) -> int:
        """Return the latest time that requests and pauses can explain."""
        return now_us + self.burst_us + self.cost_us + round(MAX_PAUSE_SECONDS * 1_000_000)


def compute_rate(requests_per_minute: int) -> Rate:
    """Return the rate that keeps any 60 seconds within the limit."""
    burst = max(MIN_BURST, requests_per_minute // BURST_SHARE)
    cost_us = -(-MINUTE_US // (requests_per_minute - burst))
    return Rate(
        cost_us,
        burst_us=(burst - 1) * cost_us,
        urgent_us=(burst - 2) * cost_us,
        background_us=(burst // 2 - 1) * cost_us,
        background_cost_us=MINUTE_US * BACKGROUND_SHARE // requests_per_minute,
    )


@dataclass(slots=True)
class RequestBudget:
    """The requests that the OAuth client *name* may send, counted for all hosts by the database's clock.

    A background caller gives way to urgent callers, and waits for its turn.
    """

    engine: Engine
    name: str
    requests_per_minute: int
    clock: Clock
    _: KW_ONLY
    is_background: bool = False
    wait: Callable[[float], None] = time.sleep

    def take(self) -> None:
        """Take one request from the budget, or raise PlatformBusyError with the delay until one is available.

        A background caller waits for a request, unless the delay is longer than MAX_WAIT_SECONDS.
        """
        while (delay := transact(self.engine, self._try_to_take) / 1_000_000) > 0:
            if not self.is_background or delay > MAX_WAIT_SECONDS:
                raise PlatformBusyError("the request budget is used up", delay=delay)
            self.wait(delay)

    def pause(self, seconds: float) -> None:
        """Stop all callers for some seconds, as the platform has requested."""
        rate, now_us = compute_rate(self.requests_per_minute), self.clock.now_us()
        until_us = now_us + round(min(seconds, MAX_PAUSE_SECONDS) * 1_000_000) + rate.burst_us
        values = {"name": self.name, "until_us": until_us, "furthest_us": rate.furthest_us(now_us)}
        transact(self.engine, Connection.execute, _PAUSE, values)

    def _try_to_take(self, connection: Connection) -> int:
        """Return 0 if a request was taken, else the microseconds until one is available."""
        connection.execute(_OPEN, {"name": self.name})
        rate, now_us = compute_rate(self.requests_per_minute), self.clock.now_us()
        ahead_us = rate.background_us if self.is_background else rate.urgent_us
        background_cost_us = rate.background_cost_us if self.is_background else 0
        times = {"now_us": now_us, "ahead_us": ahead_us, "furthest_us": rate.furthest_us(now_us)}
        costs = {"cost_us": rate.cost_us, "background_cost_us": background_cost_us}
        values = {"name": self.name, "burst_us": rate.burst_us, **times, **costs}
        if connection.execute(_TAKE, values).rowcount:
            return 0
        row = connection.execute(_LOOK, {"name": self.name}).one()
        free_at_us = row.paid_at_us - ahead_us
        if self.is_background:
            free_at_us = min(free_at_us, max(row.background_paid_at_us, row.paid_at_us - rate.burst_us))
        return max(1, int(free_at_us) - now_us)
