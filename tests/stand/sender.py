"""Send requests at given times, even if the server does not keep up, and record every try.

A try's latency is measured from the time when it was due, not from when it was sent. If the server stalls or
the sender runs late, the latencies therefore increase, and no delay is hidden. A refused or failed request is
retried as the platform retries it. Each retry is a separate try with its own due time.

load.py starts the sender as a process, `python -m tests.stand.sender ORDER`, and controls it through stdin.

Source: developer.genesys.cloud, Open Messaging, "Validate webhook notifications": five retries five seconds
apart after a timeout of ten seconds, a 429 or a 5xx. We assume that failed connections are also retried.
"""

from __future__ import annotations

import heapq
import json
import os
import random
import select
import sys
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Final

from tests.stand.connection import FAILURES, Connection, parsed
from tests.stand.order import Order, Try
from tests.stand.records import CLOSED, MALFORMED, MARK, OTHER, RECORD, TIMEOUT

PRIORITY: Final = -10
"""The sender's niceness, if the system permits it. The sender takes precedence over the servers on the same
cores, so that only the servers cause delays."""

AUTOGROUP: Final = Path("/proc/self/autogroup")
"""The file that sets a session's share of the processors, which Linux first divides among sessions."""

FLUSH_SECONDS: Final = 0.05
RECENT: Final = 2000
"""The number of most recent events from which a repeated body is chosen."""


class Sender:
    """Sends an order's requests in one loop over a limited number of connections.

    Args:
        order: The requests to send.
    """

    def __init__(self, order: Order) -> None:
        self._order = order
        self._requests = order.requests()
        self._chance = random.Random(order.seed)
        self._poll = select.epoll()
        self._open: dict[int, Connection] = {}
        self._idle: deque[Connection] = deque()
        self._due: deque[Try] = deque()
        self._later: list[Try] = []
        self._number = order.first
        self._last = order.first + order.count if order.count else sys.maxsize
        self._interval = 1 / order.rate if order.rate else 0.0
        self._next_due = time.monotonic() + 0.1
        self._obeys = False
        self._heard = b""
        self._records = bytearray()
        self._flushed_at = 0.0
        self._output = os.open(order.output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._poll.register(sys.stdin, select.EPOLLIN)

    def run(self) -> None:
        """Send until stopped or until the count is reached, and conclude the requests in progress."""
        while not self._is_done():
            now = time.monotonic()
            self._schedule(now)
            while self._due and (connection := self._free_connection()):
                self._send(connection, self._due.popleft())
            if now - self._flushed_at > FLUSH_SECONDS:
                self._flushed_at = now
                self._expire(now - self._order.timeout_seconds)
                self._flush(now)
            time.sleep(self._order.turn_seconds)
            for descriptor, events in self._poll.poll(0):
                self._on_ready(descriptor, events)
        self._flush(time.monotonic())

    def obey(self, words: dict[str, float]) -> None:
        """Carry out a command: change the rate, stop, send a burst at once, or obey Retry-After."""
        if "rate" in words:
            self._interval = 1 / words["rate"] if words["rate"] else 0.0
            self._next_due = time.monotonic()
        if "burst" in words:
            now = time.monotonic()
            self._due.extend(Try(now, self._take_number()) for _ in range(int(words["burst"])))
        if "stop" in words:
            self._last = self._number
        if "obeys" in words:
            self._obeys = bool(words["obeys"])

    def _is_done(self) -> bool:
        is_busy = self._due or self._later or len(self._idle) < len(self._open)
        return self._number >= self._last and not is_busy

    def _schedule(self, now: float) -> None:
        while self._later and self._later[0].due <= now:
            self._due.append(heapq.heappop(self._later))
        while self._interval and self._next_due <= now and self._number < self._last:
            self._due.append(Try(self._next_due, self._choose_number()))
            self._next_due += self._interval

    def _choose_number(self) -> int:
        sent = self._number - self._order.first
        if sent and self._order.repeated and self._chance.random() < self._order.repeated:
            return self._number - 1 - self._chance.randrange(min(sent, RECENT))
        return self._take_number()

    def _take_number(self) -> int:
        self._number += 1
        return self._number - 1

    def _free_connection(self) -> Connection | None:
        if self._idle:
            return self._idle.popleft()
        if len(self._open) >= self._order.connections:
            return None
        connection = Connection(self._order.port)
        self._open[connection.sock.fileno()] = connection
        self._poll.register(connection.sock, select.EPOLLIN)
        return connection

    def _send(self, connection: Connection, request: Try) -> None:
        connection.on, connection.sent_at = request, time.monotonic()
        connection.unsent, connection.answer = self._requests[request.number], b""
        self._go_on(connection)

    def _go_on(self, connection: Connection) -> None:
        try:
            is_sent = connection.go_on()
        except OSError as error:
            self._fail(connection, FAILURES.get(error.errno or 0, OTHER))
            return
        events = select.EPOLLIN if is_sent else select.EPOLLIN | select.EPOLLOUT
        self._poll.modify(connection.sock, events)

    def _on_ready(self, descriptor: int, events: int) -> None:
        connection = self._open.get(descriptor)
        if connection is None:
            self._listen(descriptor)
        elif events & select.EPOLLOUT and not events & select.EPOLLERR:
            self._go_on(connection)
        else:
            self._receive(connection)

    def _listen(self, descriptor: int) -> None:
        if descriptor != sys.stdin.fileno():
            return
        # Do not use a line reader, because a second command in its buffer would not wake the poll.
        data = os.read(descriptor, 65536)
        if not data:
            self._poll.unregister(sys.stdin)
            self.obey({"stop": 1})
        *lines, self._heard = (self._heard + data).split(b"\n")
        for line in lines:
            self.obey(json.loads(line))

    def _receive(self, connection: Connection) -> None:
        try:
            data = connection.sock.recv(65536)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(connection, FAILURES.get(error.errno or 0, OTHER))
            return
        if not data:
            self._fail(connection, CLOSED)
            return
        connection.answer += data
        try:
            answer = parsed(connection.answer)
        except (ValueError, IndexError):
            self._fail(connection, MALFORMED)
            return
        if answer is not None:
            self._conclude(connection, *answer)

    def _conclude(self, connection: Connection, status: int, retry_after: int, stays: bool) -> None:  # noqa: FBT001
        request, connection.on = connection.on, None
        if request is None:
            # No request is open for this answer, so later answers on this connection cannot be trusted.
            self._drop(connection)
            return
        self._note(request, connection.sent_at, status, retry_after)
        if stays:
            self._idle.append(connection)
        else:
            self._drop(connection)

    def _fail(self, connection: Connection, status: int) -> None:
        request = connection.on
        self._drop(connection)
        if request is not None:
            self._note(request, connection.sent_at, status, 0)

    def _drop(self, connection: Connection) -> None:
        if connection.on is None:
            with suppress(ValueError):
                self._idle.remove(connection)
        self._poll.unregister(connection.sock)
        del self._open[connection.sock.fileno()]
        connection.sock.close()

    def _note(self, request: Try, sent_at: float, status: int, retry_after: int) -> None:
        now = time.monotonic()
        is_retried = (status < 0 or status == 429 or status >= 500) and request.attempt <= self._order.retries
        if is_retried:
            pause = retry_after if self._obeys and retry_after else self._order.retry_seconds
            heapq.heappush(self._later, Try(now + pause, request.number, request.attempt + 1))
        is_final = status != 200 and not is_retried
        self._records += RECORD.pack(
            request.number, request.due, sent_at, now, status, retry_after, request.attempt, is_final
        )

    def _expire(self, before: float) -> None:
        for connection in [c for c in self._open.values() if c.on and c.sent_at < before]:
            self._fail(connection, TIMEOUT)

    def _flush(self, now: float) -> None:
        """Write the concluded tries, then a mark with a time before which all due tries are concluded."""
        under_way = [connection.on.due for connection in self._open.values() if connection.on]
        oldest = min([now, *under_way, *(request.due for request in list(self._due)[:1])])
        self._records += RECORD.pack(MARK, oldest, 0, now, 0, len(self._later), 0, False)
        os.write(self._output, self._records)
        self._records.clear()


def main() -> None:
    """Send the requests that the order on the command line describes."""
    with suppress(OSError):
        os.nice(PRIORITY)
        AUTOGROUP.write_text(str(PRIORITY), encoding="ascii")
    Sender(Order(**json.loads(sys.argv[1]))).run()


if __name__ == "__main__":
    main()
