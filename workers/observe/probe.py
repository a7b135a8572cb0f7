"""Query each part of the service on its own thread, so that a hanging part cannot block a page or scrape."""

import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Final, Generic, TypeVar

import requests
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from messaging.admin import broker_session
from messaging.errors import OpenMessagingError, RetryLaterError
from messaging.log import logger
from messaging.management import QueueDepths
from workers.db.engine import is_outage, translate

FRESH_SECONDS: Final = 4.0
"""How long an answer is reused, so that open pages share it; shorter than the page's refresh interval."""

SILENT_SECONDS: Final = 15.0
"""If a query is still running and the last result is older than this, the part counts as hanging."""

LOG_AGAIN_SECONDS: Final = 3600.0
"""Interval at which a continuing failure is logged again."""

EDGE_SECONDS: Final = 2.0

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Reading(Generic[Value]):
    """A part's last answer, its age (None before the first), and the problem if the answer is invalid."""

    value: Value | None = None
    age_s: float | None = None
    problem: str | None = None

    @property
    def current(self) -> Value | None:
        """The last answer if it is still valid, else None."""
        return self.value if self.problem is None else None

    def describe(self) -> dict[str, Any]:
        """Return the age and the problem, for the status page."""
        return {"age_s": self.age_s, "problem": self.problem}


@dataclass(slots=True, eq=False)
class Probe(Generic[Value]):
    """Queries one part of the service on its own thread, which survives any error that the query raises.

    Args:
        query: Returns the part's answer; it can block indefinitely.
        fresh_seconds: How long an answer is reused; a `read` that finds an older answer starts a new query.
        every_seconds: If set, the part is queried at this interval, whether or not its answer is read.
        silent_seconds: If the last result is older than this, a running query counts as hanging.
    """

    name: str
    query: Callable[[], Value]
    fresh_seconds: float = FRESH_SECONDS
    _: KW_ONLY
    every_seconds: float | None = None
    silent_seconds: float = SILENT_SECONDS
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _is_wanted: bool = False
    _value: Value | None = None
    _answered_at: float | None = None
    _asked_at: float = -math.inf
    _finished_at: float = -math.inf
    _failure: str | None = None

    def __post_init__(self) -> None:
        threading.Thread(target=self._run, name=self.name, daemon=True).start()

    def read(self, patience_seconds: float) -> Reading[Value]:
        """Return the last answer. If it is old, wait at most *patience_seconds* for a new answer."""
        with self._changed:
            now = time.monotonic()
            if self.every_seconds is None and now - self._finished_at > self.fresh_seconds:
                self._is_wanted |= self._asked_at <= self._finished_at
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._finished_at >= now, patience_seconds)
            now = time.monotonic()
            age = None if self._answered_at is None else now - self._answered_at
            problem = self._failure
            if self._finished_at == -math.inf:
                problem = "has not answered yet"
            elif self._asked_at > self._finished_at and now - self._finished_at > self.silent_seconds:
                # Report that the query hangs, not its last failure, which might have had a different cause.
                problem = "hangs: it accepts the request but does not answer"
            return Reading(self._value, age, problem)

    def read_until(self, ends: float) -> Reading[Value]:
        """Return the last answer. If it is old, wait for a new answer until the monotonic time *ends*."""
        return self.read(max(0.0, ends - time.monotonic()))

    def _run(self) -> None:
        logged_at = 0.0
        while True:
            with self._changed:
                every = self.every_seconds
                wait = None if every is None else max(0.0, self._asked_at + every - time.monotonic())
                self._changed.wait_for(lambda: self._is_wanted, wait)
                self._is_wanted = False
                self._asked_at = time.monotonic()
            value, failure = None, None
            try:
                value = self.query()
            except Exception as error:  # noqa: BLE001  # the loop must not end; the page shows the failure
                failure = explain(error)
            # Compare only the text before the colon, because the reason after the colon can vary.
            is_same = (failure or "").split(":")[0] == (self._failure or "").split(":")[0]
            if failure is not None and not (is_same and time.monotonic() < logged_at + LOG_AGAIN_SECONDS):
                logged_at = time.monotonic()
                logger().warning("part_not_answering", part=self.name, reason=failure)
            with self._changed:
                self._finished_at = time.monotonic()
                self._failure = failure
                if failure is None:
                    self._value, self._answered_at = value, self._finished_at
                self._changed.notify_all()


def explain(error: Exception) -> str:
    """Explain to operators why a part did not answer; a library's own text might contain addresses."""
    # transact() raises its own errors, with the database's error as their cause.
    cause = error.__cause__ if isinstance(error, OpenMessagingError) else error
    if isinstance(cause, DBAPIError) and not is_outage(cause):
        return f"it refuses a query: {translate(cause)}"
    if isinstance(error, OpenMessagingError) and not isinstance(cause, SQLAlchemyError):
        return str(error)
    return "it accepts no connection or does not answer in time"


def check_broker(urls: tuple[str, ...]) -> None:
    """Connect to the broker once; this can take several seconds if the broker does not answer."""
    with broker_session(urls, client_name="observe"):
        pass


def read_depths(depths: QueueDepths) -> dict[str, int]:
    """Return the queues' depths; raise RetryLaterError if no management API answers."""
    if found := depths.read():
        return found
    raise RetryLaterError("the management API does not answer")


def read_edge(bind: str, path: str) -> requests.Response:
    """Return the response of this host's edge to GET *path*; raise RequestException if there is none."""
    host, _, port = bind.rpartition(":")
    reachable = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)  # noqa: S104  # compared
    return requests.get(f"http://{reachable}:{port}{path}", timeout=EDGE_SECONDS)


def read_health(bind: str) -> dict[str, Any]:
    """Return the edge's health report, even while the edge refuses events; raise the errors of read_edge."""
    with suppress(requests.JSONDecodeError):
        report: dict[str, Any] = read_edge(bind, "/health/ready").json()
        match report:
            case {"status": str(), "problems": list()}:
                return report
    raise OpenMessagingError("another program answers at OM_BIND")
