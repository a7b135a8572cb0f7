"""Serve a fake management API in front of the real one. It can hang, refuse requests or answer falsely."""

from __future__ import annotations

import re
import threading
from collections import Counter
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import requests

from tests.servers import LOOPBACK, free_port

HANG_SECONDS = 60.0
NONSENSE = b'{"messages": "many", "<html>'
TOTAL = re.compile(rb'("messages\w*": ?)\d+')


class Mood(Enum):
    """How the fake API answers requests."""

    HONEST = "as the real one does"
    HUNG = "never"
    REFUSING = "503"
    NONSENSE = "200 with nonsense"
    ZERO = "200, and every queue is empty"


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Ignore clients that have disconnected, as all clients do while the server hangs."""


class FakeManagement:
    """A fake management API that serves on its own thread until `close` is called.

    Args:
        real_url: The URL of the real management API, with credentials.
    """

    def __init__(self, real_url: str) -> None:
        self.mood = Mood.HONEST
        self.answered: Counter[Mood] = Counter()
        self._real_url = real_url
        self._ended = threading.Event()
        self._server = _Server((LOOPBACK, free_port()), self._handler())
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """The URL of the fake API, with the credentials of the real API."""
        credentials = self._real_url.partition("//")[2].rpartition("@")[0]
        return f"http://{credentials}@{LOOPBACK}:{self._server.server_port}"

    def close(self) -> None:
        """End hung requests and stop serving."""
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str) -> tuple[int, bytes]:
        """Return the status and the body for one request, in the current mood."""
        self.answered[self.mood] += 1
        if self.mood is Mood.HUNG:
            self._ended.wait(HANG_SECONDS)
            return 504, b""
        if self.mood is Mood.REFUSING:
            return 503, b""
        if self.mood is Mood.NONSENSE:
            return 200, NONSENSE
        try:
            real = requests.get(f"{self._real_url}{path}", timeout=2)
        except requests.RequestException:
            return 502, b""
        is_emptied = self.mood is Mood.ZERO and "/queues/" in path
        # Change nothing else: the edge does not believe an answer that lacks a total or the queue's members.
        return real.status_code, TOTAL.sub(rb"\g<1>0", real.content) if is_emptied else real.content

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:  # http.server looks up this name
                status, body = fake.answer(self.path)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler
