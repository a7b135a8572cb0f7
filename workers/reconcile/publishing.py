"""Publish missing events to the events queue, and record them as gaps."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from sqlalchemy import Engine

from messaging.admin import broker_session, count_waiting_events, event_publisher
from messaging.clock import Clock
from messaging.envelope import RECONCILE, Envelope
from messaging.errors import BrokerUnavailableError, ConfigurationError, RetryLaterError
from messaging.log import logger
from workers.db.engine import transact
from workers.db.reconcile import record_gaps
from workers.isolation import isolate
from workers.reconcile.reconstruction import ReconstructedEvent

CLIENT_NAME: Final = "reconcile"


class EventsExchange:
    """The broker, for a caller that publishes rarely: each call opens a connection.

    Each method raises RetryLaterError if the broker is away. Then publish all again; some may be published.
    """

    def __init__(self, urls: tuple[str, ...]) -> None:
        self._urls = urls

    def publish(self, envelopes: Sequence[Envelope]) -> None:
        """Publish events in the form of a webhook's; the broker has confirmed each when this returns."""
        with _retry_later(), event_publisher(self._urls, client_name=CLIENT_NAME) as broker:
            for envelope in envelopes:
                broker.publish(envelope)

    def count_waiting(self) -> int:
        """Return how many messages wait in the events queue."""
        with _retry_later(), broker_session(self._urls, client_name=CLIENT_NAME) as connection:
            return count_waiting_events(connection)


@contextmanager
def _retry_later() -> Iterator[None]:
    """Retry even if the broker refuses us, as it does while a node boots or a password changes."""
    try:
        yield
    except (BrokerUnavailableError, ConfigurationError) as error:
        raise RetryLaterError(str(error)) from None


def publish_gaps(
    engine: Engine,
    exchange: EventsExchange,
    clock: Clock,
    reconciliation_id: int,
    missing: Sequence[ReconstructedEvent],
) -> list[ReconstructedEvent]:
    """Publish missing events and record them; return those that were recorded."""
    published: list[ReconstructedEvent] = []

    def publish(events: Sequence[ReconstructedEvent]) -> None:
        now_us = clock.now_us()
        gaps = [(event.event, event.message_id) for event in events]
        exchange.publish(
            [Envelope(event.message_id, now_us, event.message_id, RECONCILE, event.body) for event in events]
        )
        transact(engine, record_gaps, reconciliation_id, gaps, now_us)
        published.extend(events)

    def set_aside(event: ReconstructedEvent, error: Exception) -> None:
        logger().error("gap_not_recorded", message_id=event.message_id, reason=type(error).__name__)

    isolate(missing, publish, set_aside)
    return published
