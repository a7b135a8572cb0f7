"""Look for the queue of dead letters that wait for a record, which earlier versions did not set up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pika.exceptions import ChannelClosedByClient

from messaging.log import logger
from messaging.topology import DEAD_LETTER_RECORDS

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from pika.channel import Channel

    from messaging.broker import BrokerConnection

RETRY_SECONDS = 60.0
"""How often to look again: an `omctl setup` is enough, no worker has to be started again."""


class RecordsProbe:
    """Asks on channels of its own, since the broker closes one that names a missing queue.

    Args:
        loop: Every method is called on it.
        connection: An open one.
        on_found: Called once.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, connection: BrokerConnection, on_found: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._connection = connection
        self._on_found = on_found

    def look(self) -> None:
        """Ask; ask again later where it is missing."""
        if self._connection.is_open:
            self._connection.channel(on_open_callback=self._ask)

    def _ask(self, channel: Channel) -> None:
        channel.add_on_close_callback(lambda _channel, reason: self._on_closed(reason))
        channel.queue_declare(DEAD_LETTER_RECORDS, passive=True, callback=lambda _answer: channel.close())

    def _on_closed(self, reason: Exception) -> None:
        if isinstance(reason, ChannelClosedByClient):
            self._on_found()
        elif self._connection.is_open:
            logger().warning(
                "dead_letter_records_missing",
                consequence="the reasons of dead letters that the broker makes are not recorded",
                action="run omctl setup",
            )
            self._loop.call_later(RETRY_SECONDS, self.look)
