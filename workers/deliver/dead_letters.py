"""Publish a dead letter for each delivery that the database records as given up."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, literal_column, select, update

from messaging.admin import DestinationDeadLetter, publish_dead_letters
from messaging.clock import Clock
from messaging.envelope import WEBHOOK, Envelope
from messaging.errors import BrokerUnavailableError, ConfigurationError, RetryLaterError
from messaging.log import logger
from workers.db.engine import transact
from workers.db.models import deliveries, event_payloads, outbox, processed_events
from workers.deliver.leasing import MESSAGE_COLUMNS, to_message
from workers.deliver.webhook import build_body, make_webhook_id
from workers.genesys import FailedReceipts
from workers.isolation import isolate
from workers.parsing import microseconds_of, moment_of

DEAD: Final = "dead"

BATCH_ROWS: Final = 100
"""Maximum number of dead letters published over one connection; small, because bodies can be large."""

LEASE_SECONDS: Final = 60.0

SET_ASIDE_SECONDS: Final = 3600.0
"""Delay before a dead letter that cannot be read or published is retried; the others do not wait for it."""

_D: Final = deliveries.c
# Use a literal, because PostgreSQL uses a partial index only if the query contains the index's condition.
_DEAD: Final[Any] = literal_column(f"'{DEAD}'")
_E: Final = processed_events.c


Key = tuple[int, str]
"""The key of a delivery: outbox id and destination."""


@dataclass(frozen=True, slots=True)
class DeadLetterPublisher:
    """Publishes given-up deliveries to the dead-letter exchange; also plans receipts if *receipts* is set."""

    engine: Engine
    clock: Clock
    amqp_urls: tuple[str, ...]
    receipts: FailedReceipts | None = None

    def publish_dead_letters(self) -> int:
        """Publish a batch of dead letters with publisher confirms; return their number. This takes seconds.

        If the process is killed before it records them as published, they are published again with the same
        message ids. If the broker is away, records the confirmed dead letters and raises RetryLaterError.
        """
        return isolate(transact(self.engine, self._lease), self._publish, self._set_aside)

    def publish_and_rest(self) -> int:
        """Publish a batch; return 0, so that the role pauses and dead letters do not slow down deliveries."""
        self.publish_dead_letters()
        return 0

    def _publish(self, keys: Sequence[Key]) -> int:
        rows = transact(self.engine, _read, keys)
        # Make all dead letters first, so that an unusable row raises its error before anything is published.
        made = [_make_dead_letter(row) for row in rows]
        confirmed: list[Row[Any]] = []
        try:
            published = publish_dead_letters(self.amqp_urls, iter(made))
            # Because of strict=True, zip reads the iterator to its end, which closes the connection.
            for row, _ in zip(rows, published, strict=True):
                confirmed.append(row)
        except (BrokerUnavailableError, ConfigurationError) as error:
            # The broker also refuses logins while a node starts or a password changes; no row is at fault.
            rest = [_key(row) for row in rows[len(confirmed) :]]
            transact(self.engine, self._update, rest, due_at=self._now())
            raise RetryLaterError(str(error)) from None
        finally:
            # Record confirmed dead letters even after a failure, so that a retry does not publish them again.
            self._record_published(confirmed)
        return len(confirmed)

    def _set_aside(self, key: Key, error: Exception) -> None:
        logger().error(
            "dead_letter_not_published", outbox_id=key[0], destination=key[1], reason=type(error).__name__
        )
        transact(self.engine, self._update, [key], due_at=self._now(SET_ASIDE_SECONDS))

    def _lease(self, connection: Connection) -> list[Key]:
        unpublished = (
            select(_D.outbox_id, _D.destination)
            .where(_D.outcome == _DEAD, _D.dead_lettered_at.is_(None), _D.due_at <= self._now())
            .order_by(_D.outbox_id)
            .limit(BATCH_ROWS)
            .with_for_update(skip_locked=True)
        )
        keys = [(row[0], row[1]) for row in connection.execute(unpublished)]
        self._update(connection, keys, due_at=self._now(LEASE_SECONDS))
        return keys

    def _record_published(self, rows: Sequence[Row[Any]]) -> None:
        def record(connection: Connection) -> None:
            # A delivery that an operator has resent in the meantime is not updated, because its outcome is no
            # longer DEAD. If deliver gives up on it again, its dead letter is published again.
            self._update(connection, [_key(row) for row in rows], dead_lettered_at=self._now())
            if self.receipts is not None:
                self.receipts.plan(connection, rows)

        transact(self.engine, record)
        for row in rows:
            logger().warning("destination_dead_lettered", destination=row.destination, outbox_id=row.id)

    def _update(self, connection: Connection, /, keys: Sequence[Key], **values: object) -> None:
        # Select by ids, not pairs: with pairs, a query plan made for an empty table would scan every row.
        for name in {destination for _, destination in keys}:
            ids = [outbox_id for outbox_id, destination in keys if destination == name]
            rows = update(deliveries).where(_D.destination == name, _D.outbox_id.in_(ids), _D.outcome == DEAD)
            connection.execute(rows.values(**values))

    def _now(self, ahead_seconds: float = 0.0) -> datetime:
        return moment_of(self.clock.now_us() + round(ahead_seconds * 1_000_000))


def make_dead_letter_id(destination: str, outbox_id: int, created_at_us: int) -> str:
    """Return the message id of a dead letter; all copies of a dead letter have the same id."""
    return f"{destination}:{make_webhook_id(outbox_id, created_at_us)}"


def _read(connection: Connection, keys: Sequence[Key]) -> list[Any]:
    query = (
        select(
            *MESSAGE_COLUMNS, _D.destination, _D.reason, _D.status, _E.source, _E.received_at, _E.message_id
        )
        .join(outbox, outbox.c.id == _D.outbox_id)
        .outerjoin(processed_events, _E.id == outbox.c.event_id)
        .outerjoin(event_payloads, event_payloads.c.event_id == outbox.c.event_id)
        .where(_D.outbox_id.in_([outbox_id for outbox_id, _ in keys]), _D.dead_lettered_at.is_(None))
        .order_by(_D.outbox_id)
    )
    return [row for row in connection.execute(query) if _key(row) in keys]


def _key(row: Any) -> Key:
    return row.id, row.destination


def _make_dead_letter(row: Row[Any]) -> DestinationDeadLetter:
    """Return a dead letter that contains the body as received or, if that is missing, the body to be sent."""
    message = to_message(row)
    envelope = Envelope(
        message_id=make_dead_letter_id(row.destination, message.outbox_id, message.created_at_us),
        received_at_us=microseconds_of(row.received_at or row.created_at),
        request_id=row.message_id or "",
        source=row.source or WEBHOOK,
        body=message.payload or build_body(message),
    )
    return DestinationDeadLetter(envelope, row.destination, row.reason or "")
