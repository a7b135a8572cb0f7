"""Measure how fast a million events, left in the journal by an outage, are published under live traffic."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from tests.benchmarks.accounting import CpuMeter
from tests.benchmarks.memory import send
from tests.benchmarks.results import Figure
from tests.benchmarks.running import edge
from tests.benchmarks.steady import check_answers, finished, steady_load

if TYPE_CHECKING:
    from tests.benchmarks.rig import Rig
    from tests.benchmarks.running import Server

NORMAL: Final = Figure("ingest", "service", "per_second")
CEILING: Final = Figure("ingest", "pika_publish", "per_second")
INGEST_SHARE: Final = 0.6
"""The constant rate of live traffic while the backlog is published, as a share of the normal ingest rate. A
sender without a fixed rate would send as fast as the edge can journal events. No broker accepts that rate, so
the backlog would never shrink."""

CHUNK_SECONDS: Final = 15.0
POLL_SECONDS: Final = 0.5
LONGEST_SECONDS: Final = 180.0


def measure_backlog(rig: Rig) -> None:
    """Stop the broker until a million events wait in the journal. Then start it again under live traffic."""
    normal, ceiling = rig.results.median(NORMAL), rig.results.median(CEILING)
    assert normal is not None, "ingest is measured first"
    assert ceiling is not None
    rig.say("backlog: the broker is away, a million events go into the journal")
    with edge(rig) as server:
        rig.broker.kill()
        try:
            journalled = send(rig, server.port, rig.plan.many_events)
            waiting = server.journal_total("accepted")
        finally:
            rig.broker.start()
        rig.say("backlog: the broker is back, the journal is published while ingest goes on")
        meter = CpuMeter.start(edge=server.pid, broker=rig.broker.pid)
        taken, ingested, ingest_seconds, seconds = _ingest_until_empty(rig, server, INGEST_SHARE * normal)
        republished = server.journal_total("republished")
        costs = meter.per_event_us(republished + ingested)
        taken += rig.queue.empty()
    is_whole = republished >= waiting
    rig.results.check(f"backlog: {waiting} journalled, {republished} republished", holds=is_whole)
    answered = journalled + ingested
    rig.results.check(f"backlog: {answered} answered, {taken} in the queue", holds=taken >= answered)
    rates = {"republished": republished / seconds, "ingested": ingested / ingest_seconds}
    rig.results.add(
        "backlog",
        "service",
        republished_per_second=rates["republished"],
        ingested_per_second=rates["ingested"],
        republish_vs_ceiling=rates["republished"] / ceiling,
        ingest_vs_normal=rates["ingested"] / normal,
        **costs,
    )


def _ingest_until_empty(rig: Rig, server: Server, rate: float) -> tuple[int, int, float, float]:
    """Send the same requests again and again until no events wait in the journal.

    The queue is purged repeatedly, as if workers on other machines kept up. Without consumers, a quorum queue
    that contains half a million messages would accept messages at only a tenth of its usual rate.

    Returns:
        The number of events purged from the queue, the number of ingested events, how many seconds ingesting
        them took, and how many seconds passed until no events waited.
    """
    while not server.journal_total("republished"):
        time.sleep(POLL_SECONDS)
    started = time.monotonic()
    taken, ingested, empty_after = 0, 0, 0.0
    while not empty_after:
        with steady_load(rig, server.port, rate=rate, seconds=CHUNK_SECONDS) as sending:
            while sending.is_running and not empty_after:
                time.sleep(POLL_SECONDS)
                taken += rig.queue.purge()
                empty_after = 0.0 if server.journal_total("waiting_bytes") else time.monotonic() - started
            ingested += check_answers(rig, "backlog", finished(sending))
        if time.monotonic() - started > LONGEST_SECONDS:
            raise TimeoutError("the journal is not published in time")
    return taken, ingested, time.monotonic() - started, empty_after
