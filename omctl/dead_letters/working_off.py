"""Work off the letters that a person chose: run them again, or discard them.

Each letter goes these steps, and whatever is cut short between two of them is taken up again by the next run
without loss and without a second effect:

1. it is in hand; 2. the decision is on record; 3. it is published, and the broker has confirmed it, or its
body is kept; 4. it is removed from the queue.

What was not in the queue at the beginning is never reached, so that a letter that dies again stays.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from messaging.envelope import RECONCILE, REPLAY, WEBHOOK, replay_source
from workers.tables import (
    DeadLetter,
    begin_intervention,
    death_records,
    decide,
    end_intervention,
    keep_discarded,
    note_progress,
    record_dead_letters,
    transact,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from collections.abc import Set as AbstractSet
    from threading import Event

    from sqlalchemy import Connection, Engine

    from messaging.blocking import DeadLetterQueue, Letter, Republisher
    from messaging.clock import Clock
    from omctl.pace import Pace
    from workers.tables import Intervention

Result = TypeVar("Result")

STEP: Final = 500
"""Letters that are taken at once, and decided about in one transaction. Each take has a channel, and the
broker grants 2,047 of them."""

HOLD_SECONDS: Final = 600.0
"""After so long what is in hand goes back and is taken anew. The broker takes back all of it, in any order,
when it has waited 30 minutes for one letter (its consumer_timeout, which a policy may shorten)."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a person wants done.

    Args:
        intervention: For the record.
        message_ids: The letters that were chosen.
        count: How many were in the queue then, copies too: none behind them is touched.
    """

    intervention: Intervention
    message_ids: AbstractSet[str]
    count: int


@dataclass(slots=True)
class Progress:
    """How far it is.

    Args:
        done: Letters that are worked off.
        copies: Further copies of theirs that were removed.
        is_cancelled: Whether it ended early.
    """

    done: int = 0
    copies: int = 0
    is_cancelled: bool = False


class _Prepare(Protocol):
    """Put the decision about letters on record; return the intervention that counts for each."""

    def __call__(self, connection: Connection, letters: Sequence[Letter]) -> dict[str, str]: ...


class WorkingOff:
    """Works off the letters of one order.

    Args:
        order: What to do.
        queue: In hand.
        engine: The database.
        clock: Our time.
        pace: Waits before each letter.
        cancelled: Ends it between two letters.
    """

    def __init__(  # noqa: PLR0917  # collaborators, named where it is called
        self, order: Order, queue: DeadLetterQueue, engine: Engine, clock: Clock, pace: Pace, cancelled: Event
    ) -> None:
        self._order = order
        self._queue = queue
        self._engine = engine
        self._clock = clock
        self._pace = pace
        self._cancelled = cancelled
        self._ids: set[str] = set()
        self._held_since = 0.0
        self.progress = Progress()

    def replay(self, republisher: Republisher) -> Iterator[Progress]:
        """Run the chosen letters again; yields how far it is, after each."""
        again = self._order.intervention.again

        def carry_out(letter: Letter, counts: str) -> None:
            source = replay_source(counts if again else None)
            republisher.publish(replace(letter.envelope, source=source))

        yield from self._run(self._decide, carry_out)

    def discard(self) -> Iterator[Progress]:
        """Discard the chosen letters, and keep their bodies for a time; yields how far it is, after each."""
        yield from self._run(self._decide_and_keep, lambda _letter, _counts: None)

    def _run(
        self,
        prepare: _Prepare,
        carry_out: Callable[[Letter, str], None],
    ) -> Iterator[Progress]:
        intervention = self._order.intervention
        self._transact(lambda connection: begin_intervention(connection, intervention, self._clock.now_us()))
        try:
            for step in self._steps():
                decisions = self._transact(partial(prepare, letters=step))
                yield from self._carry_out(step, decisions, carry_out)
        finally:
            self.progress.is_cancelled = self.progress.done < intervention.chosen
            self._transact(self._end)

    def _steps(self) -> Iterator[list[Letter]]:
        """Take the letters that were there at the beginning, step by step; yield the chosen ones."""
        left = self._order.count
        self._held_since = self._clock.monotonic()
        while left > 0 and not self._cancelled.is_set():
            letters = self._queue.take(min(STEP, left))
            if not letters:
                return
            left -= len(letters)
            if chosen := [each for each in letters if each.envelope.identity in self._order.message_ids]:
                yield chosen
                if self._is_held_long():
                    left = self._queue.put_back(left)
                    self._held_since = self._clock.monotonic()
        if left > 0:
            self._queue.put_back(left)

    def _is_held_long(self) -> bool:
        return self._clock.monotonic() - self._held_since >= HOLD_SECONDS

    def _carry_out(
        self, letters: Sequence[Letter], decisions: dict[str, str], carry_out: Callable[[Letter, str], None]
    ) -> Iterator[Progress]:
        for letter in letters:
            identity = letter.envelope.identity
            if identity in self._ids:
                self.progress.copies += 1
            else:
                self._pace.wait()
                if self._cancelled.is_set():
                    return
                carry_out(letter, decisions.get(identity, self._order.intervention.intervention_id))
                self._ids.add(identity)
                self.progress.done += 1
            self._queue.remove(letter)
            yield self.progress
            if self._is_held_long():
                return

    def _decide(self, connection: Connection, letters: Sequence[Letter]) -> dict[str, str]:
        intervention_id = self._order.intervention.intervention_id
        note_progress(connection, intervention_id, self.progress.done)
        identities = [each.envelope.identity for each in letters]
        known = death_records(connection, identities)
        # A decision needs a record to stand in: one that stood nowhere would be another one after a kill.
        record_dead_letters(
            connection,
            [_record_of(each) for each in letters if each.envelope.identity not in known],
            self._clock.now_us(),
        )
        return decide(connection, identities, intervention_id, self._clock.now_us())

    def _decide_and_keep(self, connection: Connection, letters: Sequence[Letter]) -> dict[str, str]:
        bodies = {each.envelope.identity: each.envelope.body for each in letters}
        intervention_id = self._order.intervention.intervention_id
        keep_discarded(connection, bodies, intervention_id, self._clock.now_us())
        return self._decide(connection, letters)

    def _end(self, connection: Connection) -> None:
        end_intervention(
            connection,
            self._order.intervention.intervention_id,
            self.progress.done,
            is_cancelled=self.progress.is_cancelled,
            now_us=self._clock.now_us(),
        )

    def _transact(self, work: Callable[[Connection], Result]) -> Result:
        return transact(self._engine, work)


def _record_of(letter: Letter) -> DeadLetter:
    """Make the record of a letter that has none: it was put into the queue by hand."""
    envelope = letter.envelope
    source = envelope.source.partition(":")[0]
    return DeadLetter(
        message_id=envelope.identity,
        code="unknown",
        reason="no record: put into the queue by hand",
        body_sha256=hashlib.sha256(envelope.body).hexdigest(),
        source=source if source in {WEBHOOK, RECONCILE, REPLAY} else "other",
        received_at_us=envelope.received_at_us,
        attempt=1,
    )
