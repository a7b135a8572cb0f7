"""Send signed posts from several threads at a given rate, retry as the platform does, and record results."""

import base64
import heapq
import hmac
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Final

import urllib3

from simulator.ledger import Ledger
from simulator.traffic import Post
from workers.http_deadline import parse_retry_after

SIGNATURE_HEADER: Final = "X-Hub-Signature-256"
PROGRESS_SECONDS: Final = 0.1
MAX_RETRY_AFTER_SECONDS: Final = 300.0

_FAILURES: Final = (
    (urllib3.exceptions.NameResolutionError, "the host name cannot be resolved"),
    (urllib3.exceptions.NewConnectionError, "no connection could be made"),
    (urllib3.exceptions.TimeoutError, "timed out"),
    (urllib3.exceptions.SSLError, "the certificate is not valid"),
)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The delays in seconds before each retry of a request, and the request's timeout in seconds.

    The defaults are the documented values: a sender gives up after 25 s of fast failures or 85 s of timeouts.
    The documentation does not say whether the platform honours Retry-After, so by default it is ignored.

    Source: developer.genesys.cloud, Open Messaging, "Validate webhook notifications".
    """

    delays: tuple[float, ...] = (5.0,) * 5
    timeout: float = 10.0
    honours_retry_after: bool = False


@dataclass(frozen=True, slots=True)
class WebhookResponse:
    """A response; times are in seconds. If no response arrived, `status` is None and `why` is the reason."""

    status: int | None
    latency: float
    retry_after: float | None = None
    why: str = ""


def retry_delay(policy: RetryPolicy, response: WebhookResponse, *, attempt: int) -> float | None:
    """Return how many seconds to wait before the next attempt, or None if there is no further attempt."""
    if not is_retryable(response.status) or attempt > len(policy.delays):
        return None
    if policy.honours_retry_after and response.retry_after is not None:
        return min(max(0.0, response.retry_after), MAX_RETRY_AFTER_SECONDS)
    return policy.delays[attempt - 1]


def is_retryable(status: int | None) -> bool:
    """Return whether the platform retries: after 429, 5xx or no response (and, we assume, no connection)."""
    return status is None or status == 429 or status >= 500


def sign(body: bytes, secret: bytes) -> str:
    """Return the signature header's value; do not use the service's own code, because this tests it."""
    return "sha256=" + base64.b64encode(hmac.digest(secret, body, "sha256")).decode()


class WebhookEndpoint:
    """A webhook's URL, secret and pool of connections; thread-safe."""

    def __init__(
        self, url: str, *, secret: bytes, timeout: float, connections: int, headers: dict[str, str]
    ) -> None:
        # Use urllib3 directly: `requests` uses several times as much processor time per request as the edge.
        self._pool = urllib3.connection_from_url(url, maxsize=connections, timeout=timeout, retries=False)
        self._path = urllib3.util.parse_url(url).request_uri
        self._secret = secret
        self._headers = {"Content-Type": "application/json", "User-Agent": "omctl-simulate"} | headers

    def post(self, body: bytes) -> WebhookResponse:
        """Send *body* once, and block until the response arrives or the request times out."""
        headers = dict(self._headers)
        if self._secret:
            headers[SIGNATURE_HEADER] = sign(body, self._secret)
        started = time.perf_counter()
        try:
            response = self._pool.request("POST", self._path, body=body, headers=headers, redirect=False)
        except urllib3.exceptions.HTTPError as error:
            why = next((why for kind, why in _FAILURES if isinstance(error, kind)), "the connection was lost")
            return WebhookResponse(None, time.perf_counter() - started, why=f": {why}")
        retry_after = parse_retry_after(response.headers.get("Retry-After"), datetime.now(UTC))
        return WebhookResponse(response.status, time.perf_counter() - started, retry_after)

    def close(self) -> None:
        """Close all connections of the pool."""
        self._pool.close()


@dataclass(frozen=True, slots=True)
class Summary:
    """The result of a simulation. Latencies are in seconds and cover only answered requests."""

    posts: int
    requests: int
    answered: int
    unanswered: int
    retries: int
    by_status: dict[str, int]
    p50: float
    p99: float
    seconds: float
    rate: float


@dataclass(slots=True)
class Tally:
    """The counts of a simulation in progress; not thread-safe."""

    settled: int = 0
    answered: int = 0
    by_status: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)

    def add_request(self, response: WebhookResponse) -> None:
        """Count one request and its response."""
        self.by_status[str(response.status or f"no answer{response.why}")] += 1
        if response.status is not None:
            self.latencies.append(response.latency)

    def summarise(self, seconds: float) -> Summary:
        """Return the summary of a simulation that has lasted *seconds*."""
        ordered, requests = sorted(self.latencies), self.by_status.total()
        return Summary(
            posts=self.settled,
            requests=requests,
            answered=self.answered,
            unanswered=self.settled - self.answered,
            retries=requests - self.settled,
            by_status=dict(sorted(self.by_status.items())),
            p50=percentile(ordered, 50),
            p99=percentile(ordered, 99),
            seconds=seconds,
            rate=requests / seconds if seconds else 0.0,
        )


def percentile(ordered: Sequence[float], percent: int) -> float:
    """Return the smallest value that at least *percent* of the values do not exceed; 0 if there are none."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)] if ordered else 0.0


@dataclass(slots=True)
class WebhookSender:
    """Passes each post to a pool of threads when the post is due. One condition guards all its state."""

    endpoint: WebhookEndpoint
    posts: Iterator[Post]
    ledger: Ledger
    policy: RetryPolicy
    rate: float
    # The next new post and all retries, each with its due time, a number that breaks ties, and its attempt.
    _waiting: list[tuple[float, int, Post, int]] = field(default_factory=list)
    _tie: Iterator[int] = field(default_factory=count)
    _in_flight: int = 0
    _tally: Tally = field(default_factory=Tally)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def run(self, threads: int, progress: Callable[[Tally], None]) -> Summary:
        """Send all posts, and block until no post needs another attempt.

        An interrupt is reraised once the requests in flight have ended, so that the ledger is complete.
        """
        started = shown = time.monotonic()
        self._add_post(started)
        with ThreadPoolExecutor(threads, "sender") as pool:
            # Check _in_flight first: a request that ends adds its retry before it decrements _in_flight.
            while self._in_flight or self._waiting:
                if due := self._wait_for_post(threads):
                    pool.submit(self._send, *due)
                if time.monotonic() - shown >= PROGRESS_SECONDS:
                    shown = time.monotonic()
                    progress(self._tally)
        progress(self._tally)
        return self._tally.summarise(time.monotonic() - started)

    def _wait_for_post(self, threads: int) -> tuple[Post, int] | None:
        """Return a due post and the attempt's number, or wait briefly and return None if none can be sent."""
        with self._changed:
            now = time.monotonic()
            can_send = self._waiting and self._in_flight < threads
            seconds = self._waiting[0][0] - now if can_send else PROGRESS_SECONDS
            if seconds > 0:
                self._changed.wait(min(seconds, PROGRESS_SECONDS))
                return None
            due_at, _, post, attempt = heapq.heappop(self._waiting)
            if attempt == 1:
                self._add_post(max(due_at + 1 / self.rate, now - 1.0) if self.rate else now)
            self._in_flight += 1
            return post, attempt

    def _add_post(self, due_at: float) -> None:
        if post := next(self.posts, None):
            heapq.heappush(self._waiting, (due_at, next(self._tie), post, 1))

    def _send(self, post: Post, attempt: int) -> None:
        response = self.endpoint.post(post.body)
        delay = retry_delay(self.policy, response, attempt=attempt)
        with self._changed:
            self._tally.add_request(response)
            if delay is None:
                self._tally.settled += 1
                self._tally.answered += response.status == 200
                self.ledger.add(post, status=response.status, attempts=attempt)
            else:
                due_at = time.monotonic() + delay
                heapq.heappush(self._waiting, (due_at, next(self._tie), post, attempt + 1))
            self._in_flight -= 1
            self._changed.notify()
