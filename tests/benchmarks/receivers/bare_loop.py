"""Answer 200 to requests on one loop without parsing them: the least cost with gunicorn, asyncio and Python.

A gunicorn worker class, `gunicorn --worker-class tests.benchmarks.receivers.bare_loop.BareLoopWorker`.
"""

from __future__ import annotations

import asyncio
import re
from typing import Final

from gunicorn.workers.base import Worker

from tests.benchmarks.events import BODY_BYTES

ANSWER: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
TICK_SECONDS: Final = 1.0


REFUSAL: Final = b"HTTP/1.1 422 Unprocessable Content\r\nContent-Length: 0\r\n\r\n"
CONVERSATION: Final = re.compile(rb'"conversation_id":"c-(\d+)"')
GOOD_EVERY: Final = 10
"""One conversation in ten is accepted by a receiver that refuses most."""


class Answering(asyncio.Protocol):
    """Treats the bytes of one read as one whole request, as those of the benchmarks are."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport for the answer."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer."""
        if len(data) > BODY_BYTES:
            self._transport.write(ANSWER)


class Refusing(Answering):
    """Answers 422 to the deliveries of nine conversations in ten."""

    def data_received(self, data: bytes) -> None:
        """Answer as soon as the conversation is known."""
        if found := CONVERSATION.search(data):
            self._transport.write(REFUSAL if int(found[1]) % GOOD_EVERY else ANSWER)


class BareLoopWorker(Worker):  # type: ignore[misc]  # gunicorn ships no annotations
    """Serves until it is stopped."""

    protocol: type[Answering] = Answering

    def run(self) -> None:
        """Run the loop."""
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        for listener in self.sockets:
            await loop.create_server(self.protocol, sock=listener.sock)
        while self.alive:
            self.notify()
            await asyncio.sleep(TICK_SECONDS)


class RefusingWorker(BareLoopWorker):
    """Serves a destination that refuses most."""

    protocol = Refusing
