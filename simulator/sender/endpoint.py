"""Post a signed body to a webhook, and decide whether the platform would send it again."""

import base64
import hmac
import time
from dataclasses import dataclass
from typing import Final

import urllib3

SIGNATURE_HEADER: Final = "X-Hub-Signature-256"


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


def retry_delay(
    policy: RetryPolicy, *, attempt: int, status: int | None, retry_after: float | None
) -> float | None:
    """Return the seconds to wait before the next attempt, or None if *attempt* was the last one."""
    if not is_retryable(status) or attempt > policy.retries:
        return None
    if policy.honours_retry_after and retry_after is not None:
        return retry_after
    return policy.delay


def is_retryable(status: int | None) -> bool:
    """Return whether the platform sends again: after no answer, 429 or 5xx.

    The documentation does not mention a refused or broken connection; we assume that it counts as no answer.
    """
    return status is None or status == 429 or status >= 500


def parse_retry_after(header: str | None) -> float | None:
    """Return the seconds in a Retry-After header; its date form is ignored."""
    return float(header) if header is not None and header.isascii() and header.isdigit() else None


def sign(body: bytes, secret: bytes) -> str:
    """Return the signature header's value; written here again so that it checks the service's own code.

    Source: Genesys Cloud, "Validate webhook notifications".
    """
    return "sha256=" + base64.b64encode(hmac.digest(secret, body, "sha256")).decode()


class WebhookEndpoint:
    """A webhook's URL, secret and pool of open connections; safe for use by several threads."""

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
        latency = time.perf_counter() - started
        return WebhookResponse(
            response.status, latency, parse_retry_after(response.headers.get("Retry-After"))
        )

    def close(self) -> None:
        """Close every connection."""
        self._pool.close()
