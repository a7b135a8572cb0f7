"""Send numbered events at a steady rate from several connections, and keep the ledger."""

from __future__ import annotations

import itertools
import statistics
import threading
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.chaos.http_client import KeepAliveClient, Reply

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from tests.chaos.ledger import Ledger
    from tests.chaos.traffic import Traffic

RESENT = 0.05
"""Share of requests that repeat an earlier body, as the platform's retries do."""

RECENT = 2000
"""How far back a repeated body may lie, in events."""

WINDOW_SECONDS = 2.0
"""Some hundreds of replies: enough for a 99th percentile."""

EXTRA_FROM = 10_000_000
"""The first number of what is posted out of turn."""

LAG_SECONDS = 0.5
"""How far the driver may fall behind before it gives up catching up: a burst is another load."""


class Watched:
    """The replies of a stretch of time; complete once the `with` block of `Driver.watch` has ended."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []

    @property
    def statuses(self) -> Counter[int]:
        """Requests by status; 0 counts those without an answer."""
        return Counter(reply.status for reply in self.replies)

    @property
    def failures(self) -> Counter[str]:
        """Requests without an answer, by the kind of failure."""
        return Counter(reply.failure for reply in self.replies if reply.failure)

    def percentile(self, share: float) -> float:
        """Return the latency that *share* of the answered requests stayed below, in seconds."""
        seconds = sorted(reply.seconds for reply in self.replies if reply.status)
        return seconds[min(len(seconds) - 1, int(share * len(seconds)))] if seconds else 0.0

    def typical_p99(self) -> float:
        """Return the median of the 99th percentiles of short windows, in seconds.

        A server that boots beside the test, or the test's own pauses, spoil some windows; what the product
        does to every request spoils all.
        """
        windows: dict[int, Watched] = {}
        for reply in self.replies:
            windows.setdefault(int(reply.at / WINDOW_SECONDS), Watched()).replies.append(reply)
        return statistics.median(window.percentile(0.99) for window in windows.values())


class Driver:
    """Threads that post what the shared schedule hands out.

    Args:
        port: Of the edge.
        secret: Of the edge.
        traffic: The events.
        ledger: Told of every 200.
        rate: Requests per second; may be changed while it runs.
        chance: Chooses what is sent again.
    """

    def __init__(
        self,
        port: int,
        secret: bytes,
        traffic: Traffic,
        ledger: Ledger,
        *,
        rate: float,
        chance: random.Random,
    ) -> None:
        self.rate = rate
        self.traffic = traffic
        self.ledger = ledger
        self.obeys_retry_after = False
        self._port = port
        self._secret = secret
        self._chance = chance
        self._numbers = itertools.count()
        self._extra_numbers = itertools.count(EXTRA_FROM)
        self._lock = threading.Lock()
        self._due = 0.0
        self._sent = 0
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []
        self._replies: list[Reply] = []

    def start(self, connections: int = 8) -> None:
        """Send until `stop`."""
        self._due = time.monotonic()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(connections)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Finish the requests that have begun, and send no more."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    @property
    def sent(self) -> int:
        """Events handed out so far, repetitions left out."""
        return self._sent

    def extra_bodies(self, count: int) -> list[bytes]:
        """Return *count* events that the schedule will never come to."""
        return [self.traffic.body(number) for number in itertools.islice(self._extra_numbers, count)]

    def malformed_bodies(self, count: int) -> list[bytes]:
        """Return *count* bodies for the dead letters, noted as such in the ledger."""
        numbers = itertools.islice(self._extra_numbers, count)
        bodies = [self.traffic.malformed(number) for number in numbers]
        for body in bodies:
            self.ledger.expect_dead_letter(body)
        return bodies

    def post_extra(self, body: bytes) -> Reply:
        """Post one body out of turn, on a connection of its own."""
        client = KeepAliveClient(self._port, self._secret)
        reply = client.post(body)
        client.close()
        self._conclude(body, reply)
        return reply

    @contextmanager
    def watch(self) -> Iterator[Watched]:
        """Collect the replies that come in during the `with` block."""
        watched = Watched()
        begin = len(self._replies)
        try:
            yield watched
        finally:
            watched.replies = self._replies[begin:]

    def watch_for(self, seconds: float) -> Watched:
        """Collect the replies of the next *seconds*."""
        with self.watch() as watched:
            time.sleep(seconds)
        return watched

    def _work(self) -> None:
        client = KeepAliveClient(self._port, self._secret)
        while not self._stopped.is_set():
            body = self._next_body()
            reply = client.post(body)
            self._conclude(body, reply)
            if self.obeys_retry_after and reply.retry_after:
                self._stopped.wait(reply.retry_after)
            elif not reply.status:
                # A refused connection costs nothing: without a pause this would spin.
                self._stopped.wait(0.05)
        client.close()

    def _next_body(self) -> bytes:
        with self._lock:
            now = time.monotonic()
            self._due = max(self._due + 1.0 / self.rate, now - LAG_SECONDS)
            due = self._due
            number = self._choose_number()
        self._stopped.wait(max(0.0, due - now))
        return self.traffic.body(number)

    def _choose_number(self) -> int:
        if self._sent and self._chance.random() < RESENT:
            return self._chance.randrange(max(0, self._sent - RECENT), self._sent)
        self._sent += 1
        return next(self._numbers)

    def _conclude(self, body: bytes, reply: Reply) -> None:
        if reply.status == 200:
            self.ledger.note_answered(body)
        self._replies.append(reply)
