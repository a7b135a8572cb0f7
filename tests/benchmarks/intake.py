"""Measure how many queued events a second one worker process commits, and what one costs."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.benchmarks.accounting import CpuMeter
from tests.benchmarks.event_table import PROCESSED, event_table
from tests.benchmarks.receivers.bare_consumer import BATCH, TABLE, insert_into
from tests.benchmarks.servers import bare_consumer, intake, migrate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from tests.benchmarks.event_table import EventTable, Growth
    from tests.benchmarks.rig import Rig

POSTGRESQL: Final = "intake on PostgreSQL"
SQLITE: Final = "intake on SQLite"
INSERT: Final = "insert per 100"
BARE: Final = "pika + insert per 100"
SERVICE: Final = "this service"
SINGLE: Final = "one event per transaction"
REPEATED: Final = 10
"""Every tenth event is delivered twice."""

TIMEOUT_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class Trial:
    """One consumer on one database.

    Args:
        scenario: POSTGRESQL or SQLITE.
        subject: BARE, SERVICE or SINGLE.
        url: The database.
        settings: OM_ variables of the worker.
    """

    scenario: str
    subject: str
    url: str
    settings: dict[str, str]

    @property
    def table(self) -> str:
        """Where its rows appear."""
        return TABLE if self.subject == BARE else PROCESSED


def measure_intake(rig: Rig) -> None:
    """Let each consumer work the same events off in turn."""
    many = rig.bodies(rig.plan.intake_events)
    few = many[: rig.plan.single_events]
    _insert(rig, many)
    work_off(rig, Trial(POSTGRESQL, BARE, rig.fresh_database(), {}), many)
    work_off(rig, Trial(POSTGRESQL, SERVICE, rig.fresh_database(), {}), many)
    work_off(rig, Trial(POSTGRESQL, SINGLE, rig.fresh_database(), {"OM_BATCH_EVENTS": "1"}), few)
    work_off(rig, Trial(SQLITE, BARE, rig.fresh_sqlite(), {}), many)
    work_off(rig, Trial(SQLITE, SERVICE, rig.fresh_sqlite(), {}), many)


def _insert(rig: Rig, bodies: Sequence[bytes]) -> None:
    """Measure the inserts of the bare consumer without a queue in front."""
    rig.say(f"{POSTGRESQL}: {INSERT}")
    url = rig.fresh_database()
    insert = insert_into(url)
    started = time.monotonic()
    for first in range(0, len(bodies), BATCH):
        insert(list(bodies[first : first + BATCH]))
    seconds = time.monotonic() - started
    with event_table(url, TABLE) as table:
        rows = table.count()
    rig.results.check(f"{INSERT}: {len(bodies)} inserted, {rows} rows", holds=rows == len(bodies))
    rig.results.add(POSTGRESQL, INSERT, per_second=len(bodies) / seconds)


def work_off(rig: Rig, trial: Trial, bodies: Sequence[bytes]) -> Growth:
    """Fill the queue, start the consumer, and note how it went; the database may hold older events."""
    rig.say(f"{trial.scenario}: {trial.subject}")
    if trial.subject != BARE:
        migrate(trial.url)
    rig.queue.fill(with_repeats(bodies))
    with event_table(trial.url, trial.table) as table:
        if trial.subject != BARE:
            table.start_after_newest()
        with _consumer(rig, trial) as pid:
            growth, costs = _watch(rig, table, pid, len(bodies))
            rig.queue.settle()
        _check(rig, trial, table, bodies)
    rig.results.add(trial.scenario, trial.subject, per_second=growth.per_second, **costs)
    return growth


def with_repeats(bodies: Sequence[bytes]) -> Iterator[bytes]:
    """Yield every body, and every tenth again a little later."""
    for number, body in enumerate(bodies):
        yield body
        if number % REPEATED == REPEATED - 1:
            yield bodies[number - REPEATED // 2]


def _consumer(rig: Rig, trial: Trial) -> AbstractContextManager[int]:
    if trial.subject == BARE:
        return bare_consumer(rig.broker, trial.url, rig.fresh())
    return intake(rig.broker, trial.url, rig.fresh(), **trial.settings)


def _watch(rig: Rig, table: EventTable, pid: int, expected: int) -> tuple[Growth, dict[str, float]]:
    meters: list[CpuMeter] = []

    def on_first() -> None:
        meters.append(CpuMeter.start(worker=pid, broker=rig.broker.pid, database=rig.postgresql.pid))

    growth = table.watch(expected, timeout=TIMEOUT_SECONDS, on_first=on_first)
    return growth, meters[0].per_event_us(growth.rows)


def _check(rig: Rig, trial: Trial, table: EventTable, bodies: Sequence[bytes]) -> None:
    subject = f"{trial.scenario}, {trial.subject}"
    rows, left = table.count(), rig.queue.settle()
    rig.results.check(f"{subject}: {len(bodies)} distinct events, {rows} rows", holds=rows == len(bodies))
    rig.results.check(f"{subject}: {left} deliveries left unacknowledged", holds=left == 0)
    if trial.subject != BARE and not table.base:
        messages = sum(b'conversation:message"' in body for body in bodies)
        counted = table.query("SELECT sum(message_count) FROM conversations")[0][0]
        rig.results.check(f"{subject}: {messages} messages, {counted} counted", holds=counted == messages)
