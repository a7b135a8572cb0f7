"""Read requests and answer 200 on one loop, without looking at them: what gunicorn, asyncio and Python leave.

A gunicorn worker class, `gunicorn --worker-class tests.benchmarks.receivers.bare_loop.BareLoopWorker`.
"""

from __future__ import annotations

import asyncio
from typing import Final

from gunicorn.workers.base import Worker

from tests.benchmarks.events import BODY_BYTES

ANSWER: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
TICK_SECONDS: Final = 1.0


class BareLoopWorker(Worker):  # type: ignore[misc]  # gunicorn ships no annotations
    """Serves until it is told to stop."""

    def run(self) -> None:
        """Turn the loop."""
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        for listener in self.sockets:
            await loop.create_server(Answering, sock=listener.sock)
        while self.alive:
            self.notify()
            await asyncio.sleep(TICK_SECONDS)


class Answering(asyncio.Protocol):
    """Takes whatever one read brings for one whole request, as those of the benchmarks are."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what to answer on."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer."""
        if len(data) > BODY_BYTES:
            self._transport.write(ANSWER)
