"""Parse deliveries, including those of the next batch while the database works on the current one."""

import hashlib
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from typing import Final

from messaging.consuming import Delivery
from messaging.envelope import CANARY, REQUEST_ID_LENGTH, generation_of
from messaging.log import logger
from messaging.topology import DEAD_LETTER_RECORDS
from workers.db.canary import decode_canary
from workers.filters import Filter, FilterError
from workers.intake.dispatch import TimeLimit
from workers.intake.failure import BROKER_REASONS, describe_death, describe_failure
from workers.intake.outcome import Parsed, make_dead_letter, source_of
from workers.parsing import Arrival, DriftNotes, Event, read_body

FILTERED: Final = "filtered"
"""Skip reason for events that OM_EVENT_FILTER rejects."""

PREFETCH_STEP: Final = 10
"""Number of deliveries that are parsed between two checks for the database's answer. A check takes far less
time than this parsing, and an answer waits for at most half a millisecond."""


@dataclass(slots=True)
class Reader:
    """Parses deliveries, and marks the events that the event filter rejects as skipped."""

    event_types: AbstractSet[str]
    event_filter: Filter | None = None
    limit: TimeLimit = nullcontext
    notes: DriftNotes = field(default_factory=DriftNotes)
    _filter_problems: set[str] = field(default_factory=set)
    _undecided: int = 0
    _next: list[Delivery] = field(default_factory=list)
    _prefetched: dict[int, Parsed] = field(default_factory=dict)

    def expect(self, deliveries: Sequence[Delivery]) -> None:
        """Set the deliveries that `prefetch` may parse early, except suspects and retried deliveries."""
        self._next = [one for one in deliveries if not (one.is_suspect or one.local_attempts)]

    def prefetch(self) -> bool:
        """Parse a few deliveries of the next batch; return False if none were left to parse."""
        some, self._next[:PREFETCH_STEP] = self._next[:PREFETCH_STEP], []
        with self.limit():
            self._prefetched |= {delivery.tag: self._read(delivery) for delivery in some}
        return bool(some)

    def read_all(self, deliveries: Sequence[Delivery]) -> list[Parsed]:
        """Return the parsed deliveries of a batch; drop prefetched deliveries from a lost connection."""
        prefetched, self._prefetched = self._prefetched, {}
        with self.limit():
            parsed = []
            for delivery in deliveries:
                early = prefetched.get(delivery.tag)
                if early is None or early.delivery is not delivery:
                    # It was not parsed early, or a delivery from a lost connection had the same tag.
                    early = self._read(delivery)
                parsed.append(early)
            return parsed

    def take_undecided(self) -> int:
        """Return and reset the number of bodies for which the filter could not be evaluated."""
        undecided, self._undecided = self._undecided, 0
        return undecided

    def _read(self, delivery: Delivery) -> Parsed:
        # A canary's header is not signed, so the body decides whether the event is a canary.
        if delivery.envelope.source == CANARY and (canary := decode_canary(delivery.envelope.body)):
            return Parsed(delivery, canary=canary)
        if delivery.queue == DEAD_LETTER_RECORDS:
            failure = describe_death(delivery.death_reason)
            dead_letter = make_dead_letter(delivery, failure, self._read_dead(delivery))
            return Parsed(delivery, dead_letter=dead_letter)
        try:
            events = read_body(delivery.envelope.body, self.notes, self.event_types)
            if self.event_filter is not None and not self._is_wanted(self.event_filter, events[0]):
                events = tuple([replace(event, skip=event.skip or FILTERED) for event in events])
        except Exception as error:  # noqa: BLE001  # a bug in parsing one event must not block the others
            return Parsed(delivery, dead_letter=make_dead_letter(delivery, describe_failure(error)))
        return Parsed(delivery, _make_arrivals(delivery, events))

    def _read_dead(self, delivery: Delivery) -> tuple[Arrival, ...]:
        """Return a dead letter's events, unless intake rejected it: parsing it could end this worker."""
        with suppress(Exception):
            if delivery.death_reason in BROKER_REASONS - {"rejected"}:
                events = read_body(delivery.envelope.body, self.notes, self.event_types)
                return _make_arrivals(delivery, events)
        return ()

    def _is_wanted(self, event_filter: Filter, event: Event) -> bool:
        """Return whether the filter accepts an event, or True if the filter cannot be evaluated for it."""
        try:
            return event_filter.evaluate(event.payload)
        except FilterError as error:
            self._undecided += 1
            if str(error) not in self._filter_problems:
                self._filter_problems.add(str(error))
                logger().warning(
                    "event_filter_failed",
                    reason=str(error),
                    event_type=event.event_type,
                    consequence="such events are accepted, and counted as undecided",
                )
            return True


def _make_arrivals(delivery: Delivery, events: Sequence[Event]) -> tuple[Arrival, ...]:
    """Return the events of a body, each together with the data of the delivery that contained it."""
    envelope, request_id = delivery.envelope, delivery.envelope.request_id
    # Drop a request id that is longer than the edge permits or that the database could not store.
    is_kept = 0 < len(request_id) <= REQUEST_ID_LENGTH and request_id.isprintable()
    how = (
        envelope.identity,
        envelope.received_at_us,
        source_of(delivery),
        hashlib.sha256(envelope.body).hexdigest(),
        request_id if is_kept else None,
        envelope.body,
        generation_of(envelope.source),
    )
    return tuple([Arrival(event, *how) for event in events])
