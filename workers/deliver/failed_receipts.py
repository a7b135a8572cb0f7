"""Tell the agents of messages that were given up: once each, whatever happens in between.

A POST that may have arrived is never repeated: that it begins is on record before it does, and what is found
begun and not ended is left as unknown, for a person to look at.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select, update

from messaging.errors import RetryLaterError
from messaging.log import logger
from workers.db.engine import insert_into, transact
from workers.db.models import event_payloads, failed_receipts
from workers.deliver.failed_message import failed_message
from workers.genesys import PlatformBusyError, PlatformRefusedError, PlatformUnavailableError
from workers.parsing import CONVERSATION_MESSAGE, moment_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from sqlalchemy import Connection, Engine, Row

    from messaging.clock import Clock
    from workers.genesys import GenesysClient

SENT, REFUSED, UNKNOWN, GONE = "sent", "refused", "unknown", "gone"

STUCK_SECONDS: Final = 300.0
"""So long after its beginning no request is under way any more: its time limits are a fraction of that."""

MOST_ATTEMPTS: Final = 50
"""Requests that never left, or met a limit; with pauses of up to five minutes they last for hours."""

LONGEST_PAUSE_SECONDS: Final = 300.0

_F: Final = failed_receipts.c
_OWE: Final = insert_into(
    failed_receipts,
    ("event_id", "destination", "status", "reason", "due_at", "attempts"),
    "ON CONFLICT (event_id) DO NOTHING",
)


class FailedReceipts:
    """Owes receipts for what is given up, and sends them.

    Args:
        engine: The database.
        clock: Our time.
        destinations: Those by which a message reaches its customer; others' failures are no agent's matter.
        client: The way to the platform, within the budget.
    """

    def __init__(
        self, engine: Engine, clock: Clock, destinations: Collection[str], client: GenesysClient
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._destinations = destinations
        self._client = client
        self._unnoted: tuple[int, dict[str, Any]] | None = None

    def owe(self, connection: Connection, given_up: Iterable[Row[Any]]) -> None:
        """Put on record which of these deliveries an agent is to be told of, within the transaction."""
        now_us = self._clock.now_us()
        rows = [
            (row.event_id, row.destination, row.status, row.reason, now_us, 0)
            for row in given_up
            if row.destination in self._destinations
            and row.event_type == CONVERSATION_MESSAGE
            and row.body is not None
            and failed_message(row.body)
        ]
        if rows:
            _OWE.execute(connection, rows)

    def send_failed_receipts(self) -> int:
        """Send one that is due, and return how many it were; blocks for seconds.

        Raises:
            RetryLaterError: The database is away; what became of the last one is noted by the next call.
        """
        self._note_last()
        row = transact(self._engine, self._begin)
        if row is None:
            return 0
        self._unnoted = row.event_id, self._send(row)
        self._note_last()
        return 1

    def _note_last(self) -> None:
        """Put on record what became of the last one; it is remembered until a database has taken it."""
        if self._unnoted is not None:
            event_id, values = self._unnoted
            transact(self._engine, lambda connection: self._note(connection, event_id, values))
            self._unnoted = None

    def _begin(self, connection: Connection) -> Row[Any] | None:
        """Put on record that one begins; what began long ago and has no end is unknown."""
        now = self._now()
        stuck = update(failed_receipts).where(
            _F.outcome.is_(None), _F.begun_at < now - timedelta(seconds=STUCK_SECONDS)
        )
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
            self._note(connection, row.event_id, {"begun_at": now, "attempts": row.attempts + 1})
        return row

    def _send(self, row: Row[Any]) -> dict[str, Any]:
        """Send a receipt, and return what is to be noted of it."""
        message = failed_message(row.body) if row.body is not None else None
        if message is None:
            return self._ended(row, GONE)
        receipt = message.receipt(row.status, row.reason, self._clock.now_us())
        try:
            self._client.post(message.path, receipt)
        except RetryLaterError as error:
            # A database that is away is met when the budget is asked: nothing has left then.
            if isinstance(error, PlatformUnavailableError) and error.may_have_arrived:
                return self._ended(row, UNKNOWN, str(error))
            # Only a request that was made is an attempt: not one that found no budget, login or database.
            is_attempt = isinstance(error, PlatformUnavailableError) and not isinstance(
                error, PlatformBusyError
            )
            return self._put_off(row, error.delay, str(error), is_attempt=is_attempt)
        except PlatformRefusedError as error:
            if error.is_of_credentials:
                return self._put_off(row, 0.0, str(error), is_attempt=True)
            return self._ended(row, REFUSED, str(error))
        return self._ended(row, SENT)

    def _ended(self, row: Row[Any], outcome: str, problem: str | None = None) -> dict[str, Any]:
        log = logger().info if outcome == SENT else logger().warning
        log(
            "failed_receipt",
            outcome=outcome,
            event_id=row.event_id,
            destination=row.destination,
            problem=problem,
        )
        return {"outcome": outcome, "problem": problem, "finished_at": self._now()}

    def _put_off(self, row: Row[Any], delay: float, problem: str, *, is_attempt: bool) -> dict[str, Any]:
        """Try it again later: it has not arrived."""
        attempts = row.attempts + is_attempt
        if attempts >= MOST_ATTEMPTS:
            return self._ended(row, REFUSED, problem)
        pause = max(delay, min(LONGEST_PAUSE_SECONDS, 2.0 ** min(attempts, 10)))
        due = self._now() + timedelta(seconds=pause)
        return {"begun_at": None, "due_at": due, "problem": problem, "attempts": attempts}

    def _note(self, connection: Connection, event_id: int, values: dict[str, Any]) -> None:
        connection.execute(update(failed_receipts).where(_F.event_id == event_id).values(**values))

    def _now(self) -> Any:
        return moment_of(self._clock.now_us())
