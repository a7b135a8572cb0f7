"""Answer requests with 200 on one event loop, unparsed: the lowest cost with gunicorn and asyncio.

Use it as gunicorn's worker class: `--worker-class tests.benchmarks.receivers.bare_loop.BareLoopWorker`.
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
"""RefusingWorker accepts only the deliveries of every tenth conversation."""


class Answering(asyncio.Protocol):
    """Treats each read as one whole request, because each benchmark request arrives in one read."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport, to which the answer is written."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer with 200 if *data* is long enough for a whole request."""
        if len(data) > BODY_BYTES:
            self._transport.write(ANSWER)


class Refusing(Answering):
    """Answers the deliveries of nine in ten conversations with 422."""

    def data_received(self, data: bytes) -> None:
        """Answer with 422 or 200 as soon as the received data identifies the conversation."""
        if found := CONVERSATION.search(data):
            self._transport.write(REFUSAL if int(found[1]) % GOOD_EVERY else ANSWER)


class BareLoopWorker(Worker):  # type: ignore[misc]  # gunicorn ships no annotations
    """A gunicorn worker that serves on asyncio's event loop until it is stopped."""

    protocol: type[Answering] = Answering

    def run(self) -> None:
        """Run the event loop until gunicorn stops this worker."""
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        for listener in self.sockets:
            await loop.create_server(self.protocol, sock=listener.sock)
        while self.alive:
            self.notify()
            await asyncio.sleep(TICK_SECONDS)


class RefusingWorker(BareLoopWorker):
    """A gunicorn worker that acts as a destination and refuses most deliveries."""

    protocol = Refusing
