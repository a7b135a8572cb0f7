"""Connect to a broker for the duration of a `with` block, and publish events with publisher confirms."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread
from typing import Final

import pika
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection
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

from messaging.broker import CLOSE_SECONDS, NO_LIMIT, confirms_within, parameters_of, size_limit_of
from messaging.envelope import Envelope, decode_properties, encode_properties
from messaging.errors import BrokerUnavailableError, ConfigurationError, RejectedEventError
from messaging.topology import EVENT_ROUTING_KEY, EXCHANGE

CONFIRM_SECONDS: Final = 30.0
"""How long to wait for the confirm of one event. A broker alarm that lasts longer is reported as an error."""


@contextmanager
def broker_session(urls: tuple[str, ...], *, client_name: str) -> Iterator[BlockingConnection]:
    """Connect to the first broker that answers; this can block for several seconds per address.

    At the end, the connection is closed within CLOSE_SECONDS even during an alarm, when the broker reads
    nothing from a publishing connection, not even the request to close it.

    Raises ConfigurationError if an address is malformed or the broker refuses its user or virtual host,
    BrokerUnavailableError if no broker answers or the connection breaks, and RejectedEventError if a
    published body is larger than the broker's max_message_size.
    """
    try:
        connection = pika.BlockingConnection(parameters_of(urls, client_name=client_name))
    except (ProbableAuthenticationError, ProbableAccessDeniedError, ConnectionClosedByBroker) as error:
        if "connection limit (" in str(error):
            raise BrokerUnavailableError("the broker's connection limit is reached") from None
        raise ConfigurationError(
            "OM_AMQP_URL: the broker refuses this user, password or virtual host"
        ) from None
    except (AMQPConnectionError, AMQPConnectorException):
        # pika raises AMQPConnectorException if a broker accepts the connection and then hangs.
        raise BrokerUnavailableError(
            "no broker in OM_AMQP_URL answers: check the host and port, and that the broker runs"
        ) from None
    try:
        yield connection
    except AMQPError as error:
        if size_limit_of(error) != NO_LIMIT:
            raise RejectedEventError("too_large", "body: larger than the broker accepts") from None
        raise BrokerUnavailableError("the connection to the broker was lost: run `omctl check`") from error
    finally:
        if connection.is_open:
            with suppress(BrokerUnavailableError), confirms_within(connection, CLOSE_SECONDS):
                connection.close()


def count_messages(channel: BlockingChannel, queue: str) -> int:
    """Return how many messages wait in a queue, not counting the messages that consumers hold.

    If a quorum queue's leader does not answer in time, a declare reports 0 messages and 0 consumers. A get
    then queries the leader and waits for the answer; if it takes a message, that message is requeued.
    """
    declared = channel.queue_declare(queue, passive=True).method
    if declared.message_count or declared.consumer_count:
        return int(declared.message_count)
    taken, _, _ = channel.basic_get(queue)
    if taken is None:
        return 0
    channel.basic_nack(taken.delivery_tag)
    return int(taken.message_count) + 1


class EventPublisher:
    """Publishes events one by one, and waits for the broker to confirm each event."""

    def __init__(self, connection: BlockingConnection) -> None:
        self._connection = connection
        self._channel = connection.channel()
        self._channel.confirm_delivery()

    def publish(self, envelope: Envelope) -> None:
        """Publish an event; when this returns, a majority of the broker's nodes has the event on disk.

        Blocks for at most CONFIRM_SECONDS. Raises BrokerUnavailableError if the event is not confirmed.
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
        """Wait for *seconds* while answering the broker's heartbeats."""
        self._connection.sleep(seconds)

    @contextmanager
    def keep_alive(self) -> Iterator[None]:
        """Answer the broker's heartbeats on a separate thread; the `with` block must not use the connection.

        If the connection breaks during the block, the next use of the connection raises an error.
        """
        done = Event()

        def answer_heartbeats() -> None:
            with suppress(AMQPError):
                while not done.is_set():
                    self._connection.process_data_events(time_limit=None)

        thread = Thread(target=answer_heartbeats, name="heartbeats", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            with suppress(AMQPError):
                # Wake the thread.
                self._connection.add_callback_threadsafe(lambda: None)
            thread.join()


@contextmanager
def event_publisher(urls: tuple[str, ...], *, client_name: str) -> Iterator[EventPublisher]:
    """Yield an EventPublisher with its own connection; raises the errors of `broker_session`."""
    with broker_session(urls, client_name=client_name) as connection:
        yield EventPublisher(connection)
