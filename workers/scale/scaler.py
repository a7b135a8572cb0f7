"""Start and stop workers by their backlog: up at once, down one by one after a calm time."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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
"""Due conversations that one process settles in about a second."""

DELIVERIES_PER_DELIVERER: Final = 100
"""Due deliveries of one destination that one process sends in about a second, at 100 ms for each request."""


@dataclass(frozen=True, slots=True)
class FleetLimits:
    """Limits of the number of workers; fewer must have been enough for *cooldown* seconds to stop one."""

    floor: int
    ceiling: int
    events_per_worker: int
    cooldown: float

    def workers_for(self, depth: int) -> int:
        """Return how many workers a backlog of *depth* events needs."""
        return max(self.floor, min(self.ceiling, -(-depth // self.events_per_worker)))


@dataclass(frozen=True, slots=True)
class Observation:
    """The depth, unless it is unknown, and the workers that run, at a time in monotonic seconds."""

    at: float
    depth: int | None
    workers: int


@dataclass(frozen=True, slots=True)
class FleetTarget:
    """How many workers there shall be, and why: a code for the log."""

    workers: int
    reason: str


def decide(limits: FleetLimits, seen: Sequence[Observation]) -> FleetTarget:
    """Return how many workers there shall be, by the observations since the last change, the newest last."""
    newest = seen[-1]
    if not limits.floor <= newest.workers <= limits.ceiling:
        return FleetTarget(max(limits.floor, min(limits.ceiling, newest.workers)), "bounds")
    if newest.depth is None:
        # Unknown is not empty: no worker is stopped for it.
        return FleetTarget(newest.workers, "depth_unknown")
    if (needed := limits.workers_for(newest.depth)) > newest.workers:
        return FleetTarget(needed, "deep")
    recent = [look for look in seen if newest.at - look.at <= limits.cooldown]
    is_calm = all(
        look.depth is not None and limits.workers_for(look.depth) < newest.workers for look in recent
    )
    if is_calm and newest.at - seen[0].at >= limits.cooldown:
        return FleetTarget(newest.workers - 1, "calm")
    return FleetTarget(newest.workers, "enough")


class Scaler:
    """Looks at the backlog of a role, and starts or stops workers by what it saw since the last change."""

    def __init__(
        self, role: str, limits: FleetLimits, read_depth: Callable[[], int | None], fleet: Fleet
    ) -> None:
        self._role = role
        self._limits = limits
        self._read_depth = read_depth
        self._fleet = fleet
        self._seen: list[Observation] = []
        self._logged: tuple[FleetTarget, int | None] | None = None

    def scale(self) -> int:
        """Look once and act; return 0, so that the role pauses before it looks again."""
        running = self._fleet.running()
        newest = Observation(time.monotonic(), self._read_depth(), len(running))
        self._seen.append(newest)
        # Of the observations before the cool-down one is kept, which shows that it has passed.
        while len(self._seen) > 1 and self._seen[1].at <= newest.at - self._limits.cooldown:
            del self._seen[0]
        target = decide(self._limits, self._seen)
        self._log(target, newest)
        if target.workers != len(running):
            self._move(running, target.workers)
            self._seen.clear()
        return 0

    def _log(self, target: FleetTarget, newest: Observation) -> None:
        """Log a target, unless it changes nothing and was logged last time."""
        changes = target.workers != newest.workers
        if not changes and (target, newest.depth) == self._logged:
            return
        self._logged = target, newest.depth
        log = logger().info if changes else logger().debug
        log(
            "scaled",
            role=self._role,
            reason=target.reason,
            depth=newest.depth,
            workers=newest.workers,
            target=target.workers,
            seen_for_s=round(newest.at - self._seen[0].at, 1),
        )

    def _move(self, running: set[int], target: int) -> None:
        """Start the lowest numbers that are free, or stop the highest."""
        free = (number for number in count(1) if number not in running)
        for number in islice(free, max(0, target - len(running))):
            self._fleet.start(number)
        for number in sorted(running)[target:]:
            self._fleet.stop(number)


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
    """Return how many deliveries the busiest destination could be sent now, at most *limit*."""
    names = connection.scalars(select(destinations.c.name).where(destinations.c.paused_at.is_(None))).all()
    due = select(deliveries.c.outbox_id).where(
        deliveries.c.outcome.is_(None), deliveries.c.due_at <= moment_of(now_us)
    )
    counts = [_count(connection, due.where(deliveries.c.destination == name), limit) for name in names]
    return max(counts, default=0)


def _count(connection: Connection, rows: Select[Any], limit: int) -> int:
    return connection.execute(select(func.count()).select_from(rows.limit(limit).subquery())).scalar_one()


BACKLOGS: Final = {
    "settle": (count_due_conversations, CONVERSATIONS_PER_SETTLER),
    "deliver": (count_due_deliveries, DELIVERIES_PER_DELIVERER),
}
"""What counts a role's backlog in SQL, and how much of it one worker is enough for."""


def make_scaler(role: str, limits: FleetLimits, engine: Engine, clock: Clock) -> Scaler:
    """Return the scaler of settle or deliver; its backlog is unknown while the database is away."""
    count_backlog, per_worker = BACKLOGS[role]

    def read() -> int | None:
        try:
            return transact(engine, count_backlog, clock.now_us(), limits.ceiling * per_worker)
        except RetryLaterError:
            return None

    return Scaler(role, replace(limits, events_per_worker=per_worker), read, Units(role))
