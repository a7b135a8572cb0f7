"""Give one operator at a time the dead letters, window by window; each stays until it is removed."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pika.exceptions import ChannelClosedByBroker

from messaging.admin.republishing import Republisher
from messaging.admin.session import broker_session
from messaging.envelope import envelope_of
from messaging.errors import OpenMessagingError
from messaging.topology import DEAD_LETTERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection
    from pika.spec import BasicProperties

    from messaging.envelope import Envelope

IN_HAND: Final = "open-messaging.dead-letters-in-hand"
"""An empty queue that only one connection can have: its owner works with the dead letters."""

LOCKED: Final = 405

MAX_WINDOW: Final = 100
"""Dead letters that are processed together. Twice as many are held, so at most 200 MiB of bodies."""

SETTLE_SECONDS: Final = 0.005

PATIENCE_SECONDS: Final = 2.0
"""If none has arrived for so long, the queue is empty: the count was of a moment before."""


class DeadLettersInHandError(OpenMessagingError):
    """Nothing was changed; another omctl works with the dead letters: wait until it is done."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One message of the dead-letter queue.

    Args:
        tag: Its delivery tag.
        envelope: The event.
        destination: The service that did not accept it; None for an event that intake could not process.
    """

    tag: int
    envelope: Envelope
    destination: str | None = None


class DeadLetterQueue:
    """The dead letters of one session; see `dead_letters_in_hand`.

    A letter that is passed over goes to the end of the queue, which has no delivery limit. A letter that is
    neither removed nor passed over returns when the session ends.
    """

    def __init__(self, connection: BlockingConnection) -> None:
        self._connection = connection
        self._counter = connection.channel()
        self._held: dict[int, BlockingChannel] = {}
        self._removed = 0

    def count(self) -> int:
        """Return how many messages are in the queue, without those that this session holds."""
        return int(self._counter.queue_declare(DEAD_LETTERS, passive=True).method.message_count)

    def windows(self, size: int = MAX_WINDOW) -> Iterator[list[Letter]]:
        """Yield each message that is in the queue now once, none that arrives later.

        What the caller has not removed from a window is passed over when it asks for the next one.
        """
        self._removed, total = 0, self.count()
        channel = self._connection.channel()
        channel.basic_qos(prefetch_count=2 * size)
        arriving = channel.consume(DEAD_LETTERS, inactivity_timeout=PATIENCE_SECONDS)
        left = total
        while left > 0 and (window := self._window(channel, arriving, min(size, left))):
            left -= len(window)
            yield window
            if self._held:
                channel.basic_nack(max(self._held), multiple=True)
                self._held.clear()
        channel.cancel()
        channel.close()
        self._wait_for(total - self._removed)

    def remove(self, letters: list[Letter]) -> None:
        """Remove letters of the current window from the queue for good."""
        for letter in letters:
            self._held.pop(letter.tag).basic_ack(letter.tag)
        self._removed += len(letters)

    def _window(self, channel: BlockingChannel, arriving: Iterator[Any], most: int) -> list[Letter]:
        window: list[Letter] = []
        while len(window) < most:
            method, properties, body = next(arriving)
            if method is None:
                break
            self._held[method.delivery_tag] = channel
            envelope = envelope_of(properties, body)
            window.append(Letter(method.delivery_tag, envelope, _destination_of(properties)))
        return window

    def _wait_for(self, count: int) -> None:
        """Wait until the queue has what was passed over, so that the next count includes it."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.count() < count and time.monotonic() < deadline:
            self._connection.sleep(SETTLE_SECONDS)


@contextmanager
def dead_letters_in_hand(
    urls: tuple[str, ...], *, client_name: str
) -> Iterator[tuple[DeadLetterQueue, Republisher]]:
    """Yield the dead letters and what publishes them again, to no other omctl meanwhile.

    Raises:
        ConfigurationError: As `broker_session`.
        BrokerUnavailableError: As `broker_session`.
        DeadLettersInHandError: Another omctl has them.
    """
    with broker_session(urls, client_name=client_name) as connection:
        _lock(connection)
        yield DeadLetterQueue(connection), Republisher(connection)


def _lock(connection: BlockingConnection) -> None:
    try:
        # Exclusive: the broker gives it to one connection and deletes it with that connection.
        connection.channel().queue_declare(IN_HAND, exclusive=True, arguments={"x-queue-type": "classic"})
    except ChannelClosedByBroker as error:
        if error.reply_code != LOCKED:
            raise
        raise DeadLettersInHandError(
            "another omctl works with the dead letters: wait until it is done"
        ) from None


def _destination_of(properties: BasicProperties) -> str | None:
    destination = (properties.headers or {}).get("destination")
    return None if destination is None else str(destination)
