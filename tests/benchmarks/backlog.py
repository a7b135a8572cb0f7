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
from tests.benchmarks.wrk import LoadError, load

if TYPE_CHECKING:
    from tests.benchmarks.rig import Rig
    from tests.benchmarks.servers import Server

SCENARIO: Final = "backlog"
SERVICE: Final = "this service"
CHUNK_SECONDS: Final = 5.0


def measure_backlog(rig: Rig) -> None:
    """Take the broker away until a million events wait in the journal, give it back, and go on sending."""
    rig.say("backlog: the broker is away, a million events go into the journal")
    with edge(rig.broker, rig.fresh()) as server:
        rig.broker.kill()
        journalled = send(rig, server.port, rig.plan.many_events)
        waiting = _sum(server, "accepted")
        rig.say("backlog: the broker is back, the journal is published while ingest goes on")
        rig.broker.start()
        meter = CpuMeter.start(edge=server.pid, broker=rig.broker.pid)
        ingested, ingest_seconds, seconds = _ingest_until_empty(rig, server)
        republished = _sum(server, "republished")
        costs = meter.per_event_us(republished + ingested)
        queued = rig.queue.settle(timeout=300.0)
    rig.results.check(
        f"backlog: {waiting} journalled, {republished} republished", holds=republished >= waiting
    )
    rig.results.check(
        f"backlog: {journalled + ingested} answered, {queued} in the queue",
        holds=queued >= journalled + ingested,
    )
    _note(rig, republished / seconds, ingested / ingest_seconds, costs)
    rig.queue.purge()


def _ingest_until_empty(rig: Rig, server: Server) -> tuple[int, float, float]:
    """Send on until nothing waits; return events ingested, in how many seconds, and seconds until empty.

    The same requests again and again: neither edge nor queue looks inside.
    """
    while not _sum(server, "republished"):
        time.sleep(0.05)
    started = time.monotonic()
    ingested, seconds = 0, 0.0
    while _sum(server, "waiting_bytes"):
        result = load(server.port, rig.requests, seconds=CHUNK_SECONDS)
        if result.refused or result.socket_errors:
            raise LoadError("requests failed while the journal was being published")
        ingested, seconds = ingested + result.answered, seconds + result.seconds
    return ingested, seconds, time.monotonic() - started


def _sum(server: Server, name: str) -> int:
    """Add up a figure of the journals of all edge processes."""
    processes: Any = server.health()["processes"]
    return sum(int(process["journal"][name]) for process in processes)


def _note(rig: Rig, republish: float, ingest: float, costs: dict[str, float]) -> None:
    ceiling = rig.results.median(INGEST, CEILING, "per_second")
    normal = rig.results.median(INGEST, INGEST_SERVICE, "per_second")
    assert ceiling is not None, "ingest is measured first"
    assert normal is not None
    rig.results.add(
        SCENARIO,
        SERVICE,
        republished_per_second=republish,
        ingested_per_second=ingest,
        republish_vs_ceiling=republish / ceiling,
        ingest_vs_normal=ingest / normal,
        **costs,
    )
