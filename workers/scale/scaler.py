"""Start and stop workers according to their backlog: start at once, but stop one by one after a cooldown."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count, islice
from typing import Any, Final

from sqlalchemy import Connection, Engine, Select, func, select

from messaging.clock import Clock
from messaging.errors import RetryLaterError
from messaging.log import logger
from workers.db.engine import transact
from workers.db.models import conversations, deliveries, destinations, routing_updates
from workers.parsing import moment_of
from workers.scale.fleet import Fleet, Units

CONVERSATIONS_PER_SETTLER: Final = 500
"""Number of due conversations that one settle process settles in about a second."""

DELIVERIES_PER_DELIVERER: Final = 100
"""Number of deliveries that one process sends to a destination in a second if each request takes 100 ms."""


@dataclass(frozen=True, slots=True)
class FleetLimits:
    """Limits on a role's workers. A worker is stopped once fewer have been enough for *cooldown* seconds."""

    floor: int
    ceiling: int
    events_per_worker: int
    cooldown: float

    def workers_for(self, depth: int) -> int:
        """Return how many workers a backlog of *depth* events needs."""
        return max(self.floor, min(self.ceiling, -(-depth // self.events_per_worker)))


def decide(limits: FleetLimits, workers: int, depth: int | None, calm_for: float | None) -> tuple[int, str]:
    """Return the target number of workers, and the reason as a code for the log.

    *depth*: None if unknown. *calm_for*: seconds for which fewer have been enough; None if all are needed.
    """
    if not limits.floor <= workers <= limits.ceiling:
        return max(limits.floor, min(limits.ceiling, workers)), "bounds"
    if depth is None:
        # An unknown depth might be large, so no worker is stopped.
        return workers, "depth_unknown"
    if (needed := limits.workers_for(depth)) > workers:
        return needed, "deep"
    is_calm = calm_for is not None and calm_for >= limits.cooldown
    return (workers - 1, "calm") if is_calm else (workers, "enough")


@dataclass(slots=True)
class Scaler:
    """Starts and stops a role's workers according to its backlog, both now and over the cooldown."""

    role: str
    limits: FleetLimits
    read_depth: Callable[[], int | None]
    fleet: Fleet
    timer: Callable[[], float] = time.monotonic
    _calm: tuple[int, float] | None = None
    """The number of running workers, and the time from which fewer workers have been enough."""
    _logged: dict[str, Any] = field(default_factory=dict)

    def scale(self) -> int:
        """Read the backlog once, and start or stop workers; return 0, so that the role pauses."""
        running, depth = self.fleet.running(), self.read_depth()
        calm_seconds = self._time_calm(len(running), depth)
        target, reason = decide(self.limits, len(running), depth, calm_seconds)
        seen = {"reason": reason, "depth": depth, "workers": len(running), "target": target}
        if target != len(running) or seen != self._logged:
            log = logger().info if target != len(running) else logger().debug
            log("scaled", role=self.role, **seen, calm_for_s=round(calm_seconds or 0.0, 1))
        self._logged = seen
        # Start workers with the lowest free numbers, and stop workers with the highest numbers.
        free = (number for number in count(1) if number not in running)
        for number in islice(free, max(0, target - len(running))):
            self.fleet.start(number)
        for number in sorted(running)[target:]:
            self.fleet.stop(number)
        if target != len(running):
            self._calm = None
        return 0

    def _time_calm(self, workers: int, depth: int | None) -> float | None:
        """Return for how long this same number of workers has been too high; None if all are needed."""
        now = self.timer()
        if depth is None or self.limits.workers_for(depth) >= workers:
            self._calm = None
            return None
        if self._calm is None or self._calm[0] != workers:
            self._calm = workers, now
        return now - self._calm[1]


def count_due_conversations(connection: Connection, now_us: int, limit: int) -> int:
    """Return how many conversations and routing updates settle could process now, at most 2 * *limit*."""
    now = moment_of(now_us)
    windows = select(conversations.c.conversation_id).where(
        conversations.c.window_opened_at <= now, conversations.c.window_closes_at <= now
    )
    updates = select(routing_updates.c.event_id).where(
        routing_updates.c.decision.is_(None), routing_updates.c.next_attempt_at <= now
    )
    return _count(connection, windows, limit) + _count(connection, updates, limit)


def count_due_deliveries(connection: Connection, now_us: int, limit: int) -> int:
    """Return how many deliveries are due for the unpaused destination that has the most; at most *limit*."""
    names = connection.scalars(select(destinations.c.name).where(destinations.c.paused_at.is_(None))).all()
    now = moment_of(now_us)
    due = select(deliveries.c.outbox_id).where(deliveries.c.outcome.is_(None), deliveries.c.due_at <= now)
    counts = [_count(connection, due.where(deliveries.c.destination == name), limit) for name in names]
    return max(counts, default=0)


def _count(connection: Connection, rows: Select[Any], limit: int) -> int:
    return connection.execute(select(func.count()).select_from(rows.limit(limit).subquery())).scalar_one()


BACKLOGS: Final = {
    "settle": (count_due_conversations, CONVERSATIONS_PER_SETTLER),
    "deliver": (count_due_deliveries, DELIVERIES_PER_DELIVERER),
}
"""Each role's function that counts its backlog in SQL, and the backlog that one worker handles."""


def make_scaler(role: str, limits: FleetLimits, engine: Engine, clock: Clock) -> Scaler:
    """Return the scaler of settle or deliver; it stops no worker while the database is away."""
    count_backlog, per_worker = BACKLOGS[role]

    def read() -> int | None:
        try:
            return transact(engine, count_backlog, clock.now_us(), limits.ceiling * per_worker)
        except RetryLaterError:
            return None

    return Scaler(role, replace(limits, events_per_worker=per_worker), read, Units(role))
