"""Publish what was missing, and see what waits, over a connection that lasts as long as that takes."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from messaging.admin import broker_session, republisher, waiting_events
from messaging.errors import BrokerUnavailableError, ConfigurationError, RetryLaterError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from messaging.envelope import Envelope

CLIENT_NAME: Final = "reconcile"


class EventsExchange:
    """The broker, for a caller that publishes once in a while.

    Args:
        urls: The broker's nodes, tried in turn.
    """

    def __init__(self, urls: tuple[str, ...]) -> None:
        self._urls = urls

    def publish(self, envelopes: Sequence[Envelope]) -> None:
        """Publish like a webhook; the broker has confirmed each when this returns.

        Raises:
            RetryLaterError: No broker takes them. Some may be published; publish all of them again later.
        """
        if not envelopes:
            return
        with _patience(), republisher(self._urls, client_name=CLIENT_NAME) as broker:
            for envelope in envelopes:
                broker.publish(envelope)

    def waiting(self) -> int:
        """Return how many deliveries wait in the events queue.

        Raises:
            RetryLaterError: No broker answers.
        """
        with _patience(), broker_session(self._urls, client_name=CLIENT_NAME) as connection:
            return waiting_events(connection)


@contextmanager
def _patience() -> Iterator[None]:
    """Try again later, even if the broker refuses us: it does while a node boots or a password changes."""
    try:
        yield
    except (BrokerUnavailableError, ConfigurationError) as error:
        raise RetryLaterError(str(error)) from None
