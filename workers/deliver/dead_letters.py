"""Make dead letters of what is given up: the reason on record first, then the letter in the queue."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import literal_column, select, tuple_, update

from messaging.admin import DestinationLetter, publish_dead_letters
from messaging.envelope import WEBHOOK, Envelope
from messaging.errors import BrokerUnavailableError, ConfigurationError, RetryLaterError
from messaging.log import logger
from workers.db.engine import transact
from workers.db.ingest import DeadLetter, record_dead_letters
from workers.db.models import deliveries, event_payloads, outbox, processed_events
from workers.deliver.deliveries import MESSAGE_COLUMNS, message_of
from workers.deliver.judgement import End
from workers.deliver.message import body_of
from workers.deliver.outcomes import DEAD
from workers.isolation import isolate
from workers.parsing import microseconds_of, moment_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Engine, Row

    from messaging.clock import Clock
    from workers.deliver.attempts import Attempt
    from workers.deliver.failed_receipts import FailedReceipts

REFUSED: Final = "delivery_refused"
GIVEN_UP: Final = "delivery_given_up"

AT_ONCE: Final = 20
"""Letters of one transaction and one connection: bodies may be large, and this is rare."""

LEASE_SECONDS: Final = 60.0

SET_ASIDE_SECONDS: Final = 3600.0
"""Until a letter that cannot be read or published is tried again; the others go on."""

_D: Final = deliveries.c
# Not a parameter: the index of what is untold has the word in its condition.
_DEAD: Final[Any] = literal_column(f"'{DEAD}'")
_E: Final = processed_events.c


def record_reasons(
    connection: Connection, dead: Sequence[Attempt], now_us: int, *, reads_events: bool
) -> None:
    """Record why deliveries were given up, with the digests and times of their events if they are read."""
    if not dead:
        return
    events = _events_of(connection, dead) if reads_events else {}
    record_dead_letters(
        connection, [_record_of(each, events.get(each.taken.message.outbox_id)) for each in dead], now_us
    )


def _events_of(connection: Connection, dead: Sequence[Attempt]) -> dict[int, Any]:
    event_of = (
        select(outbox.c.id, _E.body_sha256, _E.source, _E.received_at)
        .join(processed_events, _E.id == outbox.c.event_id)
        .where(outbox.c.id.in_([each.taken.message.outbox_id for each in dead]))
    )
    return {row.id: row for row in connection.execute(event_of)}


Key = tuple[int, str]
"""Outbox id and destination."""


class DeadLetterPublisher:
    """Publishes the letters of given-up deliveries to the dead-letter exchange.

    Args:
        engine: The database.
        clock: Our time.
        amqp_urls: The broker's nodes.
        receipts: Is told what is given up for good; None: nobody tells the agents.
    """

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        amqp_urls: tuple[str, ...],
        receipts: FailedReceipts | None = None,
    ) -> None:
        self._receipts = receipts
        self._engine = engine
        self._clock = clock
        self._amqp_urls = amqp_urls

    def publish_dead_letters(self) -> int:
        """Publish some, each confirmed by the broker; return how many it were. Blocks for seconds.

        A process that is killed before it has noted it leaves another copy with the same message id.

        Raises:
            RetryLaterError: The database or the broker is away, or the broker refuses us; nothing is lost.
                What was confirmed until then is done.
        """
        keys = transact(self._engine, self._lease)
        published: list[Row[Any]] = []
        isolate(keys, lambda some: published.extend(self._publish(some)), self._set_aside)
        return len(published)

    def _publish(self, keys: Sequence[Key]) -> list[Row[Any]]:
        rows = transact(self._engine, lambda connection: _read(connection, keys))
        # All of them before any is published: one that cannot be made leaves no trace of the others.
        made = [_letter_of(row) for row in rows]
        confirmed: list[Row[Any]] = []
        try:
            letters = publish_dead_letters(self._amqp_urls, iter(made))
            # Strict: the letters are asked for their end too, which closes the connection.
            for row, _ in zip(rows, letters, strict=True):
                confirmed.append(row)
        except (BrokerUnavailableError, ConfigurationError) as error:
            # With a broker that is slow for each, all of them would begin anew each time, and add copies.
            self._close(confirmed)
            # A broker also refuses while a node boots or a password changes: no reason to deliver nothing.
            rest = [_key_of(row) for row in rows[len(confirmed) :]]
            transact(self._engine, lambda connection: self._note(connection, rest, due_at=self._now()))
            raise RetryLaterError(str(error)) from None
        self._close(confirmed)
        return confirmed

    def _set_aside(self, key: Key, error: Exception) -> None:
        logger().error(
            "dead_letter_not_published", outbox_id=key[0], destination=key[1], reason=type(error).__name__
        )
        until = moment_of(self._clock.now_us() + round(SET_ASIDE_SECONDS * 1_000_000))
        transact(self._engine, lambda connection: self._note(connection, [key], due_at=until))

    def _lease(self, connection: Connection) -> list[Key]:
        untold = (
            select(_D.outbox_id, _D.destination)
            .where(_D.outcome == _DEAD, _D.dead_lettered_at.is_(None), _D.due_at <= self._now())
            .order_by(_D.outbox_id)
            .limit(AT_ONCE)
            .with_for_update(skip_locked=True)
        )
        keys = [(row[0], row[1]) for row in connection.execute(untold)]
        until = moment_of(self._clock.now_us() + round(LEASE_SECONDS * 1_000_000))
        self._note(connection, keys, due_at=until)
        return keys

    def _close(self, rows: Sequence[Row[Any]]) -> None:
        """Put on record that the broker has these letters."""
        # What a person has sent again meanwhile is no dead letter any more: once it dies again it is told.
        transact(self._engine, lambda connection: self._note_told(connection, rows))
        for row in rows:
            logger().warning("destination_dead_lettered", destination=row.destination, outbox_id=row.id)

    def _note_told(self, connection: Connection, rows: Sequence[Row[Any]]) -> None:
        self._note(connection, [_key_of(row) for row in rows], dead_lettered_at=self._now())
        if self._receipts is not None:
            self._receipts.owe(connection, rows)

    def _note(self, connection: Connection, keys: Sequence[Key], **values: object) -> None:
        for outbox_id, destination in keys:
            is_it = (_D.outbox_id == outbox_id) & (_D.destination == destination) & (_D.outcome == DEAD)
            connection.execute(update(deliveries).where(is_it).values(**values))

    def _now(self) -> Any:
        return moment_of(self._clock.now_us())


def _read(connection: Connection, keys: Sequence[Key]) -> list[Row[Any]]:
    """Return what letters are made of."""
    query = (
        select(
            *MESSAGE_COLUMNS,
            _D.destination,
            _D.reason,
            _D.status,
            _E.source,
            _E.received_at,
            _E.message_id,
        )
        .join(outbox, outbox.c.id == _D.outbox_id)
        .outerjoin(processed_events, _E.id == outbox.c.event_id)
        .outerjoin(event_payloads, event_payloads.c.event_id == outbox.c.event_id)
        .where(tuple_(_D.outbox_id, _D.destination).in_(keys))
        .order_by(_D.outbox_id)
    )
    return list(connection.execute(query))


def _key_of(row: Row[Any]) -> Key:
    return row.id, row.destination


def letter_id(destination: str, webhook_id: str) -> str:
    """Return the message id of a dead letter, equal in every copy."""
    return f"{destination}:{webhook_id}"


def _record_of(attempt: Attempt, event: Any) -> DeadLetter:
    message, answer = attempt.taken.message, attempt.answer
    assert answer is not None
    is_refused = attempt.end is End.PERMANENT
    times = "" if is_refused else f", given up after {attempt.attempts} attempts"
    name = attempt.destination.name
    return DeadLetter(
        message_id=letter_id(name, message.webhook_id),
        code=REFUSED if is_refused else GIVEN_UP,
        reason=f"destination {name}: {answer.reason}{times}",
        body_sha256=event.body_sha256.hex() if event else hashlib.sha256(body_of(message)).hexdigest(),
        source=event.source if event else WEBHOOK,
        received_at_us=microseconds_of(event.received_at) if event else message.created_at_us,
        attempt=max(1, attempt.attempts),
        event_type=message.event_type,
        conversation_id=message.conversation_id,
        destination=name,
    )


def _letter_of(row: Row[Any]) -> DestinationLetter:
    """Make the letter: the event as it came; of a session that nobody notified, what would have been sent."""
    message = message_of(row)
    envelope = Envelope(
        message_id=letter_id(row.destination, message.webhook_id),
        received_at_us=microseconds_of(row.received_at or row.created_at),
        request_id=row.message_id or "",
        source=row.source or WEBHOOK,
        body=message.payload or body_of(message),
    )
    return DestinationLetter(envelope, row.destination, row.reason or "")
