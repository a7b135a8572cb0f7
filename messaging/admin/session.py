"""Connect to a broker for the duration of a `with` block, and publish events with confirms."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread
from typing import Final

import pika
from pika.adapters.blocking_connection import BlockingConnection
from pika.adapters.utils.connection_workflow import AMQPConnectorException
from pika.exceptions import (
    AMQPConnectionError,
    AMQPError,
    ConnectionClosedByBroker,
    NackError,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
    UnroutableError,
)

from messaging.broker import CLOSE_SECONDS, confirms_within, parameters_of
from messaging.envelope import Envelope, decode_properties, encode_properties
from messaging.errors import BrokerUnavailableError, ConfigurationError
from messaging.topology import EVENT_ROUTING_KEY, EXCHANGE

CONFIRM_SECONDS: Final = 30.0
"""Limit for one event: a shorter alarm is waited out, a longer alarm is reported to the operator."""

KEEPALIVE_SECONDS: Final = 0.2
"""How soon `EventPublisher.keep_alive` ends after its block."""


@contextmanager
def broker_session(urls: tuple[str, ...], *, client_name: str) -> Iterator[BlockingConnection]:
    """Connect to the first broker that answers; blocks for some seconds per address.

    At the end the connection is closed, within CLOSE_SECONDS: during an alarm the broker reads nothing more
    of a publishing connection, not even its close.

    Raises ConfigurationError if an address is malformed, or the broker refuses its user or virtual host;
    BrokerUnavailableError if no broker answers, or the connection broke.
    """
    try:
        connection = pika.BlockingConnection(parameters_of(urls, client_name=client_name))
    except (ProbableAuthenticationError, ProbableAccessDeniedError, ConnectionClosedByBroker):
        raise ConfigurationError(
            "OM_AMQP_URL: the broker refuses this user, password or virtual host"
        ) from None
    except (AMQPConnectionError, AMQPConnectorException):
        # pika raises the second if a broker accepts the connection and then hangs.
        raise BrokerUnavailableError(
            "no broker of OM_AMQP_URL answers: check that it runs, and the host and port"
        ) from None
    try:
        yield connection
    except AMQPError as error:
        raise BrokerUnavailableError("the connection to the broker broke: run `omctl check`") from error
    finally:
        if connection.is_open:
            with suppress(BrokerUnavailableError), confirms_within(connection, CLOSE_SECONDS):
                connection.close()


class EventPublisher:
    """Publishes events one by one, each confirmed."""

    def __init__(self, connection: BlockingConnection) -> None:
        self._connection = connection
        self._channel = connection.channel()
        self._channel.confirm_delivery()

    def publish(self, envelope: Envelope) -> None:
        """Publish to the events' exchange; on disk of a majority when this returns.

        Blocks for at most CONFIRM_SECONDS. Raises BrokerUnavailableError if the broker refused it, or has not
        confirmed it in time.
        """
        fields = envelope.message_id, envelope.received_at_us, envelope.request_id, envelope.source
        properties = decode_properties(encode_properties(*fields))
        route = EXCHANGE, EVENT_ROUTING_KEY
        try:
            with confirms_within(self._connection, CONFIRM_SECONDS):
                self._channel.basic_publish(*route, envelope.body, properties, mandatory=True)
        except (NackError, UnroutableError):
            raise BrokerUnavailableError("the broker refused an event: run `omctl check`") from None

    def idle(self, seconds: float) -> None:
        """Wait, and answer the broker's heartbeats meanwhile."""
        self._connection.sleep(seconds)

    @contextmanager
    def keep_alive(self) -> Iterator[None]:
        """Answer the broker's heartbeats from a thread, during a prompt; do not use the connection meanwhile.

        If the connection breaks, its next use raises.
        """
        done = Event()

        def answer_heartbeats() -> None:
            with suppress(AMQPError):
                while not done.is_set():
                    self._connection.sleep(KEEPALIVE_SECONDS)

        thread = Thread(target=answer_heartbeats, name="heartbeats", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


@contextmanager
def event_publisher(urls: tuple[str, ...], *, client_name: str) -> Iterator[EventPublisher]:
    """Yield a publisher of events over a connection of its own; raises as `broker_session`."""
    with broker_session(urls, client_name=client_name) as connection:
        yield EventPublisher(connection)
