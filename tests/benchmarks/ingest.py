"""Measure how many webhooks a second are answered, and what one costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.benchmarks.accounting import CpuMeter
from tests.benchmarks.running import bare_loop, edge, flask_under_gthread, go_amqp091, has_go
from tests.benchmarks.wrk import ON_THE_WAY, load

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from tests.benchmarks.rig import Rig
    from tests.benchmarks.running import Server

SCENARIO: Final = "ingest"
KEEPING_NOTHING: Final = ("noop", "bare_loop")
WARM_UP_SECONDS: Final = 1.0
BARE_LOOP_SECONDS: Final = 2.0
"""It answers several times as fast as the others, and would run out of distinct requests."""


def measure_ingest(rig: Rig) -> None:
    """Load each receiver in turn."""
    for subject, run in _receivers(rig).items():
        seconds = BARE_LOOP_SECONDS if subject == "bare_loop" else rig.plan.ingest_seconds
        with run() as server:
            load_receiver(rig, subject, server, seconds)
    _publish(rig)


def _receivers(rig: Rig) -> dict[str, Callable[[], AbstractContextManager[Server]]]:
    """Return what starts each receiver by name."""
    amqp_url = rig.broker.amqp_url
    receivers: dict[str, Callable[[], AbstractContextManager[Server]]] = {
        "noop": lambda: flask_under_gthread(rig, "noop:app"),
        "service": lambda: edge(rig),
        "flask_pika": lambda: flask_under_gthread(rig, "flask_pika:app", OM_AMQP_URL=amqp_url),
    }
    if rig.plan.is_full:
        receivers |= {
            "with_confirms": lambda: edge(rig, OM_PUBLISHER_CONFIRMS="true"),
            "bare_loop": lambda: bare_loop(rig),
        }
        if has_go():
            receivers["go_amqp091"] = lambda: go_amqp091(rig)
    return receivers


def load_receiver(rig: Rig, subject: str, server: Server, seconds: float, scenario: str = SCENARIO) -> None:
    """Load a receiver, and look for every event it answered in the queue."""
    rig.say(f"{scenario}: {subject}")
    load(server.port, rig.requests, seconds=WARM_UP_SECONDS)
    rig.queue.settle()
    rig.queue.purge()
    meter = CpuMeter.start(receiver=server.pid, broker=rig.broker.pid)
    result = load(server.port, rig.requests, seconds=seconds)
    costs = meter.per_event_us(result.answered)
    queued = rig.queue.settle()
    rig.results.add(scenario, subject, per_second=result.per_second, **costs)
    rig.results.check(f"{subject}: nothing but 200", holds=result.is_clean)
    if subject not in KEEPING_NOTHING:
        is_kept = result.answered <= queued <= result.answered + ON_THE_WAY
        rig.results.check(f"{subject}: {result.answered} answered, {queued} in the queue", holds=is_kept)
    rig.queue.purge()


def _publish(rig: Rig) -> None:
    """Measure what one process can publish with pika and nothing around it."""
    rig.say(f"{SCENARIO}: pika_publish")
    bodies = rig.requests.bodies(rig.plan.publish_events)
    meter = CpuMeter.start(broker=rig.broker.pid)
    seconds = rig.queue.fill(bodies)
    costs = meter.per_event_us(len(bodies))
    queued = rig.queue.settle()
    rig.results.add(SCENARIO, "pika_publish", per_second=len(bodies) / seconds, **costs)
    rig.results.check(f"{len(bodies)} published, {queued} in the queue", holds=queued == len(bodies))
    rig.queue.purge()
