"""Measure the backlog of an outage: a million journalled events, republished while new ones arrive."""

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
"""Share of the normal ingest, sent at a constant rate meanwhile. A sender that waits for each answer would
send all that the edges can journal, which is more than any broker accepts, and no backlog would ever end."""

CHUNK_SECONDS: Final = 15.0
POLL_SECONDS: Final = 0.5
LONGEST_SECONDS: Final = 180.0


def measure_backlog(rig: Rig) -> None:
    """Stop the broker until a million events wait in the journal, start it, and go on sending."""
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
    """Send on until nothing waits, the same requests again and again.

    The queue is kept short as by workers that keep up, on other machines: a quorum queue without consumers
    takes a tenth of its usual rate when it holds half a million, from whichever publisher.

    Returns:
        Events taken off the queue, events ingested, in how many seconds, and seconds until nothing waited.
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
