"""Send a request to a destination before its deadline, without following redirects or keeping cookies."""

from __future__ import annotations

import threading
from contextlib import suppress
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, Final

import requests
from standardwebhooks.webhooks import Webhook
from urllib3.exceptions import HTTPError

from workers.deliver.judgement import Answer, retry_after
from workers.deliver.message import headers_of
from workers.http_deadline import DeadlineAdapter, shorten_deadline
from workers.parsing import moment_of

if TYPE_CHECKING:
    from messaging.clock import Clock
    from workers.deliver.destinations import Destination

MAX_ANSWER_BYTES: Final = 65_536
BODY_SECONDS: Final = 0.2
"""An answer's body is read, and thrown away, only so that its connection can be used again: if it is longer,
or takes longer, the connection is closed. The status has decided already."""

REASONS: Final = (
    (requests.ConnectTimeout, "connect_timeout"),
    (requests.Timeout, "timeout"),
    (requests.exceptions.SSLError, "tls"),
    (requests.exceptions.ProxyError, "proxy"),
    (requests.ConnectionError, "connection"),
)


class Transport:
    """The way to one destination; may be used by several threads, each with connections of its own.

    Args:
        destination: Where.
        clock: The time of the signatures. Receivers refuse one that is minutes from their own.
    """

    def __init__(self, destination: Destination, clock: Clock) -> None:
        self._destination = destination
        self._clock = clock
        self._signers = [Webhook(secret) for secret in destination.secrets]
        session = requests.Session()
        # Proxies and certificates are what the environment says, read once and not for each request.
        self._options: Any = session.merge_environment_settings(destination.url, {}, True, None, None)
        self._prepared = session.prepare_request(requests.Request("POST", destination.url))
        self._local = threading.local()

    def send(self, webhook_id: str, body: bytes) -> Answer:
        """Post *body* once; blocks for the destination's timeout at most, and for the lookup of its name.

        Returns:
            What came of it; nothing is raised for what the network does.
        """
        now = moment_of(self._clock.now_us())
        request = self._prepared.copy()
        request.headers.update(headers_of(webhook_id, body, self._signers, now))
        request.body = body
        request.prepare_content_length(body)
        try:
            answer = self._session().send(
                request,
                timeout=self._destination.timeout,
                allow_redirects=False,
                **self._options,
            )
        except requests.RequestException as error:
            return Answer(None, next((word for kind, word in REASONS if isinstance(error, kind)), "request"))
        _discard_body(answer)
        asked = retry_after(answer.headers.get("Retry-After"), now)
        return Answer(answer.status_code, str(answer.status_code), asked)

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            for scheme in ("http://", "https://"):
                session.mount(scheme, DeadlineAdapter(max_answer_bytes=MAX_ANSWER_BYTES))
            session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        return session


def _discard_body(answer: requests.Response) -> None:
    """Read the rest of a short body, so that the connection is free."""
    shorten_deadline(BODY_SECONDS)
    with answer, suppress(HTTPError, OSError):
        while answer.raw.read(MAX_ANSWER_BYTES):
            pass
