"""Measure how many queued events per second one worker process commits, and the CPU time per event."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.benchmarks.accounting import CpuMeter
from tests.benchmarks.receivers.bare_consumer import BATCH, TABLE, insert_into
from tests.benchmarks.running import bare_consumer, intake
from tests.benchmarks.table import PROCESSED, event_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.benchmarks.rig import Rig
    from tests.benchmarks.table import EventTable, Growth

POSTGRESQL: Final = "intake_postgresql"
SQLITE: Final = "intake_sqlite"
BARE: Final = "bare"
REPEATED: Final = 10
"""One in this many events is delivered twice."""

TIMEOUT_SECONDS: Final = 120.0
ALL_TABLES: Final = """
    SELECT sum(pg_total_relation_size(oid)) FROM pg_class
    WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"""


@dataclass(frozen=True, slots=True)
class Trial:
    """The measurement of one consumer on one database.

    Args:
        scenario: The scenario to which the trial's figures belong.
        subject: BARE for the bare consumer; any other name is a trial of this service.
        url: The database's address.
        settings: The worker's OM_ variables.
    """

    scenario: str
    subject: str
    url: str
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def is_bare(self) -> bool:
        """Whether the trial runs the bare consumer, with which the service is compared."""
        return self.subject == BARE


def measure_intake(rig: Rig) -> None:
    """Measure each consumer in turn with the same events."""
    many = rig.requests.bodies(rig.plan.intake_events)
    few = many[: rig.plan.single_events]
    _insert(rig, many)
    work_off(rig, Trial(POSTGRESQL, BARE, rig.fresh_database()), many)
    service = Trial(POSTGRESQL, "service", rig.fresh_database())
    work_off(rig, service, many)
    with event_table(service.url) as table:
        bytes_per_event = float(table.query(ALL_TABLES)[0][0]) / table.count()
    rig.results.add(POSTGRESQL, "service", bytes_per_event=bytes_per_event)
    work_off(rig, Trial(POSTGRESQL, "single", rig.fresh_database(), {"OM_BATCH_EVENTS": "1"}), few)
    work_off(rig, Trial(SQLITE, BARE, rig.fresh_sqlite()), many)
    work_off(rig, Trial(SQLITE, "service", rig.fresh_sqlite()), many)


def _insert(rig: Rig, bodies: Sequence[bytes]) -> None:
    """Measure how fast the bare consumer inserts events without a queue."""
    rig.say(f"{POSTGRESQL}: insert")
    url = rig.fresh_database()
    insert = insert_into(url)
    started = time.monotonic()
    for first in range(0, len(bodies), BATCH):
        insert(list(bodies[first : first + BATCH]))
    seconds = time.monotonic() - started
    with event_table(url, TABLE) as table:
        rows = table.count()
    rig.results.check(f"{len(bodies)} inserted, {rows} rows", holds=rows == len(bodies))
    rig.results.add(POSTGRESQL, "insert", per_second=len(bodies) / seconds)


def work_off(rig: Rig, trial: Trial, bodies: Sequence[bytes]) -> Growth:
    """Fill the queue, start the consumer, and record its figures. The database can contain older events."""
    rig.say(f"{trial.scenario}: {trial.subject}")
    if not trial.is_bare:
        rig.migrated(trial.url)
    rig.queue.fill(with_repeats(bodies))
    with event_table(trial.url, TABLE if trial.is_bare else PROCESSED) as table:
        if not trial.is_bare:
            table.start_after_newest()
        consumer = (
            bare_consumer(rig, trial.url) if trial.is_bare else intake(rig, trial.url, **trial.settings)
        )
        with consumer as pid:
            growth, costs = _watch(rig, table, pid, len(bodies))
            left = rig.queue.settle()
        _check(rig, trial, table, bodies, left)
    rig.results.add(trial.scenario, trial.subject, per_second=growth.per_second, **costs)
    return growth


def with_repeats(bodies: Sequence[bytes]) -> Iterator[bytes]:
    """Yield every body once, and every tenth body a second time a little later."""
    for number, body in enumerate(bodies):
        yield body
        if number % REPEATED == REPEATED - 1:
            yield bodies[number - REPEATED // 2]


def _watch(rig: Rig, table: EventTable, pid: int, expected: int) -> tuple[Growth, dict[str, float]]:
    meters: list[CpuMeter] = []

    def on_first() -> None:
        meters.append(CpuMeter.start(worker=pid, broker=rig.broker.pid, database=rig.postgresql.pid))

    growth = table.watch(expected, timeout=TIMEOUT_SECONDS, on_first=on_first)
    return growth, meters[0].per_event_us(growth.rows)


def _check(rig: Rig, trial: Trial, table: EventTable, bodies: Sequence[bytes], left: int) -> None:
    subject, rows = f"{trial.scenario}, {trial.subject}", table.count()
    rig.results.check(f"{subject}: {len(bodies)} distinct events, {rows} rows", holds=rows == len(bodies))
    rig.results.check(f"{subject}: {left} deliveries left in the queue", holds=left == 0)
    if not trial.is_bare and not table.base:
        messages = sum(b'conversation:message"' in body for body in bodies)
        counted = table.query("SELECT sum(message_count) FROM conversations")[0][0]
        rig.results.check(f"{subject}: {messages} messages, {counted} counted", holds=counted == messages)
