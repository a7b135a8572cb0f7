"""Measure how long an event takes on this machine from the webhook to the committed effect."""

from __future__ import annotations

import time
from bisect import bisect_left
from typing import TYPE_CHECKING, Final

from tests.benchmarks.accounting import CpuMeter
from tests.benchmarks.least_delay import least_delays
from tests.benchmarks.running import whole_service
from tests.benchmarks.steady import finished, in_ms, steady_load
from tests.benchmarks.wrk import ON_THE_WAY, is_kept, load
from tests.stand.ledger import digest_of

if TYPE_CHECKING:
    from tests.benchmarks.rig import Rig
    from tests.benchmarks.table import EventTable

RATE: Final = 200.0
"""Events sent per second to measure the delay, as in a busy hour of a large contact centre."""

DRAIN_SECONDS: Final = 120.0
POLL_SECONDS: Final = 0.001
"""Seconds between two polls of the table, and thus the maximum error of a measured delay. A poll sees a row
when any other client does: after the commit and the disk flush. PostgreSQL's own commit times are not used,
because they precede the flush."""

SAFETY_SECONDS: Final = 5.0


def measure_end_to_end(rig: Rig) -> None:
    """Load the edge while one worker processes the events; measure from the first request to the last row."""
    rig.say("end_to_end")
    with whole_service(rig) as (server, worker, table):
        warmed = _warm_up(rig, server.port, table)
        meter = CpuMeter.start(
            edge=server.pid, worker=worker, broker=rig.broker.pid, database=rig.postgresql.pid
        )
        started = time.monotonic()
        result = load(server.port, rig.requests, seconds=rig.plan.ingest_seconds, first=warmed)
        rows = table.wait_for(result.answered, timeout=DRAIN_SECONDS)
        seconds = time.monotonic() - started
        costs = meter.per_event_us(result.answered)
    rig.results.add("end_to_end", "service", per_second=result.answered / seconds, **costs)
    claim = f"end_to_end: {result.answered} answered, {rows} rows"
    rig.results.check(claim, holds=is_kept(result.answered, rows))
    rig.queue.purge()


def measure_commit_delay(rig: Rig) -> None:
    """Send events at a steady rate, and measure when each row is readable. Then measure the minimum delay."""
    rig.say("commit_delay")
    seconds = rig.plan.open_loop_seconds
    count = round(RATE * seconds)
    with whole_service(rig) as (server, _, table):
        first = _warm_up(rig, server.port, table)
        with steady_load(rig, server.port, rate=RATE, seconds=seconds, first=first) as sending:
            seen = _watch(table, count, seconds + SAFETY_SECONDS)
            tries = finished(sending)
    bodies = rig.requests.bodies(count, first)
    found = [(seen.get(digest_of(bodies[each.number - first])), each.due) for each in tries]
    delays = [moment - due for moment, due in found if moment is not None]
    rig.results.check(f"commit_delay: {count} sent, {len(delays)} rows", holds=len(delays) == count)
    rig.results.add("commit_delay", "service", **in_ms(delays))
    rig.queue.purge()
    least = least_delays(rig, bodies[: count // 2], RATE)
    rig.results.check(
        f"commit_delay: {count // 2} published bare, {len(least)} rows", holds=len(least) == count // 2
    )
    rig.results.add("commit_delay", "bare", **in_ms(least))


def _warm_up(rig: Rig, port: int, table: EventTable) -> int:
    """Load every process so that it connects and compiles; return the number of the first unsent request."""
    result = load(port, rig.requests, seconds=1.0)
    table.wait_for(result.answered, timeout=DRAIN_SECONDS)
    table.start_after_newest()
    return result.answered + ON_THE_WAY


def _watch(table: EventTable, count: int, seconds: float) -> dict[bytes, float]:
    """Return when the row of each body was first seen, on the sender's clock."""
    looks = [(table.base, 0.0)]
    deadline = time.monotonic() + seconds
    # Ids can have gaps, so count the rows only once the newest id shows that all of them can exist.
    while (looks[-1][0] < table.base + count or table.count() < count) and time.monotonic() < deadline:
        newest = table.newest()
        now = time.monotonic()
        if newest > looks[-1][0]:
            looks.append((newest, now))
        time.sleep(POLL_SECONDS)
    # With a single worker, rows are committed in the order of their ids.
    numbers = [number for number, _ in looks]
    digests = table.digests()
    return {digest: looks[bisect_left(numbers, number)][1] for number, digest in digests.items()}
