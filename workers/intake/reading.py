"""Read deliveries, and while the database works on one batch, those of the next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from messaging.edge_statistics import decoded_statistics
from messaging.envelope import STATISTICS
from messaging.topology import DEAD_LETTER_RECORDS
from workers.intake.failure import death_of, failure_of
from workers.intake.outcome import Parsed, arrivals_of, refuse
from workers.intake.report import log_untold
from workers.parsing import DriftNotes, read_body

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

    from messaging.consuming import Delivery
    from workers.intake.guard import Guard
    from workers.intake.outcome import Outcome

AT_A_TIME: Final = 10
"""Looking whether the database has answered costs a fraction of reading so many; it waits half a millisecond
for it."""


class Reader:
    """Makes outcomes of deliveries; a thread that was given up may still use it beside its successor.

    Args:
        event_types: The types that have a handler.
        guard: Marks what should not have come.
    """

    def __init__(self, event_types: AbstractSet[str], guard: Guard) -> None:
        self._event_types = event_types
        self._guard = guard
        self._coming: list[Delivery] = []
        self._read_ahead: dict[int, Outcome] = {}
        self.notes = DriftNotes()

    def expect(self, deliveries: Sequence[Delivery]) -> None:
        """Say what comes next; what may do harm is not read before its turn, lest another be blamed."""
        self._coming = [each for each in deliveries if _is_harmless(each)]

    def read_ahead(self) -> bool:
        """Read a few deliveries of those expected, and return whether there were any."""
        some, self._coming[:AT_A_TIME] = self._coming[:AT_A_TIME], []
        for delivery in some:
            self._read_ahead[delivery.tag] = self._read(delivery)
        return bool(some)

    def read_all(self, deliveries: Sequence[Delivery]) -> list[Outcome]:
        """Parse the bodies of a batch; whatever else was read ahead had come on a connection that is lost."""
        outcomes = [self.read(each) for each in deliveries]
        self._read_ahead.clear()
        return outcomes

    def read(self, delivery: Delivery) -> Outcome:
        """Parse a body, unless that is done."""
        outcome = self._read_ahead.pop(delivery.tag, None)
        # A tag comes again on another connection.
        if outcome is not None and outcome.delivery is delivery:
            return outcome
        return self._read(delivery)

    def _read(self, delivery: Delivery) -> Outcome:
        if delivery.envelope.source == STATISTICS:
            return _told_by_edge(delivery)
        if delivery.queue == DEAD_LETTER_RECORDS:
            return refuse(delivery, death_of(delivery.death))
        try:
            events = self._guard.marked(read_body(delivery.envelope.body, self.notes, self._event_types))
        except Exception as error:  # noqa: BLE001  # a fault of ours in reading one event shall not hold all
            return refuse(delivery, failure_of(error))
        return Parsed(delivery, arrivals_of(delivery, events))


def _told_by_edge(delivery: Delivery) -> Parsed:
    """Read what an edge process tells of its answers; never a dead letter, since nobody's event is in it."""
    told = decoded_statistics(delivery.envelope.body)
    if told is None:
        log_untold(delivery)
    return Parsed(delivery, (), told)


def _is_harmless(delivery: Delivery) -> bool:
    return not delivery.is_suspect and not delivery.hangs and not delivery.tries
