"""End the process if its loop stops or one piece of work hangs, so that its supervisor starts it again.

A thread that holds the interpreter, in a regular expression without end or a C library, stops the loop and
every signal handler written in Python. The standard library's watchdog is a thread in C.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from messaging.log import logger

if TYPE_CHECKING:
    from collections.abc import Iterator

FEEDS_PER_PATIENCE: Final = 10
"""Feeding restarts the watchdog's thread, so it is done only this often in the time that it waits."""


class Watchdog:
    """Ends the process with status 1, after writing where every thread stands to standard error.

    The report names file, line and function, and no value.

    Args:
        patience_seconds: How long the loop may stand still, and how long work under `limit` may take.
    """

    def __init__(self, patience_seconds: float) -> None:
        self._patience_seconds = patience_seconds
        self._fed_at: float | None = None
        self._deadline: float | None = None

    def feed(self) -> None:
        """Report that the loop turns, several times in the patience. Ends the process if work hangs."""
        now = time.monotonic()
        deadline = self._deadline
        if deadline is not None and now > deadline:
            self._end_process()
        if self._fed_at is None or now - self._fed_at > self._patience_seconds / FEEDS_PER_PATIENCE:
            self._fed_at = now
            faulthandler.dump_traceback_later(self._patience_seconds, exit=True)

    @contextmanager
    def limit(self) -> Iterator[None]:
        """Limit the time of the `with` block, on one thread; within another limit, the outer one counts."""
        outer = self._deadline
        if outer is None:
            self._deadline = time.monotonic() + self._patience_seconds
        try:
            yield
        finally:
            self._deadline = outer

    def stop(self) -> None:
        """Watch no longer."""
        faulthandler.cancel_dump_traceback_later()

    def _end_process(self) -> None:
        logger().error(
            "work_hangs",
            seconds=self._patience_seconds,
            consequence="the process ends; its events are delivered again and processed one by one",
        )
        sys.stdout.flush()
        faulthandler.dump_traceback()
        os._exit(1)
