"""Measure the whole way on this machine: from the webhook to the committed effect."""

from __future__ import annotations

import hashlib
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from tests.benchmarks.accounting import CpuMeter
from tests.benchmarks.event_table import event_table
from tests.benchmarks.servers import edge, intake, migrate
from tests.benchmarks.steady_load import percentile_ms, steady_load
from tests.benchmarks.wrk import CONNECTIONS, load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.benchmarks.event_table import EventTable
    from tests.benchmarks.rig import Rig
    from tests.benchmarks.servers import Server

THROUGHPUT: Final = "end to end"
DELAY: Final = "commit delay"
SERVICE: Final = "this service"
RATE: Final = 200.0
"""Events a second at which the delay is measured: a large contact centre's busy hour."""

DELAY_SECONDS: Final = 10.0
DRAIN_SECONDS: Final = 120.0
POLL_SECONDS: Final = 0.001
"""Between looks at the table, and the error, upwards. Polling sees a row when anyone else could, after
commit and disk flush; the time stamps that PostgreSQL keeps of commits are taken before the flush."""

SAFETY_SECONDS: Final = 5.0


def measure_end_to_end(rig: Rig) -> None:
    """Load the edge while one worker takes the events off, and count from first request to last commit."""
    rig.say("end to end: throughput")
    with _service(rig) as (server, worker, table):
        warmed = _warm_up(rig, server.port, table)
        meter = CpuMeter.start(
            edge=server.pid, worker=worker, broker=rig.broker.pid, database=rig.postgresql.pid
        )
        started = time.monotonic()
        result = load(server.port, rig.requests, seconds=rig.plan.ingest_seconds, first=warmed)
        rows = table.wait_for(result.answered, timeout=DRAIN_SECONDS)
        seconds = time.monotonic() - started
        costs = meter.per_event_us(result.answered)
    rig.results.add(THROUGHPUT, SERVICE, per_second=result.answered / seconds, **costs)
    rig.results.check(
        f"end to end: {result.answered} answered, {rows} rows",
        # What wrk had sent and not read the answer of when it stopped, warm-up included, has rows too.
        holds=result.answered <= rows <= result.answered + 2 * CONNECTIONS,
    )
    rig.queue.purge()


def measure_commit_delay(rig: Rig) -> None:
    """Send at a steady rate and see when each event's row can be read."""
    rig.say("end to end: delay")
    count = round(RATE * DELAY_SECONDS)
    with _service(rig) as (server, _, table):
        first = _warm_up(rig, server.port, table)
        output = rig.directory / "samples"
        with steady_load(
            server.port, rig.requests, rate=RATE, seconds=DELAY_SECONDS, output=output, first=first
        ) as running:
            seen = _watch(table, count)
            samples = running.samples()
    digests = [hashlib.sha256(body).digest() for body in rig.bodies(first + count)[first:]]
    pairs = zip(digests, samples, strict=True)
    delays = [seen[digest] - sample.due for digest, sample in pairs if digest in seen]
    rig.results.check(f"commit delay: {count} sent, {len(delays)} rows", holds=len(delays) == count)
    rig.results.add(DELAY, SERVICE, p50_ms=percentile_ms(delays, 50), p99_ms=percentile_ms(delays, 99))


@contextmanager
def _service(rig: Rig) -> Iterator[tuple[Server, int, EventTable]]:
    """Run the edge and one worker on an empty database."""
    url = rig.fresh_database()
    migrate(url)
    with (
        edge(rig.broker, rig.fresh()) as server,
        intake(rig.broker, url, rig.fresh()) as worker,
        event_table(url) as table,
    ):
        yield server, worker, table


def _warm_up(rig: Rig, port: int, table: EventTable) -> int:
    """Let everything connect and compile; return the first request not sent yet."""
    result = load(port, rig.requests, seconds=1.0)
    table.wait_for(result.answered, timeout=DRAIN_SECONDS)
    table.start_after_newest()
    return result.answered + 2 * CONNECTIONS


def _watch(table: EventTable, count: int) -> dict[bytes, float]:
    """Return when each body's row was first seen, by the wall clock."""
    seen: dict[bytes, float] = {}
    newest = table.base
    deadline = time.monotonic() + DELAY_SECONDS + SAFETY_SECONDS
    while len(seen) < count and time.monotonic() < deadline:
        rows = table.digests_after(newest)
        now = time.time()
        for number, digest in rows:
            seen[bytes(digest)] = now
            newest = number
        time.sleep(POLL_SECONDS)
    return seen
