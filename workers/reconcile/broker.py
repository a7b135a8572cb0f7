"""Publish what was missing, and see what waits, over a connection that lasts as long as that takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from messaging.blocking import broker_session, republisher, waiting_events

if TYPE_CHECKING:
    from collections.abc import Sequence

    from messaging.envelope import Envelope

CLIENT_NAME: Final = "reconcile"


class EventsExchange:
    """The broker, for whoever has something to publish once in a while.

    Args:
        urls: The broker's nodes, tried in turn.
    """

    def __init__(self, urls: tuple[str, ...]) -> None:
        self._urls = urls

    def publish(self, envelopes: Sequence[Envelope]) -> None:
        """Publish like a webhook; the broker has confirmed each when this returns.

        Raises:
            BrokerUnavailableError: Some may be published; publish all of them again later.
            ConfigurationError: As `broker_session`; nothing is published.
        """
        if not envelopes:
            return
        with republisher(self._urls, client_name=CLIENT_NAME) as broker:
            for envelope in envelopes:
                broker.publish(envelope)

    def waiting(self) -> int:
        """Return how many deliveries wait in the events queue.

        Raises:
            BrokerUnavailableError: No broker answers.
            ConfigurationError: As `broker_session`.
        """
        with broker_session(self._urls, client_name=CLIENT_NAME) as connection:
            return waiting_events(connection)
