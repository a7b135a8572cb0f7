"""Take one webhook in: admission, size, signature, journal, hand-over, answer. In this order, nothing else.

Both ways to here, the short cut of the worker and the Flask view, call the same two functions.
"""

from __future__ import annotations

import hmac
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from messaging.envelope import WEBHOOK, encode_properties
from messaging.log import logger
from webhook_api.journal import JournalFullError
from webhook_api.signature import HEADER, SignatureVerifier, explain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from messaging.clock import Clock
    from webhook_api.handover import Handover
    from webhook_api.pressure import Gate
    from webhook_api.settings import EdgeSettings

SIGNATURE_HEADER: Final = HEADER.encode()
REQUEST_ID_HEADER: Final = b"x-request-id"
REQUEST_ID_BYTES: Final = 128
"""A longer one is cut: it is for people who search logs, not for data."""

JOURNAL_FULL_RETRY_SECONDS: Final = 5
"""The platform's own pause between retries; a longer one would only cost it attempts."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the sender is told.

    Args:
        status: The HTTP status code.
        text: One word or sentence for the answer's body.
        retry_after: Whole seconds, where there is a point in coming again.
    """

    status: int
    text: str
    retry_after: int | None = None


ACCEPTED: Final = Answer(200, "accepted")
UNAUTHORIZED: Final = Answer(401, "unauthorized")
NOT_FLUSHED: Final = Answer(503, "journal not flushed", JOURNAL_FULL_RETRY_SECONDS)
"""Instead of ACCEPTED when the disk failed to flush the event; it may take effect all the same, once."""

EMPTY: Final = Answer(400, "empty body")
TOO_LARGE: Final = Answer(413, "body too large")


def body_of(answer: Answer) -> str:
    """Return an answer's body: one JSON object."""
    return json.dumps({"status": answer.text}) + "\n"


class Ingest:
    """The way of a webhook through the edge.

    Args:
        settings: What the edge was told.
        gate: Whether it may come in.
        handover: Who keeps it.
        clock: Where time comes from.
        token: Unique to this process; the first part of every message id.
    """

    def __init__(
        self, settings: EdgeSettings, gate: Gate, handover: Handover, clock: Clock, token: str
    ) -> None:
        self._gate = gate
        self._handover = handover
        self._clock = clock
        self._token = token
        self._verifier = SignatureVerifier(settings.secrets)
        self._allow_unsigned = settings.allow_unsigned
        self._required = [(n.encode(), v.encode()) for n, v in settings.required_headers.items()]
        self._number = 0
        self._is_full = False
        self.max_body_bytes = settings.max_body_bytes

    def admit(self) -> Answer | None:
        """Refuse a request before its body is read, or let it in with None."""
        if self._gate.is_shedding:
            return Answer(429, "too many requests", self._gate.retry_after())
        return None

    def accept(self, body: bytes, headers: Mapping[bytes, bytes]) -> Answer:
        """Verify and keep one event that was admitted.

        Args:
            body: The whole body, undecoded.
            headers: Lower-case names.

        Returns:
            ACCEPTED once the event is in the journal.
        """
        if not (self._allow_unsigned or self._verifier.is_genuine(body, headers.get(SIGNATURE_HEADER, b""))):
            return self._refuse(explain(headers.get(SIGNATURE_HEADER, b"")), body)
        for name, value in self._required:
            if not hmac.compare_digest(headers.get(name, b""), value):
                return self._refuse(f"header {name.decode()} missing or wrong", body)
        if not body:
            return EMPTY
        return self._keep(body, headers.get(REQUEST_ID_HEADER))

    def _keep(self, body: bytes, request_id: bytes | None) -> Answer:
        self._number += 1
        message_id = f"{self._token}-{self._number:x}"
        request = request_id[:REQUEST_ID_BYTES].decode("latin-1") if request_id else message_id
        properties = encode_properties(message_id, self._clock.now_us(), request, WEBHOOK)
        try:
            self._handover.accept(properties, body)
        except JournalFullError:
            self._tell_full(is_full=True)
            return Answer(503, "journal full", JOURNAL_FULL_RETRY_SECONDS)
        if self._is_full:
            self._tell_full(is_full=False)
        return ACCEPTED

    def _tell_full(self, *, is_full: bool) -> None:
        """Log the first refusal and the first event kept again, not each of thousands."""
        if is_full and not self._is_full:
            logger().error("journal_full", consequence="senders are told 503 until there is room")
        if self._is_full and not is_full:
            logger().info("journal_has_room")
        self._is_full = is_full

    @staticmethod
    def _refuse(reason: str, body: bytes) -> Answer:
        logger().warning("webhook_refused", status=401, reason=reason, body_bytes=len(body))
        return UNAUTHORIZED
