"""Measure how many webhooks a second are answered, and what one costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.benchmarks.accounting import CpuMeter
from tests.benchmarks.servers import bare_loop, edge, flask_under_gthread
from tests.benchmarks.wrk import CONNECTIONS, load

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from tests.benchmarks.rig import Rig
    from tests.benchmarks.servers import Server

SCENARIO: Final = "ingest"
NOOP: Final = "Flask no-op"
FLASK_PIKA: Final = "Flask + pika"
SERVICE: Final = "this service"
BARE_LOOP: Final = "bare loop"
CEILING: Final = "pika publish"
KEEPING_NOTHING: Final = (NOOP, BARE_LOOP)
WARM_UP_SECONDS: Final = 1.0


def measure_ingest(rig: Rig) -> None:
    """Load each receiver in turn."""
    amqp_url = rig.broker.amqp_url
    load_receiver(rig, NOOP, flask_under_gthread("noop:app", rig.fresh()))
    load_receiver(rig, FLASK_PIKA, flask_under_gthread("flask_pika:app", rig.fresh(), OM_AMQP_URL=amqp_url))
    load_receiver(rig, SERVICE, edge(rig.broker, rig.fresh()))
    if rig.plan.is_full:
        load_receiver(rig, BARE_LOOP, bare_loop(rig.fresh()))
    _publish(rig)


def load_receiver(rig: Rig, subject: str, running: AbstractContextManager[Server]) -> None:
    """Start a receiver, load it, and look for every event it answered in the queue."""
    rig.say(f"ingest: {subject}")
    with running as server:
        load(server.port, rig.requests, seconds=WARM_UP_SECONDS)
        rig.queue.settle()
        rig.queue.purge()
        meter = CpuMeter.start(receiver=server.pid, broker=rig.broker.pid)
        result = load(server.port, rig.requests, seconds=rig.plan.ingest_seconds)
        costs = meter.per_event_us(result.answered)
        queued = rig.queue.settle()
    rig.results.add(SCENARIO, subject, per_second=result.per_second, answered=result.answered, **costs)
    is_clean = not result.refused and not result.socket_errors
    rig.results.check(f"{subject}: nothing but 200", holds=is_clean)
    if subject not in KEEPING_NOTHING:
        # What wrk had sent and not read the answer of when it stopped, warm-up included, is in the queue too.
        rig.results.check(
            f"{subject}: {result.answered} answered, {queued} in the queue",
            holds=result.answered <= queued <= result.answered + 2 * CONNECTIONS,
        )
    rig.queue.purge()


def _publish(rig: Rig) -> None:
    """Measure what one process can publish with pika and nothing around it."""
    rig.say("ingest: pika publish ceiling")
    bodies = rig.bodies(rig.plan.publish_events)
    meter = CpuMeter.start(broker=rig.broker.pid)
    seconds = rig.queue.fill(bodies)
    costs = meter.per_event_us(len(bodies))
    queued = rig.queue.settle()
    rig.results.add(SCENARIO, CEILING, per_second=len(bodies) / seconds, **costs)
    rig.results.check(f"{len(bodies)} published, {queued} in the queue", holds=queued == len(bodies))
    rig.queue.purge()
