"""Measure what parsing one request costs with each HTTP parser that gunicorn or its like offer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import httptools
from gunicorn.config import Config
from gunicorn.http import RequestParser

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.benchmarks.rig import Rig

SCENARIO: Final = "parse one request"
REPEATS: Final = 20_000


class _Sink:
    """Keeps what any server needs of a request."""

    def __init__(self) -> None:
        self.headers: dict[bytes, bytes] = {}

    def on_message_begin(self) -> None:
        self.headers = {}

    def on_url(self, url: bytes) -> None:
        self.url = url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        self.body = body


def measure_parsers(rig: Rig) -> None:
    """Parse the same request many times with each parser."""
    with rig.requests.path.open("rb") as file:
        request = file.read(rig.requests.size)
    _measure(rig, "httptools", _httptools(request))
    for choice in ("python", "fast"):
        try:
            _measure(rig, f"gunicorn, --http-parser {choice}", _gunicorn(request, choice))
        except RuntimeError:
            rig.say("gunicorn_h1c is not installed: its C parser is left out")


def _measure(rig: Rig, subject: str, parse: Callable[[], None]) -> None:
    parse()
    started = time.process_time()
    for _ in range(REPEATS):
        parse()
    rig.results.add(SCENARIO, subject, cpu_us=(time.process_time() - started) / REPEATS * 1e6)


def _httptools(request: bytes) -> Callable[[], None]:
    parser = httptools.HttpRequestParser(_Sink())
    return lambda: parser.feed_data(request)


def _gunicorn(request: bytes, choice: str) -> Callable[[], None]:
    configuration = Config()
    configuration.set("http_parser", choice)

    def parse() -> None:
        message = next(RequestParser(configuration, iter([request]), ("127.0.0.1", 0)))
        message.body.read()

    return parse
