"""Post a body to the webhook, signed, over connections that stay open."""

from __future__ import annotations

import time
from dataclasses import dataclass

import urllib3

from simulator.sender import signature
from simulator.sender.retry_policy import retry_after_seconds


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    Args:
        status: The HTTP status, None where no answer came in time.
        latency: Seconds from the first byte sent to the answer, or to giving up.
        retry_after: The seconds that the answer asked to wait, if it did.
    """

    status: int | None
    latency: float
    retry_after: float | None = None


class WebhookEndpoint:
    """The URL, its pool of connections and the secret. Threads share it."""

    def __init__(
        self,
        url: str,
        *,
        secret: bytes,
        timeout: float,
        connections: int,
        headers: dict[str, str] | None = None,
    ) -> None:
        # urllib3 itself: requests on top of it takes several times the edge's processor time per request.
        self._pool = urllib3.connection_from_url(url, maxsize=connections, timeout=timeout, retries=False)
        self._path = urllib3.util.parse_url(url).request_uri
        self._secret = secret
        self._headers = {
            "Content-Type": "application/json",
            "User-Agent": "omctl-simulate",
            **(headers or {}),
        }

    def post(self, body: bytes) -> Answer:
        """Send *body* once; blocks until the answer or the timeout."""
        headers = dict(self._headers)
        if self._secret:
            headers[signature.HEADER] = signature.sign(body, self._secret)
        started = time.perf_counter()
        try:
            answer = self._pool.request("POST", self._path, body=body, headers=headers, redirect=False)
        except urllib3.exceptions.HTTPError:
            return Answer(None, time.perf_counter() - started)
        latency = time.perf_counter() - started
        return Answer(answer.status, latency, retry_after_seconds(answer.headers.get("Retry-After")))

    def close(self) -> None:
        """Close every connection."""
        self._pool.close()
