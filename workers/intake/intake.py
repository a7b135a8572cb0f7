"""Process a batch of deliveries: parse, claim, dispatch, commit, and return how to settle each.

A batch is committed in one transaction: `process`, `_parse`, `_commit`. If that fails, it is halved until the
event at fault is alone (`_commit_together`). That event is retried later, or refused (`_give_up`).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import nullcontext
from dataclasses import replace
from functools import partial

from sqlalchemy import Connection, Engine

from messaging.clock import Clock
from messaging.consuming import Delivery, Settlement
from workers.db import ingest
from workers.db.canary import record_canaries
from workers.db.engine import prefetch_while_waiting, transact
from workers.filters import Filter
from workers.handlers import Handler
from workers.intake.dispatch import Dispatched, dispatch
from workers.intake.failure import POISON, Failure, choose_delay, describe_failure
from workers.intake.handler_table import TimeLimit
from workers.intake.outcome import (
    Parsed,
    ParsedOrRefused,
    Refused,
    Results,
    Retry,
    log_batch,
    log_drift,
    log_events,
    log_unrecordable,
    partition,
    refuse,
)
from workers.intake.reading import Reader
from workers.parsing import Arrival, Drift
from workers.role import isolate


class Intake:
    """Gives each event its one effect, or records why it has none.

    Args:
        engine: The database; connected when first used.
        handlers: Every event type with its handlers.
        clock: The database's time.
        attempts: How often an event is processed whose handler fails.
        window: How long a conversation's window is open.
        retention_us: How long events are kept; None: for ever.
        unstored: Event types that are only counted.
        limit: Limits the time of parsing and of an integrator's handler.
    """

    def __init__(
        self,
        engine: Engine,
        handlers: Mapping[str, Sequence[Handler]],
        clock: Clock,
        *,
        attempts: int = 3,
        window: ingest.WindowBounds = ingest.WindowBounds(),  # noqa: B008  # frozen
        retention_us: int | None = None,
        unstored: AbstractSet[str] = frozenset(),
        event_filter: Filter | None = None,
        limit: TimeLimit = nullcontext,
    ) -> None:
        self._engine = engine
        self._dispatch = partial(
            dispatch, handlers=handlers, window=window, retention_us=retention_us, limit=limit
        )
        self._unstored = unstored
        self._clock = clock
        self._attempts = attempts
        self._limit = limit
        self._suspects = ingest.Suspects(engine, clock)
        self._reader = Reader(handlers.keys(), event_filter)
        self._totals: Counter[str] = Counter()
        self._busy_seconds = 0.0
        prefetch_while_waiting(engine, self._prefetch)

    def figures(self) -> dict[str, float]:
        """Return the counts since the process started; may be called on any thread."""
        return {**self._totals, "batch_seconds": self._busy_seconds}

    def prefetch(self, batch: Sequence[Delivery]) -> None:
        """Parse this batch while the database works on the one before it."""
        self._reader.expect(batch)

    def process(self, batch: Sequence[Delivery]) -> Settlement:
        """Commit the effects, or the dead letters' records, of all deliveries except the retries.

        Calling it again with the same batch is safe: committed events are identified by their keys.

        Raises:
            RetryLaterError: The database is away; some may be committed. Hold them all, call again.
        """
        started = self._clock.monotonic()
        results = Results()
        suspects = [delivery for delivery in batch if delivery.is_suspect]
        if suspects:
            # Nothing else happens while a suspect is processed, so that a hang or an end is its doing.
            self._reader.expect(())
        self._commit_together(
            self._parse([delivery for delivery in batch if not delivery.is_suspect]), results
        )
        for suspect in suspects:
            self._process_suspect(suspect, results)
        results.counts["undecided"] += self._reader.take_undecided()
        duration = self._clock.monotonic() - started
        log_batch(batch, results, duration)
        self._totals.update(results.total(len(batch)))
        self._totals["batches"] += 1
        self._busy_seconds += duration
        return results.settlement()

    def _parse(self, deliveries: Sequence[Delivery]) -> list[ParsedOrRefused]:
        with self._limit():
            return self._reader.read_all(deliveries)

    def _prefetch(self) -> bool:
        with self._limit():
            return self._reader.prefetch()

    def _commit_together(self, outcomes: Sequence[ParsedOrRefused], results: Results) -> None:
        """Commit all in one transaction, or in several, so that an exception costs only its own event."""
        isolate(
            outcomes,
            lambda some: self._commit(some, results),
            lambda outcome, error: self._give_up(
                outcome.delivery,
                describe_failure(error),
                results,
                outcome.arrivals if isinstance(outcome, Parsed) else (),
            ),
        )

    def _give_up(
        self, delivery: Delivery, failure: Failure, results: Results, arrivals: Sequence[Arrival] = ()
    ) -> None:
        """Retry later an event that failed alone, or refuse it after its last attempt."""
        attempts = 1 if delivery.is_last_attempt else self._attempts
        delay = choose_delay(failure, delivery.local_attempts + 1, attempts)
        if delay is None:
            self._refuse(refuse(delivery, failure, arrivals), results)
        else:
            results.retries.append(Retry(delivery, failure, delay))

    def _refuse(self, refused: Refused, results: Results) -> None:
        """Record a dead letter; if the database refuses its record, record one without the event's values."""

        def record_minimally(refused: Refused, error: Exception) -> None:
            log_unrecordable(refused.dead_letter, error)
            dead_letter = ingest.make_minimal(refused.dead_letter, self._clock.now_us())
            self._commit([replace(refused, dead_letter=dead_letter)], results)

        isolate([refused], lambda some: self._commit(some, results), record_minimally)

    def _process_suspect(self, delivery: Delivery, results: Results) -> None:
        """Process alone a delivery that may end this process."""
        message_id = delivery.envelope.identity
        with self._suspects.attempt(message_id) as is_poison:
            if is_poison:
                self._give_up(delivery, POISON, results)
            else:
                self._commit_together(self._parse([delivery]), results)
        self._suspects.clear(message_id)

    def _commit(self, outcomes: Sequence[ParsedOrRefused], results: Results) -> None:
        arrivals, unstored = partition(outcomes, self._unstored)
        refused = [outcome for outcome in outcomes if isinstance(outcome, Refused)]
        canaries = [outcome.canary for outcome in outcomes if isinstance(outcome, Parsed) and outcome.canary]
        drift = self._reader.notes.pending(self._clock.monotonic())

        def work(connection: Connection) -> tuple[Dispatched, AbstractSet[str], Sequence[Drift]]:
            # The connection may be the first, which sets the clock.
            now_us = self._clock.now_us()
            dispatched = self._dispatch(connection, arrivals, now_us=now_us)
            new_drift = ingest.record_drift(connection, drift, now_us) if drift else []
            recorded: AbstractSet[str] = frozenset()
            if refused:
                dead_letters = [one.dead_letter for one in refused]
                recorded = ingest.record_dead_letters(connection, dead_letters, now_us)
            record_canaries(connection, canaries, now_us)
            ingest.count_unstored(connection, unstored, now_us)
            return dispatched, recorded, new_drift

        dispatched, recorded, new_drift = transact(self._engine, work)
        results.add(len(arrivals), dispatched, refused, recorded)
        results.counts["unstored"] += unstored.total()
        self._reader.notes.mark_recorded(drift, self._clock.monotonic())
        log_drift(new_drift)
        log_events(arrivals, dispatched)
