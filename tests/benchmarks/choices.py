"""Measure the alternatives that decision records quote: the edge with one thing done otherwise, in turn."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import httptools
from gunicorn.config import Config
from gunicorn.http import RequestParser

from tests.benchmarks.ingest import load_receiver
from tests.benchmarks.running import RECEIVERS, edge, edge_on_threads

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.benchmarks.rig import Rig

SCENARIO: Final = "choices"
OTHERWISE: Final = {
    "service": {},
    "whole_dispatch": {"OM_FLASK_EXTENSIONS": f"{RECEIVERS}.hooked:install"},
    "with_fsync": {"OM_JOURNAL_FSYNC": "true"},
}
"""What differs, by the name that it is reported under."""

PARSES: Final = 20_000


def measure_choices(rig: Rig) -> None:
    """Load each variant of the edge in turn, and parse one request with each HTTP parser."""
    for subject, settings in OTHERWISE.items():
        with edge(rig, **settings) as server:
            load_receiver(rig, subject, server, rig.plan.ingest_seconds, SCENARIO)
    with edge_on_threads(rig) as server:
        load_receiver(rig, "on_threads", server, rig.plan.ingest_seconds, SCENARIO)
    _measure_parsers(rig)


def _measure_parsers(rig: Rig) -> None:
    with rig.requests.path.open("rb") as file:
        request = file.read(rig.requests.size)
    _parse(rig, "httptools", _httptools(request))
    for choice in ("python", "fast"):
        try:
            _parse(rig, f"gunicorn_{choice}", _gunicorn(request, choice))
        except RuntimeError:
            rig.say("gunicorn_h1c is not installed: its C parser is left out")


def _parse(rig: Rig, subject: str, parse: Callable[[], None]) -> None:
    parse()
    started = time.process_time()
    for _ in range(PARSES):
        parse()
    rig.results.add("parsers", subject, cpu_us=(time.process_time() - started) / PARSES * 1e6)


class _Request:
    """Keeps what any server needs of a request."""

    def __init__(self) -> None:
        self.headers: dict[bytes, bytes] = {}

    def on_url(self, url: bytes) -> None:
        self.url = url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        self.body = body


def _httptools(request: bytes) -> Callable[[], None]:
    return lambda: httptools.HttpRequestParser(_Request()).feed_data(request)


def _gunicorn(request: bytes, choice: str) -> Callable[[], None]:
    configuration = Config()
    configuration.set("http_parser", choice)

    def parse() -> None:
        message = next(RequestParser(configuration, iter([request]), ("127.0.0.1", 0)))
        message.body.read()

    return parse
