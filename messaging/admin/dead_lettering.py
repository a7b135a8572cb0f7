"""Publish dead letters of what no consumer holds, confirmed one by one: they are rare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pika

from messaging.admin.session import broker_session
from messaging.broker import confirms_within
from messaging.topology import DEAD_LETTERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pika.adapters.blocking_connection import BlockingChannel

    from messaging.envelope import Envelope

LETTERS_SECONDS: Final = 15.0
"""For all letters of a call: longer than the election of a queue's leader, and short enough that a process
which is told to stop ends by itself before it is killed after 30 s."""


@dataclass(frozen=True, slots=True)
class DestinationLetter:
    """An event that a destination never took.

    Args:
        envelope: The event; its message id is that of the record.
        destination: Which.
        reason: Why, in a word.
    """

    envelope: Envelope
    destination: str
    reason: str


def publish_dead_letters(
    urls: tuple[str, ...], letters: Iterable[DestinationLetter]
) -> Iterator[DestinationLetter]:
    """Publish to the dead-letter exchange; yields each letter when the broker has it on disk.

    Blocks for LETTERS_SECONDS at most, once it is connected, and CLOSE_SECONDS at the end.

    Raises:
        BrokerUnavailableError: What was not yielded may not have arrived: publish it again.
        ConfigurationError: An address is malformed, or the broker refuses its user.
    """
    with (
        broker_session(urls, client_name="deliver") as connection,
        confirms_within(connection, LETTERS_SECONDS),
    ):
        channel = connection.channel()
        channel.confirm_delivery()
        for letter in letters:
            _publish(channel, letter)
            yield letter


def _publish(channel: BlockingChannel, letter: DestinationLetter) -> None:
    envelope = letter.envelope
    headers = {
        "received-at-us": envelope.received_at_us,
        "request-id": envelope.request_id,
        "source": envelope.source,
        "destination": letter.destination,
        "reason": letter.reason,
    }
    properties = pika.BasicProperties(message_id=envelope.message_id, headers=headers, delivery_mode=2)
    channel.basic_publish(DEAD_LETTERS, "", envelope.body, properties, mandatory=True)
