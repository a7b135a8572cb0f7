"""Run the open-loop sender beside a test, control it, and read its records."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from tests.stand.product import SOURCES
from tests.stand.records import Records, Seen
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.stand.order import Order

SETTLE_SECONDS = 90.0
"""Seconds to wait for the sender to end: enough for six tries with their time limits and pauses."""


class Load:
    """A running sender.

    Args:
        order: The requests to send; the file of records must not exist yet.
    """

    def __init__(self, order: Order) -> None:
        self.order = order
        self.rate = order.rate
        self._records = Records(Path(order.output))
        self._read = 0
        command = [sys.executable, "-m", "tests.stand.sender", json.dumps(asdict(order))]
        self._process = subprocess.Popen(
            command, cwd=SOURCES, stdin=subprocess.PIPE, text=True, start_new_session=True
        )

    @property
    def pid(self) -> int:
        """The sender's process id."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Return whether the sender is still sending, or waiting for answers and retries."""
        return self._process.poll() is None

    def change_rate(self, rate: float) -> None:
        """Change the rate to this number of requests per second."""
        self.rate = rate
        self._say(rate=rate)

    def burst(self, events: int) -> None:
        """Send this number of events, all due now, as fast as the connections allow."""
        self._say(burst=events)

    def heed_retry_after(self, *, heed: bool) -> None:
        """Retry a request after its Retry-After if *heed* is set, otherwise after the policy's pause."""
        self._say(obeys=heed)

    def stop(self) -> None:
        """Stop sending new requests; return when all requests are concluded, including retries."""
        if self.is_running:
            self._say(stop=1)
        self.finish()

    def finish(self) -> None:
        """Wait until all requests of the order are concluded.

        Raises:
            AssertionError: The sender failed, or did not end in time.
        """
        try:
            ended = self._process.wait(SETTLE_SECONDS + self.order.retries * self.order.retry_seconds)
        finally:
            self.kill()
        assert ended == 0, f"the sender ended with {ended}"

    def kill(self) -> None:
        """End the sender at once."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()

    @property
    def answered(self) -> set[int]:
        """Return the numbers of the requests answered with 200 so far."""
        self._records.read()
        return {each.number for each in self._records.tries if each.status == 200}

    def seen(self) -> Seen:
        """Return every try that has been concluded so far."""
        self._records.read()
        return Seen(self._records.tries)

    @contextmanager
    def watch(self) -> Iterator[Seen]:
        """Collect the tries that are due during the `with` block; the list is complete after the block."""
        seen = Seen([])
        begin = time.monotonic()
        try:
            yield seen
        finally:
            end = time.monotonic()
            self._wait_concluded(end)
            tries = [each for each in self._records.tries if begin <= each.due < end]
            seen.tries = tries

    def watch_for(self, seconds: float) -> Seen:
        """Collect the tries that are due in the next *seconds*."""
        with self.watch() as seen:
            time.sleep(seconds)
        return seen

    def latest(self, seconds: float) -> Counter[int]:
        """Return the statuses of the tries that ended in the last *seconds*."""
        self._records.read()
        since = time.monotonic() - seconds
        found: Counter[int] = Counter()
        for each in reversed(self._records.tries):
            if each.ended < since:
                break
            found[each.status] += 1
        return found

    def _wait_concluded(self, moment: float) -> None:
        def is_concluded() -> bool:
            self._records.read()
            return self._records.concluded_before >= moment or not self.is_running

        wait_until(is_concluded, 3 * self.order.timeout_seconds, "every request that was due is concluded")

    def _say(self, **words: float) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()
