"""Proxy connections to a server, and simulate the faults of a bad network."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections import Counter
from contextlib import suppress
from enum import Enum

from tests.servers import LOOPBACK, free_port

CHUNK = 65536
DELAY_SECONDS = 0.5
DRIP_SECONDS = 0.001
"""Seconds between two bytes. A thousand bytes per second is slower than any stream of events."""

SLOW_DRIP_SECONDS = 0.5
"""Seconds between two bytes of an answer: less than any time limit for a single read."""

RESET = struct.pack("ii", 1, 0)
"""The value of SO_LINGER with which closing a socket resets its connection."""


class Weather(Enum):
    """How the proxy treats the bytes that pass through it."""

    FAIR = "all bytes pass"
    SWALLOW = "bytes vanish in both directions, the connections stay open"
    HOLD_REQUESTS = "what the client sends waits, what the broker sends passes"
    DELAY = "every chunk comes half a second late"
    DRIP = "one byte at a time"
    DRIP_ANSWERS = "what the client sends passes, what comes back does so at two bytes a second"


class Link:
    """One connection through the proxy, with a socket to the client and a socket to the server."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client = client
        self.server = server
        # A connection that has lost a byte passes on no more bytes, as if its peer were gone.
        self.is_dead = False
        self._is_ended = False
        self._lock = threading.Lock()
        for side in (client, server):
            side.settimeout(None)
            side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def end(self, *, with_reset: bool = False) -> bool:
        """Close both sides once, by FIN or RST, and wake their readers. Return whether the link was open."""
        with self._lock:
            if self._is_ended:
                return False
            self._is_ended = True
        for side in (self.client, self.server):
            with suppress(OSError):
                if with_reset:
                    side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                # Shutting down the writing half would send a FIN before the reset.
                side.shutdown(socket.SHUT_RD if with_reset else socket.SHUT_RDWR)
            side.close()
        return True


class Proxy:
    """A listening port in front of another port. Each connection has one thread per direction.

    Args:
        target: The port to which the connections are forwarded.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.weather = Weather.FAIR
        self.struck: Counter[Weather] = Counter()
        self.turned_away = 0
        self.dripped: list[float] = []
        self._is_closed = False
        self._links: list[Link] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server((LOOPBACK, free_port()), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, amqp_url: str) -> str:
        """Return *amqp_url*, the broker's URL, with this proxy's port."""
        return amqp_url.replace(f":{self.target}/", f":{self.port}/")

    def reset_all(self) -> int:
        """Reset every connection on both sides, and return how many connections were open."""
        return sum(link.end(with_reset=True) for link in self._take_links())

    def cut_all(self) -> int:
        """Close every connection in mid-stream, and return how many connections were open."""
        return sum(link.end() for link in self._take_links())

    def close(self) -> None:
        """Stop accepting connections, and cut the open connections."""
        self._is_closed = True
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut_all()

    def _take_links(self) -> list[Link]:
        with self._lock:
            links, self._links = self._links, []
        return links

    def _accept(self) -> None:
        while not self._is_closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._join(client)

    def _join(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection((LOOPBACK, self.target), timeout=5)
        except OSError:
            self.turned_away += 1
            client.close()
            return
        link = Link(client, server)
        with self._lock:
            self._links.append(link)
        for source, sink in ((client, server), (server, client)):
            threading.Thread(target=self._carry, args=(link, source, sink), daemon=True).start()

    def _carry(self, link: Link, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(CHUNK):
                self._pass_on(link, data, sink)
        link.end()

    def _pass_on(self, link: Link, data: bytes, sink: socket.socket) -> None:
        is_met = self.weather is not Weather.HOLD_REQUESTS or sink is link.server
        self.struck[self.weather] += is_met
        while self.weather is Weather.HOLD_REQUESTS and sink is link.server and not self._is_closed:
            time.sleep(0.02)
        if self.weather is Weather.SWALLOW or link.is_dead:
            link.is_dead = True
            return
        if self.weather is Weather.DELAY:
            time.sleep(DELAY_SECONDS)
        if self.weather is Weather.DRIP:
            self._drip(data, sink, DRIP_SECONDS)
        elif self.weather is Weather.DRIP_ANSWERS and sink is link.client:
            began = time.monotonic()
            try:
                self._drip(data, sink, SLOW_DRIP_SECONDS)
            finally:
                self.dripped.append(time.monotonic() - began)
        else:
            sink.sendall(data)

    def _drip(self, data: bytes, sink: socket.socket, pause: float) -> None:
        """Pass on the data byte by byte. When the weather changes, pass on the rest at once."""
        weather = self.weather
        for offset in range(len(data)):
            if self.weather is not weather:
                sink.sendall(data[offset:])
                return
            sink.sendall(data[offset : offset + 1])
            time.sleep(pause)
