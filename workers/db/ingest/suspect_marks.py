"""Mark deliveries that may kill their worker, so that the next worker knows which one does.

The broker's own delivery limit cannot tell a poison event from its neighbours: a crash counts for all that
the worker held. So a delivery that comes back is tried alone, with a mark in SQL before and none after; the
mark that stands at the next attempt was left by the event itself.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from messaging.errors import RetryLaterError
from workers.db.engine import MOMENT, TEXT, BulkStatement, transact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine

    from messaging.clock import Clock
    from messaging.consuming import Delivery

KILLS: Final = 2
"""A worker ended twice by one event alone is evidence; once could be the machine's fault."""

_MARK: Final = BulkStatement(
    """
    INSERT INTO suspects (message_id, attempts, attempted_at)
    SELECT {message_id}, 1, {attempted_at} FROM {rows} WHERE true
    ON CONFLICT (message_id) DO UPDATE SET
        attempts = suspects.attempts + 1, attempted_at = excluded.attempted_at
    RETURNING attempts
    """,
    {"message_id": TEXT, "attempted_at": MOMENT},
)
_CLEAR: Final = text("DELETE FROM suspects WHERE message_id = :message_id")
_CLEAR_OWN: Final = text("DELETE FROM suspects WHERE message_id = :message_id AND attempts <= 1")
_TAKE_BACK: Final = text("UPDATE suspects SET attempts = attempts - 1 WHERE message_id = :message_id")


class Suspects:
    """Marks deliveries before they are tried alone.

    Args:
        engine: The database.
        clock: Our time.
    """

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        # A delivery that is taken from a hanging thread, or whose mark a database that was away has kept, is
        # tried again while this process lives, which is no kill: one mark will do.
        self._marked: dict[str, int] = {}

    @contextmanager
    def attempt(self, message_id: str) -> Iterator[bool]:
        """Mark an attempt while it lasts; the mark outlives this process if the attempt ends it.

        Yields whether the delivery is poison, not to be opened: the marks of that stay until `clear`.
        """
        is_poison = self.mark(message_id) >= KILLS
        try:
            yield is_poison
        except RetryLaterError:
            # It is held, and has ended nobody: a mark that stood would make a kill of each restart. What
            # earlier attempts left stands: they did end their workers.
            if not is_poison:
                with suppress(RetryLaterError):
                    self._take_back(message_id)
            raise
        if not is_poison:
            self.clear(message_id)

    def mark(self, message_id: str) -> int:
        """Mark an attempt, durably, and return how many workers earlier attempts ended."""
        if message_id not in self._marked:
            now_us = self._clock.now_us()
            self._marked[message_id] = transact(
                self._engine, lambda connection: _mark(connection, message_id, now_us)
            )
        return self._marked[message_id]

    def clear(self, message_id: str) -> None:
        """Forget all marks of a delivery that is settled or put off, if this process set one."""
        if message_id not in self._marked:
            return
        transact(self._engine, lambda connection: connection.execute(_CLEAR, {"message_id": message_id}))
        self._marked.pop(message_id, None)

    def _take_back(self, message_id: str) -> None:
        """Forget the mark that this process set; the next attempt sets it anew."""
        transact(self._engine, lambda connection: _take_back(connection, message_id))
        self._marked.pop(message_id, None)


def has_hung_alone(delivery: Delivery) -> bool:
    """Return whether a delivery outlasted its time in a batch, and then alone."""
    return delivery.hangs > 1


def _mark(connection: Connection, message_id: str, now_us: int) -> int:
    [(attempts,)] = _MARK.execute(connection, [(message_id, now_us)])
    return int(attempts) - 1


def _take_back(connection: Connection, message_id: str) -> None:
    connection.execute(_CLEAR_OWN, {"message_id": message_id})
    connection.execute(_TAKE_BACK, {"message_id": message_id})
