"""Measure how long an answer takes at half of the capacity, with the broker there, frozen and away."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, Final

from tests.benchmarks.accounting import CpuMeter
from tests.benchmarks.ingest import SERVICE, WARM_UP_SECONDS
from tests.benchmarks.servers import edge
from tests.benchmarks.steady_load import percentile_ms, steady_load
from tests.benchmarks.wrk import load

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.benchmarks.rig import Rig
    from tests.benchmarks.servers import Server
    from tests.benchmarks.steady_load import Sample

HALF_LOAD: Final = "half load"
FROZEN: Final = "broker frozen"
AWAY: Final = "broker away"
CALIBRATION_SECONDS: Final = 3.0
SETTLE_SECONDS: Final = 1.0
"""At the start of a window: what the start of the generator does is not the window's."""

RECOVERY_SECONDS: Final = 90.0


def measure_half_load(rig: Rig) -> None:
    """Send at half of its own capacity, open loop, constant rate."""
    rig.say("latency: half load")
    with edge(rig.broker, rig.fresh()) as server:
        load(server.port, rig.requests, seconds=WARM_UP_SECONDS)
        rate = load(server.port, rig.requests, seconds=CALIBRATION_SECONDS).per_second / 2
        rig.queue.settle()
        rig.queue.purge()
        meter = CpuMeter.start(receiver=server.pid, broker=rig.broker.pid)
        with steady_load(
            server.port,
            rig.requests,
            rate=rate,
            seconds=rig.plan.open_loop_seconds,
            output=rig.directory / "samples",
        ) as generator:
            samples = generator.samples()
        costs = meter.per_event_us(len(samples))
    _note_latencies(rig, samples, rate=rate, **costs)
    is_clean = all(sample.status == 200 for sample in samples)
    rig.results.check("half load: nothing but 200", holds=is_clean)
    rig.queue.settle()
    rig.queue.purge()


def _note_latencies(rig: Rig, samples: Sequence[Sample], **values: float) -> None:
    """Add percentiles of the latencies, and how late the generator itself was."""
    latencies = [sample.latency for sample in samples]
    percentiles = {f"p{percent}_ms": percentile_ms(latencies, percent) for percent in (50, 99)}
    late = percentile_ms((sample.sent - sample.due for sample in samples), 99)
    rig.results.add(HALF_LOAD, SERVICE, **percentiles, generator_late_p99_ms=late, **values)


def measure_without_broker(rig: Rig) -> None:
    """Let the broker freeze, and be killed, in the middle of a steady load."""
    rate = rig.results.median(HALF_LOAD, SERVICE, "rate")
    assert rate is not None, "half load is measured first"
    _fault(rig, FROZEN, rate, rig.broker.freeze, rig.broker.resume)
    _fault(rig, AWAY, rate, rig.broker.kill, rig.broker.start)


def _fault(
    rig: Rig, scenario: str, rate: float, strike: Callable[[], None], mend: Callable[[], None]
) -> None:
    rig.say(f"latency: {scenario}")
    window = rig.plan.open_loop_seconds / 2
    with edge(rig.broker, rig.fresh()) as server:
        load(server.port, rig.requests, seconds=SETTLE_SECONDS)
        rig.queue.purge()
        with steady_load(
            server.port, rig.requests, rate=rate, seconds=2 * window, output=rig.directory / "samples"
        ) as generator:
            time.sleep(window)
            struck_at = time.time()
            strike()
            samples = generator.samples()
        mend()
        _await_handover(server)
    _note_windows(rig, scenario, samples, struck_at)
    _check_found(rig, scenario, samples)


def _note_windows(rig: Rig, scenario: str, samples: Sequence[Sample], struck_at: float) -> None:
    begin = samples[0].due + SETTLE_SECONDS
    with_broker = [s.latency for s in samples if begin < s.due < struck_at - 0.2]
    without = [s.latency for s in samples if s.due > struck_at + 0.2]
    values = {
        "with_broker_p99_ms": percentile_ms(with_broker, 99),
        "without_broker_p99_ms": percentile_ms(without, 99),
    }
    ratio = values["without_broker_p99_ms"] / values["with_broker_p99_ms"]
    rig.results.add(scenario, SERVICE, **values, p99_ratio=ratio)


def _await_handover(server: Server) -> None:
    """Wait until everything that was journalled in the meantime has been published and proven."""
    deadline = time.monotonic() + RECOVERY_SECONDS
    while time.monotonic() < deadline:
        report = server.health()
        processes = report["processes"]
        assert isinstance(processes, list)
        if all(p["journal"]["broker"] == "up" and not p["journal"]["waiting_bytes"] for p in processes):
            time.sleep(2 * SETTLE_SECONDS)
            return
        time.sleep(0.2)
    raise TimeoutError("the edge did not hand its journal over")


def _check_found(rig: Rig, scenario: str, samples: Sequence[Sample]) -> None:
    """Look for the body of every 200 in the queue; what is there twice is no fault, the index drops it."""
    found = rig.queue.drain_digests()
    bodies = rig.bodies(len(samples))
    answered = [hashlib.sha256(bodies[s.number]).digest() for s in samples if s.status == 200]
    lost = sum(digest not in found for digest in answered)
    rig.results.check(f"{scenario}: {len(answered)} answered, {lost} not in the queue", holds=not lost)
    rig.results.check(f"{scenario}: nothing but 200", holds=len(answered) == len(samples))
