"""Process a batch of deliveries: parse, claim, give effect, and say which become dead letters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from messaging.errors import RejectedEventError, RetryLaterError
from messaging.log import logger
from messaging.topology import UNROUTED
from workers.intake.dispatch import dispatch
from workers.intake.outcome import Outcome, Parsed, Refused, Tally, arrivals_of, message_id_of, refuse
from workers.parsing import DriftNotes, read_body
from workers.tables.database import transact
from workers.tables.dead_letters import record_dead_letters
from workers.tables.drift import record_drift
from workers.tables.suspects import KILLS, SUSPECT_FROM_ATTEMPT, clear_attempts, mark_attempt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection, Engine

    from messaging.clock import Clock
    from messaging.delivery import Delivery
    from workers.handlers import Handler

log = logger()


class Intake:
    """Gives every delivery its one effect, or its reason.

    Args:
        engine: The database; connected when first used.
        handlers: Every event type with its handlers.
        clock: Our time.
    """

    def __init__(self, engine: Engine, handlers: Mapping[str, Sequence[Handler]], clock: Clock) -> None:
        self._engine = engine
        self._handlers = handlers
        self._clock = clock
        self._notes = DriftNotes()
        self._marked: dict[str, int] = {}

    def process(self, batch: Sequence[Delivery]) -> frozenset[int]:
        """Commit the effects and the reasons of all deliveries.

        Calling it again with the same batch is safe: what is committed is known by its key.

        Returns:
            The delivery tags to dead-letter; all others are to be acknowledged.

        Raises:
            RetryLaterError: The database is away; some may be committed. Hold them all, call again.
        """
        started = self._clock.monotonic()
        tally = Tally(len(batch))
        outcomes = [self._parse(each) for each in batch if each.attempt < SUSPECT_FROM_ATTEMPT]
        refused = self._process_together(outcomes, tally)
        for each in batch:
            if each.attempt >= SUSPECT_FROM_ATTEMPT:
                refused += self._process_alone(each, tally)
        _log_batch(batch, refused, tally, self._clock.monotonic() - started)
        return frozenset(each.delivery.tag for each in refused)

    def _parse(self, delivery: Delivery) -> Outcome:
        envelope = delivery.envelope
        try:
            events = read_body(envelope.body, self._notes, self._handlers.keys())
        except Exception as error:  # noqa: BLE001  # a fault of ours in reading one event shall not hold all
            return refuse(delivery, error)
        return Parsed(delivery, arrivals_of(delivery, events))

    def _process_together(self, outcomes: Sequence[Outcome], tally: Tally) -> list[Refused]:
        """Commit all in one transaction; when one of them is at fault, halve until it stands alone."""
        if not outcomes:
            return []
        try:
            return self._commit(outcomes, tally)
        except RetryLaterError:
            raise
        except Exception as error:  # noqa: BLE001  # a handler may raise anything, and only its event pays
            if len(outcomes) == 1:
                return self._commit([refuse(outcomes[0].delivery, error)], tally)
        middle = len(outcomes) // 2
        return [
            *self._process_together(outcomes[:middle], tally),
            *self._process_together(outcomes[middle:], tally),
        ]

    def _process_alone(self, suspect: Delivery, tally: Tally) -> list[Refused]:
        """Process a delivery that may kill this process; its mark outlives us if it does."""
        message_id = message_id_of(suspect)
        kills = self._kills_of(message_id)
        if kills < KILLS:
            outcome = self._parse(suspect)
        else:
            error = RejectedEventError("poison", f"event: ended {kills} workers that tried it alone")
            outcome = refuse(suspect, error)
        refused = self._process_together([outcome], tally)
        transact(self._engine, lambda connection: clear_attempts(connection, message_id))
        self._marked.pop(message_id, None)
        return refused

    def _kills_of(self, message_id: str) -> int:
        """Mark an attempt and return how many workers earlier attempts ended.

        A batch that is held is tried again while this process lives, which is no kill: one mark will do.
        """
        if message_id not in self._marked:
            now_us = self._clock.now_us()
            self._marked[message_id] = transact(
                self._engine, lambda connection: mark_attempt(connection, message_id, now_us)
            )
        return self._marked[message_id]

    def _commit(self, outcomes: Sequence[Outcome], tally: Tally) -> list[Refused]:
        now_us = self._clock.now_us()
        arrivals = [arrival for each in outcomes if isinstance(each, Parsed) for arrival in each.arrivals]
        refused = [each for each in outcomes if isinstance(each, Refused)]
        drift = self._notes.pending()

        def work(connection: Connection) -> tuple[int, int]:
            claimed, skips = dispatch(connection, arrivals, self._handlers, now_us)
            record_dead_letters(connection, (each.dead_letter for each in refused), now_us)
            record_drift(connection, drift, now_us)
            return len(claimed), len(skips)

        claimed, skipped = transact(self._engine, work)
        self._notes.mark_recorded(drift)
        tally.count(parsed=len(arrivals), claimed=claimed, skipped=skipped, refused=len(refused))
        return refused


def _log_batch(
    deliveries: Sequence[Delivery], refused: Sequence[Refused], tally: Tally, duration: float
) -> None:
    """Write one line for the batch, and one for each delivery that was not simply processed."""
    for each in refused:
        log.warning(
            "delivery_dead_lettered",
            code=each.dead_letter.code,
            reason=each.dead_letter.reason,
            message_id=each.dead_letter.message_id,
            body_sha256=each.dead_letter.body_sha256,
            attempt=each.delivery.attempt,
        )
    unrouted = sum(each.queue == UNROUTED for each in deliveries)
    if unrouted:
        log.warning("deliveries_unrouted", deliveries=unrouted, reason="they met no binding of the exchange")
    log.info(
        "batch_processed",
        deliveries=tally.deliveries,
        processed=tally.processed,
        skipped=tally.skipped,
        duplicates=tally.duplicates,
        dead_lettered=tally.dead_lettered,
        duration_s=round(duration, 4),
    )
