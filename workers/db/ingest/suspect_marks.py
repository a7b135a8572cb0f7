"""Mark deliveries that might crash or hang their worker, so that the next worker can identify them.

The broker's delivery count cannot identify such an event, because a worker's crash increases the count
of every delivery that the worker held. So each suspect is processed alone: it is marked in the database
beforehand, and the mark is removed afterwards. A remaining mark shows that the event ended its worker.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from sqlalchemy import Connection, Engine, TextClause, text

from messaging.clock import Clock
from messaging.errors import RetryLaterError
from workers.db.engine import insert_into, transact
from workers.db.models import suspects

POISON_ENDS: Final = 2
"""An event that was processed alone and ended two workers is poison; a single worker might end by chance."""

_MARK: Final = insert_into(
    suspects,
    ("message_id", "attempted_at"),
    """
    ON CONFLICT (message_id) DO UPDATE SET
        attempts = suspects.attempts + 1, attempted_at = excluded.attempted_at
    RETURNING attempts
    """,
    attempts="1",
)
_CLEAR: Final = text("DELETE FROM suspects WHERE message_id = :message_id")
# Another worker might have marked the same event in the meantime, so delete a row only if no mark is left.
_CLEAR_UNMARKED: Final = text("DELETE FROM suspects WHERE message_id = :message_id AND attempts <= 0")
_TAKE_BACK: Final = text("UPDATE suspects SET attempts = attempts - 1 WHERE message_id = :message_id")


class Suspects:
    """Marks suspects while they are processed alone, and recognises poison events by their marks."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        # How many workers each marked message has ended. A message in this dict is not marked a second time.
        self._ends: dict[str, int] = {}

    @contextmanager
    def attempt(self, message_id: str) -> Iterator[int]:
        """Mark a delivery during an attempt; yield how many workers its earlier attempts have ended.

        If that number is at least POISON_ENDS, the event is poison and must not be processed.
        """
        ends = self.mark(message_id)
        try:
            yield ends
        except RetryLaterError:
            # The delivery is held and has not ended a worker. If its mark stayed, each restart of the worker
            # would count against the event. Marks of earlier attempts stay.
            with suppress(RetryLaterError):
                self._unmark(message_id, _TAKE_BACK, _CLEAR_UNMARKED)
            raise
        self._unmark(message_id, _CLEAR)

    def mark(self, message_id: str) -> int:
        """Mark an attempt durably, and return the number of workers that earlier attempts have ended."""
        if message_id not in self._ends:
            [(attempts,)] = transact(self._engine, _MARK.execute, [(message_id, self._clock.now_us())])
            self._ends[message_id] = attempts - 1
        return self._ends[message_id]

    def take_back(self, connection: Connection) -> None:
        """Take back this process's marks, because it is stopping and no delivery has ended it."""
        for message_id in list(self._ends):
            _execute(connection, message_id, _TAKE_BACK, _CLEAR_UNMARKED)

    def _unmark(self, message_id: str, *statements: TextClause) -> None:
        transact(self._engine, _execute, message_id, *statements)
        self._ends.pop(message_id, None)


def _execute(connection: Connection, message_id: str, *statements: TextClause) -> None:
    for statement in statements:
        connection.execute(statement, {"message_id": message_id})
