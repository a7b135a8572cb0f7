"""Process a batch of deliveries: parse, claim, give effect, and say what becomes of each.

A batch goes its way together: `process`, `_parse_all`, `_commit`. Whatever fails in it is halved until the
event at fault stands alone (`_commit_together`), is then put off for another try, or refused (`_give_up`).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from workers.db.engine import OpenConnections, transact, work_while_waiting
from workers.db.ingest import (
    Suspects,
    WindowBounds,
    count_unstored,
    has_hung_alone,
    record_dead_letters,
    record_drift,
)
from workers.db.stats import record_edge_statistics
from workers.intake.dispatch import dispatch
from workers.intake.failure import HANG, POISON, failure_of, pause_before_next
from workers.intake.guard import Guard
from workers.intake.outcome import (
    Committed,
    Parsed,
    PutOff,
    Refused,
    Results,
    message_id_of,
    refuse,
    refuse_minimally,
)
from workers.intake.progress import Progress
from workers.intake.reading import Reader
from workers.intake.report import log_batch, log_drift, log_events, log_unrecordable
from workers.intake.totals import Totals
from workers.intake.unstored import set_apart
from workers.isolation import isolate
from workers.parsing import ROUTING_STATUSES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection, Engine

    from messaging.clock import Clock
    from messaging.consuming import Delivery, Verdict
    from workers.filters import Filter
    from workers.handlers import Handler
    from workers.intake.failure import Failure
    from workers.intake.outcome import Outcome
    from workers.parsing import Arrival


class Intake:
    """Gives every delivery its one effect, or its reason.

    Args:
        engine: The database; connected when first used.
        handlers: Every event type with its handlers.
        clock: Our time.
        attempts: How often an event is tried whose handler fails.
        window: How long a conversation's window is open.
        transitions: The routing states that the handler keeps updates for: no other update opens a window.
        retention_us: How long events are kept; None: for ever.
        unstored: Event types that are counted, and no more.
        event_filter: Holds of what is to have an effect; None: everything is.
    """

    def __init__(
        self,
        engine: Engine,
        handlers: Mapping[str, Sequence[Handler]],
        clock: Clock,
        *,
        attempts: int = 3,
        window: WindowBounds = WindowBounds(),  # noqa: B008  # frozen
        transitions: frozenset[str] = ROUTING_STATUSES,
        retention_us: int | None = None,
        unstored: AbstractSet[str] = frozenset(),
        event_filter: Filter | None = None,
    ) -> None:
        self._engine = engine
        self._dispatch = partial(
            dispatch, handlers=handlers, window=window, transitions=transitions, retention_us=retention_us
        )
        self._unstored = unstored
        self._clock = clock
        self._attempts = attempts
        self._connections = OpenConnections(engine)
        self._suspects = Suspects(engine, clock)
        self._guard = Guard(event_filter)
        self._reader = Reader(handlers.keys(), self._guard)
        self._progress = Progress()
        self.totals = Totals()
        work_while_waiting(engine, self._read_ahead)

    def expect(self, batch: Sequence[Delivery]) -> None:
        """Read these while the database works on what `process` is given next."""
        self._reader.expect(batch)

    def process(self, batch: Sequence[Delivery]) -> Verdict:
        """Commit the effects and the reasons of all deliveries but those that are put off.

        Calling it again with the same batch is safe: what is committed is known by its key.

        Raises:
            RetryLaterError: The database is away; some may be committed. Hold them all, call again.
        """
        started = self._clock.monotonic()
        if self._progress.is_abandoned:
            self._connections.end_all()
        progress = self._progress = Progress()
        results = Results()
        if any(each.is_suspect or each.hangs for each in batch):
            # What is tried alone is watched for what it does itself.
            self._reader.expect(())
        together = [each for each in batch if not each.is_suspect and not has_hung_alone(each)]
        self._commit_together(self._parse_all(together, progress), results, progress)
        for each in batch:
            if has_hung_alone(each):
                self._give_up(each, HANG, results, progress)
                self._suspects.clear(message_id_of(each))
            elif each.is_suspect:
                self._process_suspect(each, results, progress)
        results.untold = self._guard.take_untold()
        duration = self._clock.monotonic() - started
        log_batch(batch, results, duration)
        self.totals.add(len(batch), results, duration)
        return results.verdict()

    def abandon(self) -> bool:
        """Give up the call that runs; the next one frees what it holds in the database.

        Returns:
            Whether it was at events, parsing them or in their handlers, and not at statements of ours.
        """
        self._progress.is_abandoned = True
        return self._progress.is_in_events

    def _attempt(self, suspect: Delivery, progress: Progress) -> AbstractContextManager[bool]:
        progress.begin()
        return self._suspects.attempt(message_id_of(suspect))

    def _parse_all(self, deliveries: Sequence[Delivery], progress: Progress) -> list[Outcome]:
        with progress.in_events():
            return self._reader.read_all(deliveries)

    def _read_ahead(self) -> bool:
        """Read some deliveries of the batch expected; whatever hangs in it is an event's doing, too."""
        with self._progress.in_events():
            return self._reader.read_ahead()

    def _commit_together(self, outcomes: Sequence[Outcome], results: Results, progress: Progress) -> None:
        """Commit all in one transaction, or in several, so that what one raises costs its event alone."""
        isolate(
            outcomes,
            lambda some: self._commit(some, results, progress),
            lambda outcome, error: self._give_up(
                outcome.delivery,
                failure_of(error),
                results,
                progress,
                outcome.arrivals if isinstance(outcome, Parsed) else (),
            ),
        )

    def _give_up(
        self,
        delivery: Delivery,
        failure: Failure,
        results: Results,
        progress: Progress,
        arrivals: Sequence[Arrival] = (),
    ) -> None:
        """Put an event off that failed alone, or refuse it when it has had its tries."""
        attempts = 1 if delivery.is_last_try else self._attempts
        pause = pause_before_next(failure, delivery.tries, attempts)
        if pause is None:
            self._refuse(refuse(delivery, failure, arrivals), results, progress)
        else:
            results.put_off.append(PutOff(delivery, failure, pause))

    def _refuse(self, refused: Refused, results: Results, progress: Progress) -> None:
        """Record a dead letter; if the database refuses its record, one without any value of the event."""

        def record_minimally(refused: Refused, error: Exception) -> None:
            log_unrecordable(refused, error)
            self._commit([refuse_minimally(refused, self._clock.now_us())], results, progress)

        isolate([refused], lambda some: self._commit(some, results, progress), record_minimally)

    def _process_suspect(self, delivery: Delivery, results: Results, progress: Progress) -> None:
        """Process alone a delivery that may end this process."""
        with self._attempt(delivery, progress) as is_poison:
            if is_poison:
                self._give_up(delivery, POISON, results, progress)
            else:
                self._commit_together(self._parse_all([delivery], progress), results, progress)
        self._suspects.clear(message_id_of(delivery))

    def _commit(self, outcomes: Sequence[Outcome], results: Results, progress: Progress) -> None:
        progress.begin()
        now_us = self._clock.now_us()
        arrivals, unstored = set_apart(outcomes, self._unstored)
        refused = [each for each in outcomes if isinstance(each, Refused)]
        told = [each.told for each in outcomes if isinstance(each, Parsed) and each.told]
        drift = self._reader.notes.pending(self._clock.monotonic())

        def work(connection: Connection) -> Committed:
            dispatched = self._dispatch(connection, arrivals, now_us=now_us, progress=progress)
            recorded = record_dead_letters(connection, (each.dead_letter for each in refused), now_us)
            news = record_drift(connection, drift, now_us)
            record_edge_statistics(connection, told)
            count_unstored(connection, unstored, now_us)
            return Committed(len(arrivals), dispatched, refused, recorded, news, unstored.total())

        committed = transact(self._engine, work)
        results.add(committed)
        self._reader.notes.mark_recorded(drift, self._clock.monotonic())
        log_drift(committed.news)
        log_events(arrivals, committed.dispatched)
