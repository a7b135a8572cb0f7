"""Let one operator at a time process the dead-letter queue; publish the dead letters of destinations."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import pika
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection
from pika.exceptions import ChannelClosedByBroker

from messaging.admin.session import EventPublisher, broker_session, count_messages
from messaging.broker import confirms_within
from messaging.envelope import Envelope, envelope_of
from messaging.errors import BrokerUnavailableError, OpenMessagingError
from messaging.topology import DEAD_LETTERS

LOCK_QUEUE: Final = "open-messaging.dead-letters-in-hand"
"""An empty queue that serves as a lock: only the connection that owns it may process the dead letters."""

LOCKED: Final = 405

MAX_WINDOW: Final = 100
"""Maximum number of dead letters in a window. Twice this number is prefetched: at most 200 MiB of bodies."""

PUBLISH_SECONDS: Final = 15.0
"""Time limit for publishing the dead letters of one call. It is longer than a queue's leader election takes,
and short enough that a process stops by itself on SIGTERM before systemd kills it after 30 s."""

SETTLE_SECONDS: Final = 0.005

PATIENCE_SECONDS: Final = 2.0
"""If the queue has dead letters but none arrives for this long, the queue's leader is not responding."""


class DeadLettersLockedError(OpenMessagingError):
    """Wait until another omctl has finished processing the dead letters; nothing was changed."""


@dataclass(frozen=True, slots=True)
class QueuedDeadLetter:
    """A queued dead letter. `destination` did not accept it or, if None, intake could not process it."""

    tag: int
    envelope: Envelope
    destination: str | None = None


@dataclass(frozen=True, slots=True)
class DestinationDeadLetter:
    """An event that a destination did not accept. Its SQL row has the same message id. `reason` is a code."""

    envelope: Envelope
    destination: str
    reason: str


class DeadLetterQueue:
    """The dead-letter queue, locked for one connection by `lock_dead_letters`.

    A dead letter that is passed over moves to the end of the queue, which has no delivery limit. A dead
    letter that is neither removed nor passed over returns to the queue when the session ends.

    `publisher` publishes dead letters to the events queue again.
    """

    def __init__(self, connection: BlockingConnection) -> None:
        self._connection = connection
        self._counter = connection.channel()
        self._held: dict[int, BlockingChannel] = {}
        self._removed = 0
        self.publisher = EventPublisher(connection)

    def count(self) -> int:
        """Return how many messages are in the queue, not counting the messages that this session holds."""
        return count_messages(self._counter, DEAD_LETTERS)

    def windows(self, size: int = MAX_WINDOW) -> Iterator[list[QueuedDeadLetter]]:
        """Yield the messages that are in the queue now, window by window; leave out any that arrive later.

        Requesting the next window passes over the dead letters that the caller has not removed. Raises
        BrokerUnavailableError if the queue's leader no longer answers.
        """
        self._removed, total = 0, self.count()
        channel = self._connection.channel()
        channel.basic_qos(prefetch_count=2 * size)
        arriving = channel.consume(DEAD_LETTERS, inactivity_timeout=PATIENCE_SECONDS)
        left = total
        while left > 0 and (window := self._read(channel, arriving, min(size, left))):
            left -= len(window)
            yield window
            if self._held:
                channel.basic_nack(max(self._held), multiple=True)
                self._held.clear()
        if left > 0:
            raise BrokerUnavailableError("the dead-letter queue does not answer: run the command again")
        channel.cancel()
        channel.close()
        self._wait_for(total - self._removed)

    def remove(self, dead_letters: list[QueuedDeadLetter]) -> None:
        """Remove dead letters of the current window from the queue permanently."""
        for dead_letter in dead_letters:
            self._held.pop(dead_letter.tag).basic_ack(dead_letter.tag)
        self._removed += len(dead_letters)

    def _read(self, channel: BlockingChannel, arriving: Iterator[Any], limit: int) -> list[QueuedDeadLetter]:
        window: list[QueuedDeadLetter] = []
        while len(window) < limit:
            method, properties, body = next(arriving)
            if method is None:
                break
            self._held[method.delivery_tag] = channel
            destination = (properties.headers or {}).get("destination")
            service = None if destination is None else str(destination)
            window.append(QueuedDeadLetter(method.delivery_tag, envelope_of(properties, body), service))
        return window

    def _wait_for(self, count: int) -> None:
        """Wait until passed-over dead letters are back in the queue, so that the next count includes them."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.count() < count and time.monotonic() < deadline:
            self._connection.sleep(SETTLE_SECONDS)


@contextmanager
def lock_dead_letters(urls: tuple[str, ...], *, client_name: str) -> Iterator[DeadLetterQueue]:
    """Lock and yield the dead-letter queue; no other omctl can use it until the `with` block ends.

    Raises DeadLettersLockedError if another omctl has locked it, and the errors of `broker_session`.
    """
    with broker_session(urls, client_name=client_name) as connection:
        try:
            # Only one connection can own an exclusive queue; the broker deletes it when that connection ends.
            arguments = {"x-queue-type": "classic"}
            connection.channel().queue_declare(LOCK_QUEUE, exclusive=True, arguments=arguments)
        except ChannelClosedByBroker as error:
            if error.reply_code != LOCKED:
                raise
            message = "another omctl is processing the dead letters: wait until it has finished"
            raise DeadLettersLockedError(message) from None
        yield DeadLetterQueue(connection)


def publish_dead_letters(
    urls: tuple[str, ...], dead_letters: Iterable[DestinationDeadLetter]
) -> Iterator[DestinationDeadLetter]:
    """Publish to the dead-letter exchange; yield each dead letter when the broker has it on disk.

    Once connected, it blocks for at most PUBLISH_SECONDS, plus CLOSE_SECONDS at the end. Raises
    BrokerUnavailableError if the dead letters not yet yielded might be lost and must be published again,
    and ConfigurationError if an address is malformed or the broker refuses its user.
    """
    with broker_session(urls, client_name="deliver") as broker, confirms_within(broker, PUBLISH_SECONDS):
        channel = broker.channel()
        channel.confirm_delivery()
        for dead_letter in dead_letters:
            _publish(channel, dead_letter)
            yield dead_letter


def _publish(channel: BlockingChannel, dead_letter: DestinationDeadLetter) -> None:
    envelope = dead_letter.envelope
    headers = {
        "received-at-us": envelope.received_at_us,
        "request-id": envelope.request_id,
        "source": envelope.source,
        "destination": dead_letter.destination,
        "reason": dead_letter.reason,
    }
    properties = pika.BasicProperties(message_id=envelope.message_id, headers=headers, delivery_mode=2)
    channel.basic_publish(DEAD_LETTERS, "", envelope.body, properties, mandatory=True)
