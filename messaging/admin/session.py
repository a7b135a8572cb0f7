"""Connect to a broker for as long as a piece of work lasts."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pika
from pika.exceptions import (
    AMQPConnectionError,
    AMQPError,
    ConnectionClosedByBroker,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
)

from messaging.broker import CLOSE_SECONDS, confirms_within, parameters_of
from messaging.errors import BrokerUnavailableError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pika.adapters.blocking_connection import BlockingConnection


@contextmanager
def broker_session(urls: tuple[str, ...], *, client_name: str) -> Iterator[BlockingConnection]:
    """Connect to the first broker that answers; blocks for some seconds per address.

    At the end the connection is closed, in CLOSE_SECONDS at most: of one that publishes in an alarm the
    broker reads nothing more, its close neither.

    Raises:
        ConfigurationError: An address is malformed, or the broker refuses its user or virtual host.
        BrokerUnavailableError: No broker answers, or the connection broke.
    """
    try:
        connection = pika.BlockingConnection(parameters_of(urls, client_name=client_name))
    except (ProbableAuthenticationError, ProbableAccessDeniedError, ConnectionClosedByBroker):
        raise ConfigurationError(
            "OM_AMQP_URL: the broker refuses this user, password or virtual host"
        ) from None
    except AMQPConnectionError:
        raise BrokerUnavailableError(
            "no broker of OM_AMQP_URL answers: is it running, is the port right?"
        ) from None
    try:
        yield connection
    except AMQPError as error:
        raise BrokerUnavailableError(f"the connection to the broker broke: {type(error).__name__}") from error
    finally:
        if connection.is_open:
            with suppress(BrokerUnavailableError), confirms_within(connection, CLOSE_SECONDS):
                connection.close()
