"""Send signed posts at a rate from several threads, retry as the platform would, and record each result."""

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


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how soon to send again; delays in seconds.

    The defaults are the documented ones: a sender gives up after 25 s of fast failures, or 85 s of timeouts.
    The documentation does not say whether the platform honours Retry-After, so by default it is ignored.

    Source: developer.genesys.cloud, Open Messaging, "Validate webhook notifications".
    """

    retries: int = 5
    delay: float = 5.0
    timeout: float = 10.0
    honours_retry_after: bool = False


@dataclass(frozen=True, slots=True)
class WebhookResponse:
    """An answer: status None if there was none in time; latency and retry_after in seconds."""

    status: int | None
    latency: float
    retry_after: float | None = None


def retry_delay(policy: RetryPolicy, response: WebhookResponse, *, attempt: int) -> float | None:
    """Return the seconds to wait before the next attempt, or None if *attempt* was the last one."""
    if not is_retryable(response.status) or attempt > policy.retries:
        return None
    if policy.honours_retry_after and response.retry_after is not None:
        return min(max(0.0, response.retry_after), MAX_RETRY_AFTER_SECONDS)
    return policy.delay


def is_retryable(status: int | None) -> bool:
    """Return whether the platform sends again: after no answer, 429 or 5xx.

    The documentation does not mention a refused or broken connection; we assume that it counts as no answer.
    """
    return status is None or status == 429 or status >= 500


def sign(body: bytes, secret: bytes) -> str:
    """Return the signature header's value; written here again so that it checks the service's own code.

    Source: Genesys Cloud, "Validate webhook notifications".
    """
    return "sha256=" + base64.b64encode(hmac.digest(secret, body, "sha256")).decode()


class WebhookEndpoint:
    """A webhook's URL, secret and pool of open connections; safe for use by several threads."""

    def __init__(
        self, url: str, *, secret: bytes, timeout: float, connections: int, headers: dict[str, str]
    ) -> None:
        # urllib3 itself: requests on top of it takes several times the edge's processor time per request.
        self._pool = urllib3.connection_from_url(url, maxsize=connections, timeout=timeout, retries=False)
        self._path = urllib3.util.parse_url(url).request_uri
        self._secret = secret
        self._headers = {"Content-Type": "application/json", "User-Agent": "omctl-simulate"} | headers

    def post(self, body: bytes) -> WebhookResponse:
        """Send *body* once; blocks until the answer or the timeout."""
        headers = dict(self._headers)
        if self._secret:
            headers[SIGNATURE_HEADER] = sign(body, self._secret)
        started = time.perf_counter()
        try:
            response = self._pool.request("POST", self._path, body=body, headers=headers, redirect=False)
        except urllib3.exceptions.HTTPError:
            return WebhookResponse(None, time.perf_counter() - started)
        retry_after = parse_retry_after(response.headers.get("Retry-After"), datetime.now(UTC))
        return WebhookResponse(response.status, time.perf_counter() - started, retry_after)

    def close(self) -> None:
        """Close every connection."""
        self._pool.close()


@dataclass(frozen=True, slots=True)
class Summary:
    """The result of a simulation; latencies in seconds, of the requests that were answered."""

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
    """The running counts; not thread-safe."""

    settled: int = 0
    answered: int = 0
    by_status: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)

    def add_request(self, response: WebhookResponse) -> None:
        """Count one request and its answer."""
        self.by_status["no answer" if response.status is None else str(response.status)] += 1
        if response.status is not None:
            self.latencies.append(response.latency)

    def summarise(self, seconds: float) -> Summary:
        """Return the counts after *seconds* of sending."""
        ordered, requests = sorted(self.latencies), self.by_status.total()
        return Summary(
            posts=self.settled,
            requests=requests,
            answered=self.answered,
            unanswered=self.settled - self.answered,
            retries=requests - self.settled,
            by_status=dict(sorted(self.by_status.items())),
            p50=percentile(ordered, 0.50),
            p99=percentile(ordered, 0.99),
            seconds=seconds,
            rate=requests / seconds if seconds else 0.0,
        )


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that at least *share* of the values do not exceed; 0 if there are none."""
    if not ordered:
        return 0.0
    return ordered[max(0, -(-len(ordered) * round(share * 100) // 100) - 1)]


class Sender:
    """Hands posts to a pool of threads when they are due. One condition guards all of its state."""

    def __init__(
        self,
        endpoint: WebhookEndpoint,
        posts: Iterator[Post],
        ledger: Ledger,
        policy: RetryPolicy,
        rate: float,
    ) -> None:
        self._endpoint = endpoint
        self._posts = posts
        self._ledger = ledger
        self._policy = policy
        self._interval = 1 / rate if rate else 0.0
        # The next new post and every retry: when it is due, a number that breaks ties, and its attempt.
        self._waiting: list[tuple[float, int, Post, int]] = []
        self._tie = count()
        self._in_flight = 0
        self._tally = Tally()
        self._changed = threading.Condition()

    def run(self, threads: int, progress: Callable[[Tally], None]) -> Summary:
        """Send everything; blocks until each post is answered or given up.

        An interrupt is raised again when the requests in flight have ended; the ledger is complete then.
        """
        started = shown = time.monotonic()
        self._add_post(started)
        with ThreadPoolExecutor(threads, "sender") as pool:
            # In this order: a request that ends adds its retry first.
            while self._in_flight or self._waiting:
                if due := self._wait_for_post(threads):
                    pool.submit(self._send, *due)
                if time.monotonic() - shown >= PROGRESS_SECONDS:
                    shown = time.monotonic()
                    progress(self._tally)
        progress(self._tally)
        return self._tally.summarise(time.monotonic() - started)

    def _wait_for_post(self, threads: int) -> tuple[Post, int] | None:
        """Return a post that is due and its attempt's number; return None after a wait instead."""
        with self._changed:
            now = time.monotonic()
            can_send = self._waiting and self._in_flight < threads
            seconds = self._waiting[0][0] - now if can_send else PROGRESS_SECONDS
            if seconds > 0:
                self._changed.wait(min(seconds, PROGRESS_SECONDS))
                return None
            due_at, _, post, attempt = heapq.heappop(self._waiting)
            if attempt == 1:
                self._add_post(max(due_at + self._interval, now - 1.0) if self._interval else now)
            self._in_flight += 1
            return post, attempt

    def _add_post(self, due_at: float) -> None:
        if post := next(self._posts, None):
            heapq.heappush(self._waiting, (due_at, next(self._tie), post, 1))

    def _send(self, post: Post, attempt: int) -> None:
        response = self._endpoint.post(post.body)
        delay = retry_delay(self._policy, response, attempt=attempt)
        with self._changed:
            self._tally.add_request(response)
            if delay is None:
                self._tally.settled += 1
                self._tally.answered += response.status == 200
                self._ledger.add(post, status=response.status, attempts=attempt)
            else:
                due_at = time.monotonic() + delay
                heapq.heappush(self._waiting, (due_at, next(self._tie), post, attempt + 1))
            self._in_flight -= 1
            self._changed.notify()
