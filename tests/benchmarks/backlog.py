"""Measure what an outage leaves behind: a million journalled events, republished while new ones come in."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from tests.benchmarks.accounting import CpuMeter
from tests.benchmarks.ingest import CEILING
from tests.benchmarks.ingest import SCENARIO as INGEST
from tests.benchmarks.ingest import SERVICE as INGEST_SERVICE
from tests.benchmarks.memory import send
from tests.benchmarks.servers import edge
from tests.benchmarks.steady_load import steady_load

if TYPE_CHECKING:
    from tests.benchmarks.rig import Rig
    from tests.benchmarks.servers import Server

SCENARIO: Final = "backlog"
SERVICE: Final = "this service"
INGEST_SHARE: Final = 0.6
"""Of the normal ingest, offered at a constant rate meanwhile. A sender that waits for each answer would send
all that the edges can journal, which is more than any broker takes, and no backlog would ever end."""

CHUNK_SECONDS: Final = 15.0
POLL_SECONDS: Final = 0.5
LONGEST_SECONDS: Final = 180.0


def measure_backlog(rig: Rig) -> None:
    """Take the broker away until a million events wait in the journal, give it back, and go on sending."""
    normal = rig.results.median(INGEST, INGEST_SERVICE, "per_second")
    ceiling = rig.results.median(INGEST, CEILING, "per_second")
    assert normal is not None, "ingest is measured first"
    assert ceiling is not None
    rig.say("backlog: the broker is away, a million events go into the journal")
    with edge(rig.broker, rig.fresh()) as server:
        rig.broker.kill()
        journalled = send(rig, server.port, rig.plan.many_events)
        waiting = _sum(server, "accepted")
        rig.say("backlog: the broker is back, the journal is published while ingest goes on")
        rig.broker.start()
        meter = CpuMeter.start(edge=server.pid, broker=rig.broker.pid)
        taken, ingested, ingest_seconds, seconds = _ingest_until_empty(rig, server, INGEST_SHARE * normal)
        republished = _sum(server, "republished")
        costs = meter.per_event_us(republished + ingested)
        rig.queue.settle()
        taken += rig.queue.purge()
    rig.results.check(
        f"backlog: {waiting} journalled, {republished} republished", holds=republished >= waiting
    )
    rig.results.check(
        f"backlog: {journalled + ingested} answered, {taken} in the queue",
        holds=taken >= journalled + ingested,
    )
    rig.results.add(
        SCENARIO,
        SERVICE,
        republished_per_second=republished / seconds,
        ingested_per_second=ingested / ingest_seconds,
        republish_vs_ceiling=republished / seconds / ceiling,
        ingest_vs_normal=ingested / ingest_seconds / normal,
        **costs,
    )


def _ingest_until_empty(rig: Rig, server: Server, rate: float) -> tuple[int, int, float, float]:
    """Send on until nothing waits, the same requests again and again.

    The queue is kept short as by workers that keep up, on other machines: a quorum queue that nobody reads
    takes a tenth of its usual rate when it holds half a million, from whichever publisher.

    Returns:
        Events taken off the queue, events ingested, in how many seconds, and seconds until nothing waited.
    """
    while not _sum(server, "republished"):
        time.sleep(POLL_SECONDS)
    started = time.monotonic()
    taken, ingested, empty_after = 0, 0, 0.0
    while not empty_after:
        with steady_load(
            server.port, rig.requests, rate=rate, seconds=CHUNK_SECONDS, output=rig.directory / "samples"
        ) as generator:
            while generator.is_running and not empty_after:
                time.sleep(POLL_SECONDS)
                taken += rig.queue.purge()
                empty_after = 0.0 if _sum(server, "waiting_bytes") else time.monotonic() - started
            samples = generator.samples()
        refused = sum(sample.status != 200 for sample in samples)
        rig.results.check(f"backlog: {refused} of {len(samples)} not answered 200", holds=not refused)
        ingested += len(samples) - refused
        if time.monotonic() - started > LONGEST_SECONDS:
            raise TimeoutError("the journal is not published in time")
    return taken, ingested, time.monotonic() - started, empty_after


def _sum(server: Server, name: str) -> int:
    """Add up a figure of the journals of all edge processes."""
    processes: Any = server.health()["processes"]
    return sum(int(process["journal"][name]) for process in processes)
