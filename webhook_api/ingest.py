"""Take one webhook in: admission, size, signature, journal, hand-over, answer. In this order, nothing else.

Both ways to here, Flask's view and the short way to it (webhook_api/application.py), call the same function.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final

from messaging.envelope import REQUEST_ID_LENGTH, WEBHOOK, encode_properties
from webhook_api.answer import Answer
from webhook_api.http import ANSWER_AFTER, REQUEST_ID, environ_key
from webhook_api.journal import JournalFullError
from webhook_api.signature import HEADER, SignatureVerifier, explain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from messaging.clock import Clock
    from webhook_api.backpressure import Gate
    from webhook_api.refusals import Refusals
    from webhook_api.relay import Relay
    from webhook_api.settings import EdgeSettings

SIGNATURE_KEY: Final = environ_key(HEADER)
REQUEST_ID_KEY: Final = "HTTP_X_REQUEST_ID"
RETRY_SECONDS: Final = 5
"""The platform's own pause between retries; a longer one would only cost it attempts."""


ACCEPTED: Final = Answer(200, "accepted")
UNAUTHORIZED: Final = Answer(401, "unauthorized")
NOT_FOUND: Final = Answer(404, "not found")
JOURNAL_FULL: Final = Answer(503, "journal full", RETRY_SECONDS)
NOT_KEPT: Final = Answer(503, "journal not written", RETRY_SECONDS)
"""Instead of ACCEPTED when the disk failed the turn's events. One that it failed to flush may take effect all
the same, once."""

EMPTY: Final = Answer(400, "empty body")
TOO_LARGE: Final = Answer(413, "body too large")


class Ingest:
    """The way of a webhook through the edge.

    Args:
        settings: What the edge was told.
        gate: Whether it may come in.
        relay: Who keeps it.
        clock: Where time comes from.
        refusals: Told of each.
        token: Unique to this process; the first part of every message id.
    """

    def __init__(
        self,
        settings: EdgeSettings,
        gate: Gate,
        relay: Relay,
        clock: Clock,
        *,
        refusals: Refusals,
        token: str,
    ) -> None:
        self._gate = gate
        self._refusals = refusals
        self._relay = relay
        self._clock = clock
        self._token = token
        self._verifier = SignatureVerifier(settings.secrets)
        self._needs_signature = not settings.allow_unsigned
        self._has_secrets = bool(settings.secrets)
        self._required = [
            (name, environ_key(name), value.encode()) for name, value in settings.required_headers.items()
        ]
        self._bus_headers = [(environ_key(name), value.encode()) for name, value in settings.events_headers]
        self._number = 0
        self.max_body_bytes = settings.max_body_bytes

    @property
    def verified(self) -> list[int]:
        """How many bodies each secret has signed, newest secret first."""
        return self._verifier.verified

    @property
    def is_admitting(self) -> bool:
        """Whether a webhook would be admitted now."""
        return not self._gate.is_shedding

    def accept(self, environ: dict[str, Any], read_body: Callable[[], bytes]) -> Answer:
        """Take one webhook in.

        Args:
            environ: As WSGI has it.
            read_body: Returns the whole body, undecoded; called once admitted.

        Returns:
            ACCEPTED, which may leave when the event is in the journal: see `ANSWER_AFTER`.
        """
        if self._gate.is_shedding:
            return self._refuse(self._too_many(), environ)
        body = read_body()
        if len(body) > self.max_body_bytes:
            return self._refuse(TOO_LARGE, environ)
        signature = environ.get(SIGNATURE_KEY, "").encode("latin-1")
        # Without a signature, a secret among the required headers is the proof (OM_ALLOW_UNSIGNED).
        if (self._needs_signature or (signature and self._has_secrets)) and not self._verifier.is_genuine(
            body, signature
        ):
            return self._refuse(UNAUTHORIZED, environ, explain(signature))
        for name, key, value in self._required:
            if not hmac.compare_digest(environ.get(key, "").encode("latin-1"), value):
                return self._refuse(UNAUTHORIZED, environ, f"header {name} missing or wrong")
        return self._keep(body, environ) if body else self._refuse(EMPTY, environ)

    def accept_from_bus(self, environ: dict[str, Any], read_body: Callable[[], bytes]) -> Answer:
        """Take one event in that EventBridge brings, which signs nothing: a header is what it can prove.

        Args:
            environ: As WSGI has it.
            read_body: Returns the whole body, undecoded; called once admitted.

        Returns:
            As `accept`; NOT_FOUND where no header is configured.
        """
        if not self._bus_headers:
            return NOT_FOUND
        if self._gate.is_shedding:
            return self._refuse(self._too_many(), environ)
        genuine = [
            hmac.compare_digest(environ.get(key, "").encode("latin-1"), value)
            for key, value in self._bus_headers
        ]
        if not any(genuine):
            return self._refuse(UNAUTHORIZED, environ, "none of OM_EVENTS_HEADERS")
        body = read_body()
        if len(body) > self.max_body_bytes:
            return self._refuse(TOO_LARGE, environ)
        return self._keep(body, environ) if body else self._refuse(EMPTY, environ)

    def _keep(self, body: bytes, environ: dict[str, Any]) -> Answer:
        self._number += 1
        message_id = f"{self._token}-{self._number:x}"
        request_id = environ.get(REQUEST_ID_KEY)
        request = request_id[:REQUEST_ID_LENGTH] if request_id else message_id
        properties = encode_properties(message_id, self._clock.now_us(), request, WEBHOOK)
        try:
            self._relay.accept(properties, body)
        except JournalFullError:
            return self._refuse(JOURNAL_FULL, environ)
        environ[REQUEST_ID] = request
        answer_after = environ.get(ANSWER_AFTER)
        if answer_after is None:
            return ACCEPTED if self._relay.keep_now() else NOT_KEPT
        # This turn's requests share one write, and one flush where that is wanted.
        answer_after(self._relay.when_kept, NOT_KEPT)
        return ACCEPTED

    def _too_many(self) -> Answer:
        return Answer(429, "too many requests", self._gate.retry_after())

    def _refuse(self, answer: Answer, environ: Mapping[str, Any], reason: str | None = None) -> Answer:
        """Take note of a refusal, under the id that the proxy gave the request."""
        request_id = environ.get(REQUEST_ID_KEY)
        facts = {"request_id": request_id[:REQUEST_ID_LENGTH]} if request_id else {}
        return self._refusals.note(answer, reason, **facts)
