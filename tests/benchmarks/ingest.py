"""Measure how many webhooks per second the edge and its alternatives answer, and the CPU time of each."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import httptools
from gunicorn.config import Config
from gunicorn.http import RequestParser

from tests.benchmarks.accounting import CpuMeter
from tests.benchmarks.running import (
    BARE_LOOP,
    RECEIVERS,
    edge,
    edge_on_threads,
    go_amqp091,
    has_go,
    under_gunicorn,
)
from tests.benchmarks.wrk import is_kept, load

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from tests.benchmarks.rig import Rig
    from tests.benchmarks.running import Server

    Start = Callable[[Rig], AbstractContextManager[Server]]

RECEIVING: Final[dict[str, Start]] = {
    "noop": lambda rig: under_gunicorn(rig, "in_flask:noop"),
    "service": edge,
    "flask_pika": lambda rig: under_gunicorn(rig, "in_flask:publishing"),
}
RECEIVING_TOO: Final[dict[str, Start]] = {
    "with_confirms": lambda rig: edge(rig, OM_PUBLISHER_CONFIRMS="true"),
    "bare_loop": lambda rig: under_gunicorn(rig, "in_flask:noop", BARE_LOOP),
    "go_amqp091": go_amqp091,
}
"""Receivers that only a full run measures. The receiver in Go is measured only if it can be built here."""

OTHERWISE: Final[dict[str, Start]] = {
    "service": edge,
    "whole_dispatch": lambda rig: edge(rig, OM_FLASK_EXTENSIONS=f"{RECEIVERS}.in_flask:hook_in"),
    "with_fsync": lambda rig: edge(rig, OM_JOURNAL_FSYNC="true"),
    "on_threads": edge_on_threads,
}
"""Variants of the edge, each with one difference. Decision records quote their figures."""

KEEPING_NOTHING: Final = ("noop", "bare_loop")
WARM_UP_SECONDS: Final = 1.0
BARE_LOOP_SECONDS: Final = 2.0
"""How long the bare loop is measured. It answers several times as fast as the other receivers, so it would
use up all distinct requests within the usual time."""

PARSES: Final = 20_000


def measure_ingest(rig: Rig) -> None:
    """Measure each receiver in turn, and then the rate of publishing with pika alone."""
    for subject, start in (RECEIVING | (RECEIVING_TOO if rig.plan.is_full else {})).items():
        if subject == "go_amqp091" and not has_go():
            continue
        seconds = BARE_LOOP_SECONDS if subject == "bare_loop" else rig.plan.ingest_seconds
        with start(rig) as server:
            load_receiver(rig, subject, server, seconds)
    _publish(rig)


def measure_choices(rig: Rig) -> None:
    """Measure each variant of the edge in turn, and the cost of one request in each HTTP parser."""
    for subject, start in OTHERWISE.items():
        with start(rig) as server:
            load_receiver(rig, subject, server, rig.plan.ingest_seconds, "choices")
    with rig.requests.path.open("rb") as file:
        request = file.read(rig.requests.size)
    _parse(rig, "httptools", lambda: httptools.HttpRequestParser(_Request()).feed_data(request))
    for choice in ("python", "fast"):
        try:
            _parse(rig, f"gunicorn_{choice}", _gunicorn(request, choice))
        except RuntimeError:
            rig.say("gunicorn_h1c is not installed: its C parser is left out")


def load_receiver(rig: Rig, subject: str, server: Server, seconds: float, scenario: str = "ingest") -> None:
    """Measure a receiver under load, and check that every event that it answered is in the queue."""
    rig.say(f"{scenario}: {subject}")
    load(server.port, rig.requests, seconds=WARM_UP_SECONDS)
    rig.queue.empty()
    meter = CpuMeter.start(receiver=server.pid, broker=rig.broker.pid)
    result = load(server.port, rig.requests, seconds=seconds)
    costs = meter.per_event_us(result.answered)
    queued = rig.queue.empty()
    rig.results.add(scenario, subject, per_second=result.per_second, **costs)
    rig.results.check(f"{subject}: nothing but 200", holds=result.is_clean)
    if subject not in KEEPING_NOTHING:
        claim = f"{subject}: {result.answered} answered, {queued} in the queue"
        rig.results.check(claim, holds=is_kept(result.answered, queued))


def _publish(rig: Rig) -> None:
    """Measure how many events per second one process can publish with pika alone."""
    rig.say("ingest: pika_publish")
    bodies = rig.requests.bodies(rig.plan.publish_events)
    meter = CpuMeter.start(broker=rig.broker.pid)
    seconds = rig.queue.fill(bodies)
    costs = meter.per_event_us(len(bodies))
    queued = rig.queue.empty()
    rig.results.add("ingest", "pika_publish", per_second=len(bodies) / seconds, **costs)
    rig.results.check(f"{len(bodies)} published, {queued} in the queue", holds=queued == len(bodies))


def _parse(rig: Rig, subject: str, parse: Callable[[], object]) -> None:
    parse()
    started = time.process_time()
    for _ in range(PARSES):
        parse()
    rig.results.add("parsers", subject, cpu_us=(time.process_time() - started) / PARSES * 1e6)


class _Request:
    """Collects the parts of a parsed request that every server needs."""

    def __init__(self) -> None:
        self.headers: dict[bytes, bytes] = {}

    def on_url(self, url: bytes) -> None:
        self.url = url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        self.body = body


def _gunicorn(request: bytes, choice: str) -> Callable[[], object]:
    configuration = Config()
    configuration.set("http_parser", choice)

    def parse() -> object:
        return next(RequestParser(configuration, iter([request]), ("127.0.0.1", 0))).body.read()

    return parse
