"""Send requests at a constant rate, whether or not the server keeps up, and time each answer.

A request's latency counts from the moment at which it was due, not from when it was sent: a server that
stalls, or a generator that runs late, makes the latencies longer and never fewer. wrk waits for an answer
before the next request, which hides exactly the stalls that a p99 is about.

Runs as a process of its own: `python -m tests.benchmarks.open_loop PORT FILE SIZE FIRST COUNT RATE OUTPUT`.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import time
from array import array
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

CONNECTIONS: Final = 64
LAST_ANSWERS_SECONDS: Final = 10.0
TURN_SECONDS: Final = 0.00025
"""Between looks at what is due and what was answered. It makes latencies longer by as much, never shorter,
and leaves the cores to the server, which a loop that wakes for every request does not."""

PRIORITY: Final = -10
"""Ahead of the servers on the same cores, where that is allowed: what is late is then theirs."""

FIELDS: Final = 4
"""Doubles per request in the output: due, sent, answered (wall clock; 0 for never), HTTP status."""


@dataclass(frozen=True, slots=True)
class Requests:
    """Where the requests come from and when each is due.

    Args:
        data: Requests of one size, one after the other.
        size: Bytes of each.
        rate: Requests a second.
    """

    data: bytes
    size: int
    rate: float

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.data) // self.size

    def __getitem__(self, number: int) -> bytes:
        return self.data[number * self.size : (number + 1) * self.size]


class OpenLoop:
    """One loop over a fixed set of keep-alive connections.

    Args:
        connect: Returns a connected socket.
        requests: What to send.
        clock: Seconds, wall clock, because other processes compare their times with it.
    """

    def __init__(
        self, connect: Callable[[], socket.socket], requests: Requests, clock: Callable[[], float]
    ) -> None:
        self._connect = connect
        self._requests = requests
        self._clock = clock
        self._poll = select.epoll()
        self._open: dict[int, socket.socket] = {}
        self._idle: list[socket.socket] = []
        self._busy: dict[socket.socket, int] = {}
        self._parts: dict[socket.socket, bytes] = {}
        self._late: deque[int] = deque()
        self.samples = array("d", bytes(8 * FIELDS * requests.count))
        for _ in range(CONNECTIONS):
            self._add_connection()

    def run(self) -> None:
        """Send everything, and wait a while for the last answers."""
        started = self._clock() + 0.1
        interval = 1 / self._requests.rate
        number, count = 0, self._requests.count
        deadline = started + count * interval + LAST_ANSWERS_SECONDS
        while (number < count or self._busy or self._late) and (now := self._clock()) < deadline:
            while number < count and (due := started + number * interval) <= now:
                self.samples[number * FIELDS] = due
                self._late.append(number)
                number += 1
            self._send_late()
            time.sleep(TURN_SECONDS)
            for descriptor, _ in self._poll.poll(0):
                self._take_answer(self._open[descriptor])

    def _add_connection(self) -> None:
        connection = self._connect()
        self._open[connection.fileno()] = connection
        self._poll.register(connection, select.EPOLLIN)
        self._idle.append(connection)

    def _send_late(self) -> None:
        while self._late and self._idle:
            number = self._late.popleft()
            connection = self._idle.pop()
            self.samples[number * FIELDS + 1] = self._clock()
            self._busy[connection] = number
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(self._requests[number])

    def _take_answer(self, connection: socket.socket) -> None:
        try:
            data = connection.recv(4096)
        except ConnectionResetError:
            data = b""
        if not data:
            self._replace(connection)
            return
        answer = self._parts.pop(connection, b"") + data
        if not is_whole(answer):
            self._parts[connection] = answer
            return
        number = self._busy.pop(connection)
        self.samples[number * FIELDS + 2] = self._clock()
        self.samples[number * FIELDS + 3] = int(answer[9:12])
        self._idle.append(connection)

    def _replace(self, connection: socket.socket) -> None:
        """Connect anew where the server has closed, and send again as any client does; the time counts on."""
        self._parts.pop(connection, None)
        if connection in self._busy:
            self._late.appendleft(self._busy.pop(connection))
        else:
            self._idle.remove(connection)
        self._poll.unregister(connection)
        del self._open[connection.fileno()]
        connection.close()
        self._add_connection()


def is_whole(answer: bytes) -> bool:
    """Tell whether a response has come to its end; gunicorn sends head and body apart."""
    head, separator, body = answer.partition(b"\r\n\r\n")
    if not separator:
        return False
    _, _, rest = head.lower().partition(b"content-length:")
    return len(body) >= int(rest.partition(b"\r\n")[0])


def main(arguments: list[str]) -> None:
    """Send, then write the samples."""
    port, path, size, first, count, rate, output = arguments
    with Path(path).open("rb") as file:
        file.seek(int(first) * int(size))
        data = file.read(int(count) * int(size))

    def connect() -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", int(port)))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    with suppress(PermissionError):
        os.nice(PRIORITY)
    loop = OpenLoop(connect, Requests(data, int(size), float(rate)), time.time)
    loop.run()
    Path(output).write_bytes(loop.samples.tobytes())


if __name__ == "__main__":
    main(sys.argv[1:])
