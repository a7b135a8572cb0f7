"""Measure the edge's latency at half of its capacity while the broker runs, is frozen, or is killed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from tests.benchmarks.accounting import CpuMeter
from tests.benchmarks.ingest import WARM_UP_SECONDS
from tests.benchmarks.results import Figure
from tests.benchmarks.running import edge
from tests.benchmarks.steady import check_answers, finished, in_ms, steady_load
from tests.benchmarks.wrk import is_kept, load
from tests.stand.ledger import Ledger
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.benchmarks.rig import Rig
    from tests.benchmarks.running import Server
    from tests.stand.records import Tried

RATE: Final = Figure("half_load", "service", "rate")
CALIBRATION_SECONDS: Final = 3.0
SETTLE_SECONDS: Final = 1.0
"""Seconds at the start of a load that are not measured, because the load generator is still starting."""

MARGIN_SECONDS: Final = 0.2
"""Requests due within this number of seconds before or after the broker's failure are not measured."""

RECOVERY_SECONDS: Final = 90.0


def measure_half_load(rig: Rig) -> None:
    """Send at half of the edge's measured capacity, and check that every event is in the queue."""
    rig.say("half_load")
    with edge(rig) as server:
        load(server.port, rig.requests, seconds=WARM_UP_SECONDS)
        rate = load(server.port, rig.requests, seconds=CALIBRATION_SECONDS).per_second / 2
        rig.queue.empty()
        meter = CpuMeter.start(receiver=server.pid, broker=rig.broker.pid)
        with steady_load(rig, server.port, rate=rate, seconds=rig.plan.open_loop_seconds) as sending:
            tries = finished(sending)
        costs = meter.per_event_us(len(tries))
        queued = rig.queue.empty()
    answered = check_answers(rig, "half_load", tries)
    claim = f"half_load: {answered} answered, {queued} in the queue"
    rig.results.check(claim, holds=is_kept(answered, queued))
    latencies = in_ms((each.latency for each in tries), p50_ms=50, p99_ms=99, p999_ms=99.9, longest_ms=100)
    late = in_ms((each.sent - each.due for each in tries), generator_late_p99_ms=99)
    rig.results.add("half_load", "service", rate=rate, **latencies, **late, **costs)


def measure_without_broker(rig: Rig) -> None:
    """Measure once while the broker is frozen and once after it is killed, in the middle of a steady load."""
    _strike(rig, "broker_frozen", rig.broker.freeze, rig.broker.resume)
    _strike(rig, "broker_away", rig.broker.kill, rig.broker.start)


def _strike(rig: Rig, scenario: str, strike: Callable[[], None], mend: Callable[[], None]) -> None:
    rig.say(scenario)
    rate = rig.results.median(RATE)
    assert rate is not None, "half load is measured first"
    window = rig.plan.open_loop_seconds
    with edge(rig) as server:
        load(server.port, rig.requests, seconds=SETTLE_SECONDS)
        rig.queue.purge()
        begin = time.monotonic()
        with steady_load(rig, server.port, rate=rate, seconds=2 * window) as sending:
            time.sleep(window)
            struck_at = time.monotonic()
            strike()
            tries = finished(sending)
        mend()
        wait_until(lambda: _has_handed_over(server), RECOVERY_SECONDS, "the journal is handed over")
        # After a freeze, the last events can still be in a socket. After a kill, they have been republished.
        rig.queue.settle()
    check_answers(rig, scenario, tries)
    begin, end, after = begin + SETTLE_SECONDS, struck_at - MARGIN_SECONDS, struck_at + MARGIN_SECONDS
    figures = {
        **in_ms((each.latency for each in tries if begin < each.due < end), with_broker_p99_ms=99),
        **in_ms((each.latency for each in tries if each.due > after), without_broker_p99_ms=99),
    }
    assert figures["with_broker_p99_ms"], "on this machine nothing was answered before the strike"
    ratio = figures["without_broker_p99_ms"] / figures["with_broker_p99_ms"]
    rig.results.add(scenario, "service", **figures, p99_ratio=ratio)
    _check_found(rig, scenario, tries)


def _has_handed_over(server: Server) -> bool:
    """Return whether every event that was journalled without the broker is now published and proven."""
    return all(each["broker"] == "up" and not each["waiting_bytes"] for each in server.journals())


def _check_found(rig: Rig, scenario: str, tries: Sequence[Tried]) -> None:
    """Check that the body of every request answered with 200 is in the queue; duplicates are permitted."""
    bodies = rig.requests.bodies(len(tries))
    ledger = Ledger()
    ledger.note_answered(bodies[each.number] for each in tries if each.status == 200)
    lost = ledger.lost(rig.queue.drain_digests())
    claim = f"{scenario}: {len(ledger.owed)} answered, {len(lost)} not in the queue"
    rig.results.check(claim, holds=not lost)
