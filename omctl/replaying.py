"""Run past events again, out of the database.

An event is published, and the broker has confirmed it, before it is on record as done. What is cut short
between the two is published once more when the replay is resumed, and refused by its key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from messaging.envelope import Envelope, replay_source
from workers.tables import end_intervention, note_progress, past_events, transact

if TYPE_CHECKING:
    from collections.abc import Iterator
    from threading import Event

    from sqlalchemy import Connection, Engine

    from messaging.blocking import Republisher
    from messaging.clock import Clock
    from omctl.pace import Pace
    from workers.tables import PastEvent, Unfinished

STEP: Final = 100
"""Events that are read at once, and put on record as done at once."""


class Replaying:
    """Runs the events of one replay again.

    Args:
        intervention_id: On record already.
        replay: Which events, and how far it is.
        engine: The database.
        clock: Our time.
        cancelled: Ends it between two events.
    """

    def __init__(
        self, intervention_id: str, replay: Unfinished, engine: Engine, clock: Clock, cancelled: Event
    ) -> None:
        self._intervention_id = intervention_id
        self._replay = replay
        self._engine = engine
        self._clock = clock
        self._cancelled = cancelled
        self._through = replay.through
        self.done = replay.done
        self.is_cancelled = True

    def run(self, republisher: Republisher, pace: Pace) -> Iterator[int]:
        """Publish what is not done yet; yields how many are done, after each."""
        try:
            while not self._cancelled.is_set() and (page := transact(self._engine, self._next_page)):
                yield from self._publish(page, republisher, pace)
                transact(self._engine, self._note)
            self.is_cancelled = self._cancelled.is_set()
        finally:
            transact(self._engine, self._note)
            transact(self._engine, self._end)

    def _next_page(self, connection: Connection) -> list[PastEvent]:
        return past_events(connection, self._replay.choice, self._through, STEP)

    def _publish(self, page: list[PastEvent], republisher: Republisher, pace: Pace) -> Iterator[int]:
        source = replay_source(self._intervention_id if self._replay.again else None)
        for event in page:
            pace.wait()
            if self._cancelled.is_set():
                return
            republisher.publish(
                Envelope(event.message_id, event.received_at_us, event.message_id, source, event.body)
            )
            self._through = event.event_id
            self.done += 1
            yield self.done

    def _note(self, connection: Connection) -> None:
        note_progress(connection, self._intervention_id, self.done, through=self._through)

    def _end(self, connection: Connection) -> None:
        end_intervention(
            connection,
            self._intervention_id,
            self.done,
            is_cancelled=self.is_cancelled,
            now_us=self._clock.now_us(),
        )
