"""Compare with the platform's history for a person who waits for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

from messaging.errors import RetryLaterError
from workers.genesys import PlatformRefusedError, PlatformUnavailableError
from workers.parsing import moment_of
from workers.reconcile import Bounds, Checker, Comparer
from workers.tables import (
    STATE_UNKNOWN,
    KnownConversation,
    begin_reconciliation,
    conversations_to_compare,
    note_reconciliation,
    processed_keys,
    transact,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from threading import Event

    from sqlalchemy import Connection, Engine

    from messaging.clock import Clock
    from workers.reconcile import Checked, Copy, EventsExchange, PlatformHistory
    from workers.tables import Reconciliation

Result = TypeVar("Result")

STEP: Final = 1000
"""Conversations of our own that are listed at once."""

TRIES: Final = 5
"""How often in a row the platform may fail to answer; then a conversation is passed over, or it is away."""

UNANSWERED_IN_A_ROW: Final = 5
"""Where none of so many has an answer, the platform is away; fewer may each be at fault themselves."""

GLANCE_SECONDS: Final = 0.5


@dataclass(slots=True)
class Tally:
    """What was found; `missing` in the order in which it was found, `unlisted` why there was no list.

    `refused` and `unanswered` say why the platform did not show a conversation.
    """

    conversations: int = 0
    unknown: int = 0
    compared: int = 0
    unreadable: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    unanswered: dict[str, str] = field(default_factory=dict)
    unlisted: str | None = None
    missing: list[Copy] = field(default_factory=list)

    def add(self, checked: Checked) -> None:
        """Count what one conversation brought."""
        if checked.refused is not None:
            self.refused[checked.conversation_id] = checked.refused
        self.conversations += checked.refused is None
        self.unknown += checked.state == STATE_UNKNOWN
        self.compared += checked.compared
        self.unreadable += checked.unreadable
        self.missing.extend(checked.missing)


class Reconciling:
    """One comparison for one person.

    Args:
        engine: The database.
        clock: Our time.
        history: The platform's.
        exchange: Where what is missing goes.
        bounds: What is compared.
        receipts: Whether receipts are.
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
        receipts: bool,
        cancelled: Event,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._history = history
        self._exchange = exchange
        self._bounds = bounds
        self._cancelled = cancelled
        self._checker = Checker(engine, history, receipts=receipts)
        self.tally = Tally()

    def conversations(self) -> list[str]:
        """Return every conversation of the time: our own, and the platform's where it lists them."""
        own = {*self._own()}
        try:
            return sorted({*self._listed(), *own})
        except PlatformRefusedError as error:
            if not error.is_forbidden:
                raise
            self.tally.unlisted = str(error)
            return sorted(own)

    def look(self, ids: Sequence[str]) -> Iterator[int]:
        """Compare the conversations and change nothing; yields how many are done, after each."""
        return self._each(ids, lambda known: self._checker.check(known, self._bounds))

    def recover(self, ids: Sequence[str], started_by: str, holder: str) -> Iterator[int]:
        """Compare them, publish what is missing and put it on record; yields as `look`."""
        reconciliation = self._begin(started_by, holder)
        comparer = Comparer(
            self._engine, self._clock, self._checker, self._exchange, holder=holder, again=True
        )
        yield from self._each(
            ids, lambda known: comparer.compare(reconciliation, known, self._bounds).checked
        )
        if not self._cancelled.is_set():
            number, finished_at = reconciliation.reconciliation_id, moment_of(self._clock.now_us())
            transact(
                self._engine,
                lambda connection: note_reconciliation(
                    connection,
                    number,
                    holder,
                    self._clock.now_us(),
                    finished_at=finished_at,
                    unlisted=self.tally.unlisted,
                ),
            )

    def still_missing(self, patience: float) -> list[Copy]:
        """Return what has not been processed yet; waits for it so many seconds."""
        deadline = self._clock.monotonic() + patience
        while (left := self._unprocessed()) and self._clock.monotonic() < deadline:
            if self._cancelled.wait(GLANCE_SECONDS):
                break
        return left

    def _unprocessed(self) -> list[Copy]:
        keys = {each.event.idempotency_key for each in self.tally.missing}
        known = transact(self._engine, lambda connection: processed_keys(connection, keys))
        return [each for each in self.tally.missing if each.event.idempotency_key not in known]

    def _each(self, ids: Sequence[str], compare: Callable[[KnownConversation], Checked]) -> Iterator[int]:
        """Compare one after the other; pass over one that never has an answer, but not several in a row.

        What never arrived, or met a limit, is not the conversation's.
        """
        in_a_row = 0
        for done, conversation_id in enumerate(ids, start=1):
            if self._cancelled.is_set():
                return
            known = KnownConversation(conversation_id, None)
            try:
                self.tally.add(self._patiently(lambda known=known: compare(known)))  # type: ignore[misc]
                in_a_row = 0
            except PlatformUnavailableError as error:
                in_a_row += 1
                is_away = not error.may_have_arrived or in_a_row == UNANSWERED_IN_A_ROW
                if is_away or self._cancelled.is_set():
                    raise
                self.tally.unanswered[conversation_id] = str(error)
            yield done

    def _patiently(self, work: Callable[[], Result]) -> Result:
        """Do something that asks the platform; again where it has no answer for the moment."""
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
                lambda number=number: self._history.conversations(  # type: ignore[misc]
                    self._bounds.from_us, self._bounds.to_us, number
                )
            )
            yield from ids
            page += 1

    def _own(self) -> Iterator[str]:
        after = ""
        while page := transact(self._engine, lambda connection: self._page(connection, after)):  # noqa: B023  # called at once
            yield from (each.conversation_id for each in page)
            after = page[-1].conversation_id

    def _page(self, connection: Connection, after: str) -> list[KnownConversation]:
        since = moment_of(self._bounds.from_us)
        return conversations_to_compare(connection, after, since, STEP, again=True)

    def _begin(self, started_by: str, holder: str) -> Reconciliation:
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
        return begun
