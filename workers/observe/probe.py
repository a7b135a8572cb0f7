"""Query each part of the service on its own thread, so that one that hangs blocks no page and no scrape."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import requests
from sqlalchemy.exc import DBAPIError

from messaging.admin import broker_session
from messaging.errors import OpenMessagingError, RetryLaterError
from messaging.log import logger
from messaging.management import QueueDepths
from workers.db.engine import is_outage, translate

FRESH_SECONDS: Final = 4.0
"""Shorter than the page's refresh interval; each part is queried once per interval for all open pages."""

SILENT_SECONDS: Final = 15.0
"""Default age of a part's last result after which a query that is still running counts as hanging."""

LOG_AGAIN_SECONDS: Final = 3600.0
"""A failure that lasts is logged again after this time."""

EDGE_SECONDS: Final = 2.0

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Reading(Generic[Value]):
    """A part's last answer and its age (None before the first), and the reason if it is no longer valid."""

    value: Value | None = None
    age_s: float | None = None
    problem: str | None = None

    @property
    def current(self) -> Value | None:
        """The last answer if it is still valid."""
        return self.value if self.problem is None else None

    def describe(self) -> dict[str, Any]:
        """Return age and problem for the page."""
        return {"age_s": self.age_s, "problem": self.problem}


class Probe(Generic[Value]):
    """Queries one part of the service on one thread, which continues whatever the query raises.

    Args:
        query: Returns the answer; may block without limit.
        fresh_seconds: How long an answer is reused; reading an older answer starts a new query.
        every_seconds: If set, the part is queried at this interval instead, even if nothing reads it.
        silent_seconds: Age of the last result after which a running query counts as hanging.
    """

    def __init__(
        self,
        name: str,
        query: Callable[[], Value],
        fresh_seconds: float = FRESH_SECONDS,
        *,
        every_seconds: float | None = None,
        silent_seconds: float = SILENT_SECONDS,
    ) -> None:
        self._name = name
        self._query = query
        self._fresh_seconds = fresh_seconds if every_seconds is None else float("inf")
        self._every_seconds = every_seconds
        self._silent_seconds = silent_seconds
        self._changed = threading.Condition()
        self._is_wanted = False
        self._value: Value | None = None
        self._answered_at: float | None = None
        self._asked_at = self._finished_at = float("-inf")
        self._failure: str | None = None
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def read(self, patience_seconds: float) -> Reading[Value]:
        """Return the last answer; blocks at most *patience_seconds* for a newer one if it is old."""
        with self._changed:
            now = time.monotonic()
            if now - self._finished_at > self._fresh_seconds:
                self._is_wanted |= self._asked_at <= self._finished_at
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._finished_at >= now, patience_seconds)
            now = time.monotonic()
            age = None if self._answered_at is None else now - self._answered_at
            return Reading(self._value, age, self._describe_problem(now))

    def read_until(self, ends: float) -> Reading[Value]:
        """Return the last answer; blocks at most until *ends*, in monotonic seconds."""
        return self.read(max(0.0, ends - time.monotonic()))

    def _describe_problem(self, now: float) -> str | None:
        if self._finished_at == float("-inf"):
            return "has not answered yet"
        # An earlier failure says nothing about a part that hangs now.
        is_hanging = self._asked_at > self._finished_at and now - self._finished_at > self._silent_seconds
        return "hangs: it takes the request and does not answer" if is_hanging else self._failure

    def _run(self) -> None:
        logged_at = 0.0
        while True:
            with self._changed:
                every = self._every_seconds
                wait = None if every is None else max(0.0, self._asked_at + every - time.monotonic())
                self._changed.wait_for(lambda: self._is_wanted, wait)
                self._is_wanted = False
                self._asked_at = time.monotonic()
            value, failure = None, None
            try:
                value = self._query()
            except Exception as error:  # noqa: BLE001  # the loop must not end; the page shows the failure
                failure = explain(error)
            # A reason after the colon may differ each time.
            is_same = (failure or "").split(":")[0] == (self._failure or "").split(":")[0]
            if failure is not None and not (is_same and time.monotonic() < logged_at + LOG_AGAIN_SECONDS):
                logged_at = time.monotonic()
                logger().warning("part_not_answering", part=self._name, reason=failure)
            with self._changed:
                self._finished_at = time.monotonic()
                self._failure = failure
                if failure is None:
                    self._value, self._answered_at = value, self._finished_at
                self._changed.notify_all()


def explain(error: Exception) -> str:
    """Return in plain words why a part did not answer; the library's own text may contain addresses."""
    if isinstance(error, OpenMessagingError):
        return str(error)
    if isinstance(error, DBAPIError) and not is_outage(error):
        return f"it refuses a query: {translate(error)}"
    return "it accepts no connection, or did not answer in time"


def check_broker(urls: tuple[str, ...]) -> None:
    """Connect to the broker once; blocks for some seconds if it does not answer."""
    with broker_session(urls, client_name="observe"):
        pass


def read_depths(depths: QueueDepths) -> dict[str, int]:
    """Return the queues' depths; raise RetryLaterError if no management API answers."""
    if found := depths.read():
        return found
    raise RetryLaterError("the management API does not answer")


def read_edge(bind: str, path: str) -> requests.Response:
    """Return the answer of the edge on this host; raise RequestException if it does not answer.

    Its health report has the status 503 while it refuses events.
    """
    host, _, port = bind.rpartition(":")
    reachable = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)  # noqa: S104  # compared
    return requests.get(f"http://{reachable}:{port}{path}", timeout=EDGE_SECONDS)
