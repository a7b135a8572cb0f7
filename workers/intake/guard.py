"""Mark what should not have been sent at all, by the operator's filter (OM_EVENT_FILTER)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from messaging.log import logger
from workers.filters import FilterError

if TYPE_CHECKING:
    from workers.filters import Filter
    from workers.parsing import Event

FILTERED: Final = "filtered"
"""Why an event has no effect that the filter does not hold of."""


class Guard:
    """Marks events, and counts those of which the filter does not tell.

    Args:
        event_filter: None lets everything through.
    """

    def __init__(self, event_filter: Filter | None) -> None:
        self._filter = event_filter
        self._reasons: set[str] = set()
        self._untold = 0

    def marked(self, events: tuple[Event, ...]) -> tuple[Event, ...]:
        """Return the events of one body, marked where the filter does not hold of it."""
        if self._filter is None or self._holds(self._filter, events[0]):
            return events
        return tuple([replace(event, skip=event.skip or FILTERED) for event in events])

    def take_untold(self) -> int:
        """Return of how many bodies it could not be told since the last time."""
        untold, self._untold = self._untold, 0
        return untold

    def _holds(self, event_filter: Filter, event: Event) -> bool:
        """Tell whether an event is wanted; one of which that cannot be told is."""
        try:
            return event_filter.evaluate(event.payload)
        except FilterError as error:
            self._untold += 1
            if str(error) not in self._reasons:
                self._reasons.add(str(error))
                logger().warning(
                    "event_filter_failed",
                    reason=str(error),
                    event_type=event.event_type,
                    consequence="such events are taken in, and counted as untold",
                )
            return True
