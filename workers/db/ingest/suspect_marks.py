"""Mark deliveries that may crash or hang their worker, so that the next worker knows which one did.

The broker's delivery count cannot identify such an event, because the crash of a worker increases the count
of every delivery that it held. So a redelivered event is processed alone. It is marked in SQL before, and the
mark is removed after. A mark that exists at the next attempt was left by the event itself.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from sqlalchemy import Engine, TextClause, text

from messaging.clock import Clock
from messaging.errors import RetryLaterError
from workers.db.engine import insert_into, transact
from workers.db.models import suspects

POISON_ENDS: Final = 2
"""How many workers an event must end while processed alone; a single one could be the machine's fault."""

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
_TAKE_BACK: Final = text("UPDATE suspects SET attempts = attempts - 1 WHERE message_id = :message_id")


class Suspects:
    """Marks deliveries while they are processed alone."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        # If the database was away, a mark of this process may remain; the next attempt here uses it.
        self._ends: dict[str, int] = {}

    @contextmanager
    def attempt(self, message_id: str) -> Iterator[bool]:
        """Mark an attempt while it lasts; if it ends this process, the mark remains.

        Yields whether the delivery is poison and must not be processed.
        """
        ends = self.mark(message_id)
        try:
            yield ends >= POISON_ENDS
        except RetryLaterError:
            # The delivery is held and has ended no worker. If its mark stayed, each restart would count as an
            # end. The marks of earlier attempts stay.
            with suppress(RetryLaterError):
                self._unmark(message_id, _TAKE_BACK if ends else _CLEAR)
            raise
        self._unmark(message_id, _CLEAR)

    def mark(self, message_id: str) -> int:
        """Mark an attempt, durably, and return how many workers earlier attempts ended."""
        if message_id not in self._ends:
            row = (message_id, self._clock.now_us())
            [(attempts,)] = transact(self._engine, lambda connection: _MARK.execute(connection, [row]))
            self._ends[message_id] = int(attempts) - 1
        return self._ends[message_id]

    def _unmark(self, message_id: str, statement: TextClause) -> None:
        transact(self._engine, lambda connection: connection.execute(statement, {"message_id": message_id}))
        self._ends.pop(message_id, None)
