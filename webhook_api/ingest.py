"""Accept a webhook: check admission, size and signature, in that order, and append it to the journal.

Flask's view and the short path (webhook_api/application.py) both call `Ingest.accept`.
"""

import hmac
import secrets
from collections.abc import Callable, Mapping
from typing import Any, Final

from messaging.clock import Clock
from messaging.envelope import CANARY, CANARY_HEADER, REQUEST_ID_LENGTH, WEBHOOK, encode_properties
from webhook_api.answers import Answers
from webhook_api.backpressure import LoadShedder
from webhook_api.http import REQUEST_ID, Response, environ_key
from webhook_api.journal import JournalFullError
from webhook_api.relay import Relay
from webhook_api.settings import EdgeSettings
from webhook_api.signature import HEADER, SignatureVerifier, explain

SIGNATURE_KEY: Final = environ_key(HEADER)
REQUEST_ID_KEY: Final = "HTTP_X_REQUEST_ID"
CANARY_KEY: Final = environ_key(CANARY_HEADER)
RETRY_SECONDS: Final = 5
"""Retry-After of a 503: the platform's own pause between retries. A longer one would mean fewer attempts."""

ACCEPTED: Final = Response(200, "accepted")
UNAUTHORIZED: Final = Response(401, "unauthorized")
NOT_FOUND: Final = Response(404, "not found")
JOURNAL_FULL: Final = Response(503, "journal full", RETRY_SECONDS)
NOT_DURABLE: Final = Response(503, "journal not written", RETRY_SECONDS)
"""Sent instead of ACCEPTED if the disk failed to write or flush the events of the loop's turn. An event that
was written but not flushed can still take effect, once."""

EMPTY: Final = Response(400, "empty body")
TOO_LARGE: Final = Response(413, "body too large")


class Ingest:
    """Decides whether webhooks are accepted, and passes accepted events to the relay."""

    def __init__(
        self, settings: EdgeSettings, shedder: LoadShedder, relay: Relay, clock: Clock, answers: Answers
    ) -> None:
        self._shedder = shedder
        self._answers = answers
        self._relay = relay
        self._clock = clock
        self._token = secrets.token_hex(8)
        self._verifier = SignatureVerifier(settings.secrets)
        self._needs_signature = not settings.allow_unsigned
        self._has_secrets = bool(settings.secrets)
        self._required = [
            (name, environ_key(name), value.encode()) for name, value in settings.required_headers
        ]
        self._bus_headers = [(environ_key(name), value.encode()) for name, value in settings.events_headers]
        self._number = 0
        self.max_body_bytes = settings.max_body_bytes

    @property
    def verified(self) -> list[int]:
        """The number of genuine bodies that were signed with each secret; the newest secret comes first."""
        return self._verifier.verified

    def accept(self, environ: dict[str, Any], read_body: Callable[[], bytes]) -> Response:
        """Accept or refuse one webhook.

        *environ* is the WSGI environ; REQUEST_ID is added to it on acceptance. *read_body* returns
        the whole undecoded body, and is called only if the webhook is admitted. Return a refusal or ACCEPTED,
        which must be sent only when the event is durable (see `Relay.accept`).
        """
        if self._shedder.is_shedding:
            return self.refuse(self._too_many(), environ)
        body = read_body()
        if len(body) > self.max_body_bytes:
            return self.refuse(TOO_LARGE, environ)
        signature = environ.get(SIGNATURE_KEY, "").encode("latin-1")
        # If OM_ALLOW_UNSIGNED is set, a secret in a required header authenticates an unsigned request.
        if (self._needs_signature or (signature and self._has_secrets)) and not self._verifier.is_genuine(
            body, signature
        ):
            return self.refuse(UNAUTHORIZED, environ, explain(signature))
        for name, key, value in self._required:
            if not _matches(environ, key, value):
                return self.refuse(UNAUTHORIZED, environ, f"header {name} missing or wrong")
        return self._journal(body, environ)

    def accept_from_bus(self, environ: dict[str, Any], read_body: Callable[[], bytes]) -> Response:
        """Accept or refuse an event from EventBridge, which sends a secret header instead of a signature.

        Arguments and results are the same as for `accept`. Return NOT_FOUND if OM_EVENTS_HEADERS is not set.
        """
        if not self._bus_headers:
            return NOT_FOUND
        if self._shedder.is_shedding:
            return self.refuse(self._too_many(), environ)
        # Compare every header, so that the response time does not show which header matches.
        matches = [_matches(environ, key, value) for key, value in self._bus_headers]
        if not any(matches):
            return self.refuse(UNAUTHORIZED, environ, "no header of OM_EVENTS_HEADERS matches")
        body = read_body()
        if len(body) > self.max_body_bytes:
            return self.refuse(TOO_LARGE, environ)
        return self._journal(body, environ)

    def _journal(self, body: bytes, environ: dict[str, Any]) -> Response:
        if not body:
            return self.refuse(EMPTY, environ)
        self._number += 1
        message_id = f"{self._token}-{self._number:x}"
        request_id = environ.get(REQUEST_ID_KEY)
        request = request_id[:REQUEST_ID_LENGTH] if request_id else message_id
        source = CANARY if CANARY_KEY in environ else WEBHOOK
        properties = encode_properties(message_id, self._clock.now_us(), request, source)
        accept = self._relay.accept if source is WEBHOOK else self._relay.accept_canary
        try:
            accept(properties, body)
        except JournalFullError:
            return self.refuse(JOURNAL_FULL, environ)
        environ[REQUEST_ID] = request
        return ACCEPTED

    def _too_many(self) -> Response:
        return Response(429, "too many requests", self._shedder.retry_after())

    def refuse(self, response: Response, environ: Mapping[str, Any], reason: str | None = None) -> Response:
        """Count and log a refusal, with the request id that the proxy assigned."""
        request_id = environ.get(REQUEST_ID_KEY)
        facts = {"request_id": request_id[:REQUEST_ID_LENGTH]} if request_id else {}
        return self._answers.refuse(response, reason, **facts)


def _matches(environ: Mapping[str, Any], key: str, value: bytes) -> bool:
    return hmac.compare_digest(environ.get(key, "").encode("latin-1"), value)
