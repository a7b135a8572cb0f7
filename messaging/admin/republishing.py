"""Publish events for a person, who waits for the broker's word of each."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from threading import Event, Thread
from typing import TYPE_CHECKING, Final

from pika.exceptions import AMQPError, NackError, UnroutableError

from messaging.admin.session import broker_session
from messaging.broker import confirms_within
from messaging.envelope import decode_properties, encode_properties
from messaging.errors import BrokerUnavailableError
from messaging.topology import EVENT_ROUTING_KEY, EXCHANGE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pika.adapters.blocking_connection import BlockingConnection

    from messaging.envelope import Envelope

CONFIRM_SECONDS: Final = 30.0
"""For one event: an alarm that is over sooner is sat out, and of one that is not a person hears."""

GLANCE_SECONDS: Final = 0.2
"""How soon it is noticed that a person has answered."""


class Republisher:
    """Publishes events for a person, who waits for the broker's word of each: confirms are on here.

    Args:
        connection: Not used by any other thread.
    """

    def __init__(self, connection: BlockingConnection) -> None:
        self._connection = connection
        self._channel = connection.channel()
        self._channel.confirm_delivery()

    def publish(self, envelope: Envelope) -> None:
        """Publish to the events' exchange; on disk of a majority when this returns.

        Blocks for CONFIRM_SECONDS at most.

        Raises:
            BrokerUnavailableError: The broker did not take it, or has not said so in time.
        """
        content = encode_properties(
            envelope.message_id, envelope.received_at_us, envelope.request_id, envelope.source
        )
        try:
            with confirms_within(self._connection, CONFIRM_SECONDS):
                self._channel.basic_publish(
                    EXCHANGE, EVENT_ROUTING_KEY, envelope.body, decode_properties(content), mandatory=True
                )
        except (NackError, UnroutableError):
            raise BrokerUnavailableError("the broker did not take an event: run `omctl check`") from None

    def idle(self, seconds: float) -> None:
        """Wait, and answer the broker's heartbeats meanwhile."""
        self._connection.sleep(seconds)

    @contextmanager
    def attended(self) -> Iterator[None]:
        """Answer the broker's heartbeats from a thread, while a person is asked; leave the connection alone.

        A connection that breaks meanwhile says so when it is used next.
        """
        answered = Event()

        def attend() -> None:
            with suppress(AMQPError):
                while not answered.is_set():
                    self._connection.sleep(GLANCE_SECONDS)

        thread = Thread(target=attend, name="heartbeats", daemon=True)
        thread.start()
        try:
            yield
        finally:
            answered.set()
            thread.join()


@contextmanager
def republisher(urls: tuple[str, ...], *, client_name: str) -> Iterator[Republisher]:
    """Yield what publishes events again.

    Raises:
        ConfigurationError: As `broker_session`.
        BrokerUnavailableError: As `broker_session`.
    """
    with broker_session(urls, client_name=client_name) as connection:
        yield Republisher(connection)
