"""Compare with the platform's history for an operator who waits for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

from messaging.errors import RetryLaterError
from workers.db.engine import transact
from workers.db.reconcile import (
    STATE_UNKNOWN,
    KnownConversation,
    begin_reconciliation,
    decide_mismatches,
    find_processed_keys,
    read_conversation_ids,
    update_reconciliation,
)
from workers.genesys import PlatformRefusedError
from workers.parsing import moment_of
from workers.reconcile import Comparison, ProgressRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from threading import Event

    from sqlalchemy import Connection, Engine

    from messaging.clock import Clock
    from workers.reconcile import (
        Bounds,
        CheckResult,
        EventsExchange,
        PlatformHistory,
        ReconstructedEvent,
    )

Result = TypeVar("Result")

STEP: Final = 1000
"""Conversations of our own that are listed at once."""

TRIES: Final = 5
"""How often in a row the platform may fail to answer; then it is away."""

GLANCE_SECONDS: Final = 0.5


@dataclass(slots=True)
class Tally:
    """What was found; `missing` in the order in which it was found, `unlisted` why there was no list.

    `refused` and `failed` say why a conversation was not compared, `mismatch` why nothing more was published.
    """

    done: int = 0
    conversations: int = 0
    unknown: int = 0
    compared: int = 0
    unreadable: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    unlisted: str | None = None
    mismatch: str | None = None
    missing: list[ReconstructedEvent] = field(default_factory=list)

    def add(self, result: CheckResult) -> None:
        """Count the result of one conversation."""
        self.done += 1
        if result.failed is not None:
            self.failed[result.conversation_id] = result.failed
        elif result.refused is not None:
            self.refused[result.conversation_id] = result.refused
        else:
            self.conversations += 1
        self.unknown += result.state == STATE_UNKNOWN
        self.compared += result.compared
        self.unreadable += result.unreadable
        self.missing.extend(result.missing)


class Reconciling:
    """One comparison for one operator.

    Args:
        engine: The database.
        clock: The database's time.
        history: The platform's.
        exchange: Where missing events go.
        bounds: What is compared.
        cancelled: Ends it between two conversations.
    """

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        history: PlatformHistory,
        *,
        exchange: EventsExchange,
        bounds: Bounds,
        cancelled: Event,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._history = history
        self._exchange = exchange
        self._bounds = bounds
        self._cancelled = cancelled
        self.tally = Tally()

    def conversations(self) -> list[str]:
        """Return every conversation of the time: our own, and the platform's if it lists them."""
        own = {*self._own()}
        try:
            return sorted({*self._listed(), *own})
        except PlatformRefusedError as error:
            if not error.is_forbidden:
                raise
            self.tally.unlisted = str(error)
            return sorted(own)

    def compare(self, ids: Sequence[str], record: ProgressRecord | None, *, is_waived: bool) -> Iterator[int]:
        """Compare them and publish what is missing; yields how many are done, after each step.

        Without a record, nothing is changed.
        """
        known = map(KnownConversation, ids)
        comparison = Comparison(
            self._engine,
            self._clock,
            self._history,
            self._exchange,
            bounds=self._bounds,
            next_conversation=lambda _: next(known, None),
            record=record,
            report=self.tally.add,
            ignores_mismatch=is_waived,
        )
        while not self._cancelled.is_set() and self._patiently(comparison.step):
            yield self.tally.done
        self.tally.mismatch = comparison.mismatch
        yield self.tally.done

    def begin(self, started_by: str, holder: str) -> ProgressRecord:
        """Record that the operator's comparison begins."""
        begun = transact(
            self._engine,
            lambda connection: begin_reconciliation(
                connection,
                started_by=started_by,
                compared_from_us=self._bounds.from_us,
                compared_to_us=self._bounds.to_us,
                page=None,
                holder=holder,
                now_us=self._clock.now_us(),
            ),
        )
        assert begun is not None
        return ProgressRecord(begun.reconciliation_id, holder, again=True)

    def finish(self, record: ProgressRecord, operator: str, *, is_of_all: bool) -> None:
        """Record the end. After comparing everything without a mismatch, the timer continues."""

        def finish(connection: Connection) -> None:
            now_us, tally = self._clock.now_us(), self.tally
            update_reconciliation(
                connection,
                record.reconciliation_id,
                record.holder,
                now_us,
                finished_at=moment_of(now_us),
                unlisted=tally.unlisted,
                mismatch=tally.mismatch,
            )
            if is_of_all and tally.mismatch is None:
                decide_mismatches(connection, operator)

        transact(self._engine, finish)

    def still_missing(self, patience: float) -> list[ReconstructedEvent]:
        """Return the events that have not been processed yet; waits for them for so many seconds."""
        deadline = self._clock.monotonic() + patience
        while (left := self._unprocessed()) and self._clock.monotonic() < deadline:
            if self._cancelled.wait(GLANCE_SECONDS):
                break
        return left

    def _unprocessed(self) -> list[ReconstructedEvent]:
        keys = {event.key for event in self.tally.missing}
        known = transact(self._engine, lambda connection: find_processed_keys(connection, keys))
        return [event for event in self.tally.missing if event.key not in known]

    def _patiently(self, work: Callable[[], Result]) -> Result:
        """Do something that asks the platform; again if it has no answer for the moment."""
        for _ in range(TRIES - 1):
            try:
                return work()
            except RetryLaterError as error:
                if self._cancelled.wait(error.delay):
                    raise
        return work()

    def _listed(self) -> Iterator[str]:
        page, is_last = 1, False
        while not is_last and not self._cancelled.is_set():
            number = page
            ids, is_last = self._patiently(
                lambda number=number: self._history.list_conversations(  # type: ignore[misc]
                    self._bounds.from_us, self._bounds.to_us, number
                )
            )
            yield from ids
            page += 1

    def _own(self) -> Iterator[str]:
        after, since = "", moment_of(self._bounds.from_us)
        while page := transact(
            self._engine,
            lambda connection: read_conversation_ids(connection, after, since, STEP),  # noqa: B023  # called at once
        ):
            yield from page
            after = page[-1]
