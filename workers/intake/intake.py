"""Process a batch of deliveries: parse, claim, dispatch, commit, and return how to settle each delivery.

A batch is parsed and then committed in one transaction (`_commit`). If the transaction fails, the batch is
halved until the event at fault is alone (`_commit_together`); `_give_up` retries or dead-letters that event.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import nullcontext
from functools import partial

from sqlalchemy import Connection, Engine

from messaging.clock import Clock
from messaging.consuming import Delivery, Settlement
from messaging.log import logger
from workers.db import ingest
from workers.db.canary import record_canaries
from workers.db.engine import prefetch_while_waiting, transact
from workers.filters import Filter
from workers.handlers import Handler
from workers.intake.dispatch import Dispatched, TimeLimit, dispatch
from workers.intake.failure import POISON, Failure, choose_delay, describe, describe_failure
from workers.intake.outcome import (
    Parsed,
    Results,
    log_batch,
    log_dead_letter,
    log_events,
    make_dead_letter,
)
from workers.intake.reading import Reader
from workers.isolation import isolate
from workers.parsing import Drift


class Intake:
    """Gives each event its one effect, or records why it has none.

    Args:
        attempts: How many times an event is tried before it is dead-lettered, if its handler always fails.
        retention_us: How long events are kept, in microseconds; None means forever.
        unstored: Event types that are counted but not stored.
        limit: Limits how long parsing and an integrator's handler may take.
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
        self.suspects = ingest.Suspects(engine, clock)
        self._reader = Reader(handlers.keys(), event_filter, limit)
        self._totals: Counter[str] = Counter()
        self._busy_seconds = 0.0
        prefetch_while_waiting(engine, self._reader.prefetch)

    def figures(self) -> dict[str, float]:
        """Return the counts since the process started; may be called on any thread."""
        return {**self._totals, "batch_seconds": self._busy_seconds}

    def prefetch(self, batch: Sequence[Delivery]) -> None:
        """Announce the next batch, which is then parsed while the database works on the current batch."""
        self._reader.expect(batch)

    def process(self, batch: Sequence[Delivery]) -> Settlement:
        """Commit each delivery's effect or its record as a dead letter, unless the delivery is to be retried.

        Calling this again with the same batch is safe: the keys of committed events show that they are known.

        Raises:
            RetryLaterError: The database is away. Call this again with the same batch, even if part is done.
        """
        started = self._clock.monotonic()
        results = Results()
        suspects = [delivery for delivery in batch if delivery.is_suspect]
        if suspects:
            # Do not parse the next batch now, so that only a suspect can cause a hang or a crash.
            self._reader.expect(())
        together = [delivery for delivery in batch if not delivery.is_suspect]
        self._commit_together(self._reader.read_all(together), results)
        for suspect in suspects:
            # A suspect can crash or hang this process, so it is marked first.
            with self.suspects.attempt(suspect.envelope.identity) as ends:
                # Parse a poison event to get its key, unless an attempt to do so has ended a third worker.
                is_readable = ends <= ingest.POISON_ENDS
                parsed = self._reader.read_all([suspect]) if is_readable else [Parsed(suspect)]
                if ends < ingest.POISON_ENDS:
                    self._commit_together(parsed, results)
                else:
                    self._give_up(parsed[0], POISON, results)
        results.counts.update(undecided=self._reader.take_undecided(), put_off=len(results.retries))
        duration = self._clock.monotonic() - started
        log_batch(batch, results.counts, duration)
        self._totals.update(results.counts, deliveries=len(batch), batches=1)
        self._busy_seconds += duration
        return Settlement(frozenset(results.rejected), results.retries)

    def _commit_together(self, outcomes: Sequence[Parsed], results: Results) -> None:
        isolate(
            outcomes,
            lambda some: self._commit(some, results),
            lambda outcome, error: self._give_up(outcome, describe_failure(error), results),
        )

    def _give_up(self, outcome: Parsed, failure: Failure, results: Results) -> None:
        delivery = outcome.delivery
        attempts = 1 if delivery.is_last_attempt else self._attempts
        delay = choose_delay(failure, delivery.local_attempts + 1, attempts)
        if delay is not None:
            results.retries[delivery.tag] = delay
            logger().warning(
                "delivery_put_off",
                code=failure.code,
                reason=failure.reason,
                where=failure.where,
                message_id=delivery.envelope.identity,
                attempt=delivery.local_attempts + 1,
                retry_in_s=round(delay, 2),
            )
            return

        def record(dead_letters: Sequence[ingest.DeadLetter]) -> None:
            self._commit([Parsed(delivery, dead_letter=one) for one in dead_letters], results)

        def record_minimally(dead_letter: ingest.DeadLetter, error: Exception) -> None:
            ids = {"code": dead_letter.code, "message_id": dead_letter.message_id}
            reason = dead_letter.reason
            logger().error("dead_letter_unrecordable", **ids, reason=reason, error=describe(error))
            record([ingest.make_minimal(dead_letter, self._clock.now_us())])

        # If the database refuses the dead letter's record, store a record without the event's values.
        isolate([make_dead_letter(delivery, failure, outcome.arrivals)], record, record_minimally)

    def _commit(self, outcomes: Sequence[Parsed], results: Results) -> None:
        arrived = [arrival for outcome in outcomes for arrival in outcome.arrivals]
        arrivals = [arrival for arrival in arrived if arrival.event.event_type not in self._unstored]
        types = Counter(arrival.event.event_type for arrival in arrived)
        unstored = {kind: count for kind, count in types.items() if kind in self._unstored}
        refused = [(one.delivery, one.dead_letter) for one in outcomes if one.dead_letter]
        canaries = [one.canary for one in outcomes if one.canary]
        drift = self._reader.notes.pending(self._clock.monotonic())

        def work(connection: Connection) -> tuple[Dispatched, AbstractSet[str], Sequence[Drift]]:
            # Read the time only here, because the first connection to the database sets the clock.
            now_us = self._clock.now_us()
            dispatched = self._dispatch(connection, arrivals, now_us=now_us)
            new_drift = ingest.record_drift(connection, drift, now_us) if drift else []
            dead_letters = [dead_letter for _, dead_letter in refused]
            recorded = ingest.record_dead_letters(connection, dead_letters, now_us)
            record_canaries(connection, canaries, now_us)
            ingest.count_unstored(connection, unstored, now_us)
            return dispatched, recorded, new_drift

        dispatched, recorded, new_drift = transact(self._engine, work)
        results.rejected.update(delivery.tag for delivery, _ in refused)
        newly_refused = [one for one in refused if one[1].message_id in recorded]
        results.counts.update(
            processed=len(dispatched.new) - len(dispatched.skips),
            skipped=len(dispatched.skips),
            duplicates=len(arrivals) - len(dispatched.new) - dispatched.conflicts,
            conflicts=dispatched.conflicts,
            unstored=sum(unstored.values()),
            dead_lettered=len(newly_refused),
        )
        for delivery, dead_letter in newly_refused:
            log_dead_letter(delivery, dead_letter)
        self._reader.notes.mark_recorded(drift, self._clock.monotonic())
        for item in new_drift:
            shown = {"kind": item.kind, "name": item.name, "sample": item.sample}
            logger().warning("drift_noted", **shown, event_type=item.event_type)
        log_events(arrivals, dispatched)
