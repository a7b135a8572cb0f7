"""Send agents a receipt for each message that deliver gave up on, and never send a receipt twice.

A POST that might have arrived is never repeated. Each POST is recorded as begun before it is sent. A receipt
whose POST has begun but has no recorded result is marked as unknown, so that an operator can check it.

Source:
    `POST /api/v2/conversations/messages/{integrationId}/inbound/open/receipt`: models ConversationReason,
    OpenInboundNormalizedReceipt and OpenInboundMessagingReceiptChannel of the official Python SDK 269.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import Connection, Engine, Row, select, update

from messaging.clock import Clock, delay_before
from messaging.errors import RejectedEventError, RetryLaterError
from messaging.log import logger
from workers.db.engine import insert_into, transact
from workers.db.models import event_payloads, failed_receipts
from workers.genesys.client import GenesysClient
from workers.genesys.errors import PlatformBusyError, PlatformRefusedError, PlatformUnavailableError
from workers.parsing import CONVERSATION_MESSAGE, moment_of, parse_body

SENT, REFUSED, UNKNOWN, GONE = "sent", "refused", "unknown", "gone"

STUCK_SECONDS: Final = 300.0
"""A request that started longer ago than this must have ended, because its time limits are far shorter."""

MAX_ATTEMPTS: Final = 50
"""Maximum number of attempts that are known to have had no effect. With delays of up to 5 minutes, this many
attempts take hours."""

_F: Final = failed_receipts.c
_PLAN: Final = insert_into(
    failed_receipts,
    ("event_id", "destination", "status", "reason", "due_at", "attempts"),
    "ON CONFLICT (event_id) DO NOTHING",
)


def make_receipt(
    body: bytes, status: int | None, reason: str | None, now: datetime
) -> tuple[str, dict[str, Any]] | None:
    """Return the path and content of the receipt for a message that a destination did not accept.

    Return None if no agent or bot wrote the message. *status* and *reason* are from the last attempt.
    """
    try:
        payload = parse_body(body)
    except RejectedEventError:
        return None
    match payload:
        case {
            "type": "Text" | "Structured",
            "id": str(message_id),
            "channel": {"id": str(integration_id), "to": {"id": str()} as recipient},
        } if payload.get("direction", "Outbound") == "Outbound":
            moment = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
            # The platform accepts only codes from a closed list.
            code = "ServerError" if status is None or status >= 500 else "GeneralError"
            code = "RateLimited" if status == 429 else code
            # Leave out the recipient's other fields, which are personal data.
            known = {name: recipient[name] for name in ("id", "idType") if name in recipient}
            integration = quote(integration_id, safe="", errors="replace")
            return f"/api/v2/conversations/messages/{integration}/inbound/open/receipt", {
                "id": message_id,
                "channel": {"to": known, "time": moment},
                "status": "Failed",
                "reasons": [{"code": code, "message": f"Not delivered: {reason or 'no answer'}"}],
                "isFinalReceipt": True,
            }
    return None


@dataclass(slots=True)
class FailedReceipts:
    """Plans receipts for messages that *destinations* did not accept, and sends them within the budget."""

    engine: Engine
    clock: Clock
    destinations: Collection[str]
    client: GenesysClient
    _unrecorded: tuple[int, dict[str, Any]] | None = None

    def plan(self, connection: Connection, given_up: Iterable[Row[Any]]) -> None:
        """Plan receipts for the given-up deliveries of agents' messages, in the connection's transaction."""
        now_us = self.clock.now_us()
        rows = [
            (row.event_id, row.destination, row.status, row.reason, now_us, 0)
            for row in given_up
            if row.destination in self.destinations
            and row.event_type == CONVERSATION_MESSAGE
            and row.body is not None
            and make_receipt(row.body, row.status, row.reason, self._now())
        ]
        if rows:
            _PLAN.execute(connection, rows)

    def send_failed_receipts(self) -> int:
        """Send one due receipt; return 1, or 0 if none was due; this can take seconds.

        If the database is away, RetryLaterError is raised, and the next call records this call's result.
        """
        self._record_last()
        row = transact(self.engine, self._begin)
        if row is None:
            return 0
        self._unrecorded = row.event_id, self._send(row)
        self._record_last()
        return 1

    def _record_last(self) -> None:
        """Record the result of the last request, which stays in memory until it is in the database."""
        if self._unrecorded is not None:
            event_id, values = self._unrecorded
            transact(self.engine, _update, event_id, values)
            self._unrecorded = None

    def _begin(self, connection: Connection) -> Row[Any] | None:
        """Record that a due receipt's request begins; mark as unknown any receipt whose request is stuck."""
        now = self._now()
        is_stuck = _F.outcome.is_(None) & (_F.begun_at < now - timedelta(seconds=STUCK_SECONDS))
        stuck = update(failed_receipts).where(is_stuck)
        connection.execute(stuck.values(outcome=UNKNOWN, finished_at=now))
        due = (
            select(failed_receipts, event_payloads.c.body)
            .outerjoin(event_payloads, event_payloads.c.event_id == _F.event_id)
            .where(_F.outcome.is_(None), _F.begun_at.is_(None), _F.due_at <= now)
            .order_by(_F.due_at)
            .limit(1)
            .with_for_update(of=failed_receipts, skip_locked=True)
        )
        row = connection.execute(due).first()
        if row is not None:
            _update(connection, row.event_id, {"begun_at": now, "attempts": row.attempts + 1})
        return row

    def _send(self, row: Row[Any]) -> dict[str, Any]:
        receipt = make_receipt(row.body or b"", row.status, row.reason, self._now())
        if receipt is None:
            return self._end(row, GONE)
        try:
            self.client.send("POST", *receipt)
        except RetryLaterError as error:
            # Any other error is from the database, which stores the budget and is queried before the request.
            is_platform = isinstance(error, PlatformUnavailableError)
            if isinstance(error, PlatformUnavailableError) and error.may_have_arrived:
                return self._end(row, UNKNOWN, str(error))
            is_attempt = is_platform and not isinstance(error, PlatformBusyError)
            return self._put_off(row, error.delay, str(error), is_attempt=is_attempt)
        except PlatformRefusedError as error:
            if error.is_of_credentials:
                return self._put_off(row, 0.0, str(error), is_attempt=True)
            return self._end(row, REFUSED, str(error))
        return self._end(row, SENT)

    def _end(self, row: Row[Any], outcome: str, problem: str | None = None) -> dict[str, Any]:
        log = logger().info if outcome == SENT else logger().warning
        event = {"event_id": row.event_id, "destination": row.destination}
        log("failed_receipt", outcome=outcome, problem=problem, **event)
        return {"outcome": outcome, "problem": problem, "finished_at": self._now()}

    def _put_off(self, row: Row[Any], delay: float, problem: str, *, is_attempt: bool) -> dict[str, Any]:
        """Schedule a receipt's retry; count an attempt only if a request was made."""
        attempts = row.attempts + is_attempt
        if attempts >= MAX_ATTEMPTS:
            return self._end(row, REFUSED, problem)
        backoff = delay_before(attempts + 1, first_seconds=2.0, cap_seconds=300.0)
        due = self._now() + timedelta(seconds=max(1.0, delay, backoff))
        return {"begun_at": None, "due_at": due, "problem": problem, "attempts": attempts}

    def _now(self) -> datetime:
        return moment_of(self.clock.now_us())


def _update(connection: Connection, event_id: int, values: dict[str, Any]) -> None:
    connection.execute(update(failed_receipts).where(_F.event_id == event_id).values(**values))
