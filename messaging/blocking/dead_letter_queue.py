"""Give one person at a time the dead letters: to look, run again, remove, and put back in their order."""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from pika.exceptions import ChannelClosedByBroker

from messaging.blocking.republishing import Republisher
from messaging.blocking.session import broker_session
from messaging.broker import confirms_within
from messaging.envelope import envelope_of
from messaging.errors import BrokerUnavailableError, OpenMessagingError
from messaging.topology import DEAD_LETTERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection
    from pika.spec import Basic, BasicProperties

    from messaging.envelope import Envelope

IN_HAND: Final = "open-messaging.dead-letters-in-hand"
"""An empty queue that only one connection can have: whoever has it works with the dead letters."""

LOCKED: Final = 405

PAGE: Final = 500
"""Letters that are taken at once where they are not worked with."""

SETTLE_SECONDS: Final = 0.002

PATIENCE_SECONDS: Final = 2.0
"""When no letter has come for so long, there is none: the count was of a moment before."""

PUT_BACK_SECONDS: Final = 15.0
"""At the end, for all that is in hand; what takes longer goes back with the connection, in any order. Whoever
interrupts a publish in an alarm would wait for the alarm's end."""


class DeadLettersInHandError(OpenMessagingError):
    """Nothing was changed; somebody else works with the dead letters: wait until they are done."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One message of the dead-letter queue.

    Args:
        channel: It came on, which no other take shares.
        tag: Its delivery tag there.
        envelope: The event.
        died_at: When the broker moved it last, to the second; None of one that was published there.
        destination: The service that did not take it; None of what intake could not process.
    """

    channel: BlockingChannel = field(repr=False)
    tag: int
    envelope: Envelope
    died_at: datetime | None
    destination: str | None = None


class DeadLetterQueue:
    """The dead letters, in the hand of one person; see `dead_letters_in_hand`.

    What was taken and not removed is put back at the end, each at its place.
    """

    def __init__(self, connection: BlockingConnection) -> None:
        self._connection = connection
        self._channel = connection.channel()
        self._held: dict[BlockingChannel, set[int]] = {}

    def count(self) -> int:
        """Return how many there are, those in hand left out."""
        return int(self._channel.queue_declare(DEAD_LETTERS, passive=True).method.message_count)

    def take(self, most: int) -> list[Letter]:
        """Take the oldest ones that are not in hand yet, at most so many; blocks while they come.

        A consumer with a prefetch of so many is handed them in one go; a get for each would be a commit of
        the queue's log for each.
        """
        letters: list[Letter] = []
        channel = self._connection.channel()
        held = self._held[channel] = set[int]()

        def come(channel: BlockingChannel, *delivery: Any) -> None:
            letters.append(_letter_of(channel, *delivery))
            held.add(letters[-1].tag)

        channel.basic_qos(prefetch_count=most)
        consumer = channel.basic_consume(DEAD_LETTERS, come)
        before, deadline = 0, time.monotonic() + PATIENCE_SECONDS
        while len(letters) < most and time.monotonic() < deadline:
            self._connection.process_data_events(time_limit=PATIENCE_SECONDS)
            if len(letters) > before:
                before, deadline = len(letters), time.monotonic() + PATIENCE_SECONDS
        # What was delivered stays in hand without its consumer.
        channel.basic_cancel(consumer)
        return letters

    def remove(self, letter: Letter) -> None:
        """Remove a letter in hand from the queue for good."""
        letter.channel.basic_ack(letter.tag)
        held = self._held[letter.channel]
        held.remove(letter.tag)
        if not held:
            del self._held[letter.channel]
            letter.channel.close()

    def put_back(self, untaken: int = 0) -> int:
        """Put back what is in hand, before all that has come since, in its order.

        What a closed channel held goes back before all that was in no hand yet, in the order in which its
        consumer had it; of several consumers in any order, so each take has a channel. It goes behind what
        is back from before, though, so what was counted and is untaken is taken first. A reject would put it
        behind everything: the queue has no delivery limit.

        Args:
            untaken: How many letters that were counted lie in the queue still.

        Returns:
            How many letters were put back.
        """
        while untaken > 0 and (page := self.take(min(PAGE, untaken))):
            untaken -= len(page)
        held, self._held = self._held, {}
        for channel, tags in held.items():
            expected, deadline = self.count() + len(tags), time.monotonic() + PATIENCE_SECONDS
            channel.close()
            # Closed is not put back yet, and the next one must not come before it.
            while self.count() < expected and time.monotonic() < deadline:
                self._connection.sleep(SETTLE_SECONDS)
        return sum(map(len, held.values()))


@contextmanager
def dead_letters_in_hand(
    urls: tuple[str, ...], *, client_name: str
) -> Iterator[tuple[DeadLetterQueue, Republisher]]:
    """Yield the dead letters and what runs them again, to nobody else meanwhile.

    Raises:
        ConfigurationError: As `broker_session`.
        BrokerUnavailableError: As `broker_session`.
        DeadLettersInHandError: Somebody else has them.
    """
    with broker_session(urls, client_name=client_name) as connection:
        _lock(connection)
        queue = DeadLetterQueue(connection)
        try:
            yield queue, Republisher(connection)
        finally:
            if connection.is_open:
                with suppress(BrokerUnavailableError), confirms_within(connection, PUT_BACK_SECONDS):
                    queue.put_back()


def _lock(connection: BlockingConnection) -> None:
    try:
        # Exclusive: the broker gives it to one connection and deletes it with that connection.
        connection.channel().queue_declare(IN_HAND, exclusive=True, arguments={"x-queue-type": "classic"})
    except ChannelClosedByBroker as error:
        if error.reply_code != LOCKED:
            raise
        raise DeadLettersInHandError(
            "somebody else works with the dead letters: wait until they are done"
        ) from None


def _letter_of(
    channel: BlockingChannel, method: Basic.Deliver, properties: BasicProperties, body: bytes
) -> Letter:
    envelope = envelope_of(properties, body)
    return Letter(channel, method.delivery_tag, envelope, _died_at(properties), _destination_of(properties))


def _destination_of(properties: BasicProperties) -> str | None:
    destination = (properties.headers or {}).get("destination")
    return None if destination is None else str(destination)


def _died_at(properties: BasicProperties) -> datetime | None:
    deaths: Any = (properties.headers or {}).get("x-death")
    moment = deaths[0].get("time") if isinstance(deaths, list) and deaths else None
    if not isinstance(moment, datetime):
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
