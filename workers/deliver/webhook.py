"""Send an event to a destination, in one request that follows the Standard Webhooks specification."""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final

import requests
from standardwebhooks.webhooks import Webhook
from urllib3 import BaseHTTPResponse, exceptions

from messaging.clock import Clock
from workers.deliver.destinations import Destination
from workers.deliver.outcome import HttpResult
from workers.http_deadline import DeadlineAdapter, begin_deadline, parse_retry_after, shorten_deadline
from workers.parsing import moment_of

MAX_RETRY_AFTER_SECONDS: Final = 3600.0
MAX_ANSWER_BYTES: Final = 65_536
BODY_SECONDS: Final = 0.2
"""A response's body is read only so that its connection can be reused; the result depends on the status
alone. If the body is longer than MAX_ANSWER_BYTES or takes longer than this, the connection is closed."""

REASONS: Final = (
    (exceptions.NewConnectionError, "connection"),
    (exceptions.ConnectTimeoutError, "connect_timeout"),
    (exceptions.TimeoutError, "timeout"),
    (exceptions.SSLError, "tls"),
    (exceptions.ProxyError, "proxy"),
    (exceptions.ProtocolError, "connection"),
)


@dataclass(frozen=True, slots=True)
class WebhookMessage:
    """One event for one destination.

    Args:
        outbox_id: The event's row in the outbox; later events of a conversation have higher ids.
        verified: Whether the platform confirmed the routing; None if the platform was not queried.
        payload: The platform's body, byte for byte; None for a session start that no webhook reported.
        is_lost: Whether the event's payload was deleted at the end of its retention time.
    """

    outbox_id: int
    conversation_id: str
    event_type: str
    occurred_at: datetime
    created_at_us: int
    late: bool
    verified: bool | None
    payload: bytes | None
    is_lost: bool = False

    @property
    def webhook_id(self) -> str:
        """The message's id, which is the same in all attempts."""
        return make_webhook_id(self.outbox_id, self.created_at_us)


def make_webhook_id(outbox_id: int, created_at_us: int) -> str:
    """Return the id of an outbox row's message; the creation time makes it unique even across databases."""
    return f"msg_{created_at_us:x}_{outbox_id}"


def build_body(message: WebhookMessage) -> bytes:
    """Return the request's body: JSON that contains the payload as received, byte for byte."""
    envelope = {
        "type": message.event_type,
        "timestamp": message.occurred_at.astimezone(UTC).isoformat(timespec="microseconds"),
        "conversation_id": message.conversation_id,
        "sequence": message.outbox_id,
        "late": message.late,
        "verified": message.verified,
    }
    head = json.dumps(envelope, ensure_ascii=False, separators=(",", ":"))
    return head[:-1].encode() + b',"data":' + (message.payload or b"null") + b"}"


def build_headers(webhook_id: str, body: bytes, signers: Sequence[Webhook], now: datetime) -> dict[str, str]:
    """Return the headers of one attempt; the signatures cover the id, the time and the body."""
    text = body.decode()
    return {
        "Content-Type": "application/json",
        "User-Agent": "open-messaging-ingest",
        "Idempotency-Key": webhook_id,
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signer.sign(webhook_id, now, text) for signer in signers),
    }


class Transport:
    """Sends requests to one destination. Several threads may use it, and share its connections.

    Signatures contain the time of *clock*, because receivers refuse a signature whose time is minutes off.
    The requests library finds the proxy and certificates, but urllib3 sends the events, because a requests
    session would take a quarter to a third more processor time for each event.
    """

    def __init__(self, destination: Destination, clock: Clock) -> None:
        self._destination = destination
        self._clock = clock
        self._signers = [Webhook(secret) for secret in destination.secrets]
        session = requests.Session()
        session.headers.clear()
        # Read the settings for proxies and certificates from the environment only once, for all requests.
        self._options: Any = session.merge_environment_settings(destination.url, {}, None, None, None)
        self._prepared = session.prepare_request(requests.Request("POST", destination.url))
        del self._prepared.headers["Content-Length"]

    @cached_property
    def _pool(self) -> tuple[Any, str]:
        """The connections to the destination, and the URL to request over them."""
        verify, cert, proxies = (self._options[name] for name in ("verify", "cert", "proxies"))
        threads = self._destination.concurrency
        adapter: Any = DeadlineAdapter(max_answer_bytes=MAX_ANSWER_BYTES, connections=threads)
        pool = adapter.get_connection_with_tls_context(self._prepared, verify, proxies, cert)
        # Pass the scheme, not the URL: requests verifies no certificate if a character precedes "https".
        adapter.cert_verify(pool, pool.scheme, verify, cert)
        return pool, adapter.request_url(self._prepared, proxies)

    def send(self, message: WebhookMessage) -> HttpResult:
        """Post *message* once, without following redirects or keeping cookies.

        Blocks for at most the destination's timeout plus a DNS lookup. Returns network errors as results.
        """
        now, body = moment_of(self._clock.now_us()), build_body(message)
        headers = {**self._prepared.headers, **build_headers(message.webhook_id, body, self._signers, now)}
        begin_deadline(self._destination.timeout, max_answer_bytes=MAX_ANSWER_BYTES)
        try:
            pool, url = self._pool
            response = pool.urlopen(
                "POST",
                url,
                body,
                headers,
                retries=False,
                redirect=False,
                assert_same_host=False,
                timeout=self._destination.timeout,
                preload_content=False,
            )
        except (requests.RequestException, exceptions.HTTPError) as error:
            return HttpResult(
                None, next((code for kind, code in REASONS if isinstance(error, kind)), "request")
            )
        _discard_body(response)
        seconds = parse_retry_after(response.headers.get("Retry-After"), now)
        if seconds is not None:
            seconds = min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)
        return HttpResult(response.status, str(response.status), seconds)


def _discard_body(response: BaseHTTPResponse) -> None:
    """Read a response's body if it is short, so that the connection can be reused."""
    shorten_deadline(BODY_SECONDS)
    with response, suppress(exceptions.HTTPError, OSError):
        # After an interim answer, such as 103, close the connection: the final answer is still to come.
        while response.status >= 200 and response.read(MAX_ANSWER_BYTES, decode_content=False):
            pass
