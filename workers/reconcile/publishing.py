"""Connect to the broker briefly to publish events or to count waiting events."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from messaging.admin import broker_session, count_waiting_events, event_publisher
from messaging.envelope import Envelope
from messaging.errors import BrokerUnavailableError, ConfigurationError, RetryLaterError

CLIENT_NAME: Final = "reconcile"


class EventsExchange:
    """Publishes to the broker for callers that do so rarely: each call opens a connection.

    The methods raise RetryLaterError if the broker is away. The caller must then publish all events again.
    """

    def __init__(self, urls: tuple[str, ...]) -> None:
        self._urls = urls

    def publish(self, envelopes: Sequence[Envelope]) -> None:
        """Publish events in the same form as webhook events; on return, the broker has confirmed them all."""
        with _retry_later(), event_publisher(self._urls, client_name=CLIENT_NAME) as broker:
            for envelope in envelopes:
                broker.publish(envelope)

    def count_waiting(self) -> int:
        """Return how many messages are waiting in the events queue."""
        with _retry_later(), broker_session(self._urls, client_name=CLIENT_NAME) as connection:
            return count_waiting_events(connection)


@contextmanager
def _retry_later() -> Iterator[None]:
    """Raise RetryLaterError even if the broker refuses our login, as it does while a node boots."""
    try:
        yield
    except (BrokerUnavailableError, ConfigurationError) as error:
        raise RetryLaterError(str(error)) from None
