"""Compare everything with the platform every so often, a step at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from messaging.errors import RetryLaterError
from messaging.log import logger
from workers.db.engine import transact
from workers.db.reconcile import (
    TIMER,
    TakenOverError,
    begin_reconciliation,
    conversations_to_count,
    count_unread,
    list_conversations,
    list_own_conversations,
    note_counts,
    note_reconciliation,
    read_watermarks,
    reconciliation_row,
    take_up_reconciliation,
)
from workers.genesys import PlatformRefusedError
from workers.parsing import moment_of
from workers.reconcile.bounds import compared_from, is_due, listed_from
from workers.reconcile.checking import Bounds, Checker
from workers.reconcile.comparing import Comparer, Record, log_found
from workers.reconcile.platform_history import COUNTED_AT_ONCE
from workers.reconcile.reach import reach_of
from workers.reconcile.settings import MARGIN_US
from workers.reconcile.worklists import StoredWorklist

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from messaging.clock import Clock
    from workers.db.reconcile import PlatformCount, Reconciliation
    from workers.reconcile.broker import EventsExchange
    from workers.reconcile.platform_history import PlatformHistory
    from workers.reconcile.settings import ReconcileSettings

REFUSED_SECONDS: Final = 60.0
"""An operator has to mend rights or credentials; until then nothing is gained by asking more often."""

FIRST_PAGE: Final = 1

REPORTED: Final = (
    "conversations",
    "compared",
    "missing",
    "published",
    "waiting",
    "unreadable",
    "unread",
    "unlisted",
    "passed_over",
    "mismatch",
)

log = logger()


class Reconciler:
    """The timer's comparisons: begun when they are due, taken over if another process was killed.

    Args:
        engine: The database.
        clock: The database's: every process goes by the same leases.
        history: The platform's.
        exchange: The broker.
        settings: How often, and what.
        holder: This process, in the records.
    """

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        history: PlatformHistory,
        *,
        exchange: EventsExchange,
        settings: ReconcileSettings,
        holder: str,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._history = history
        self._exchange = exchange
        self._settings = settings
        self._holder = holder
        self._counted: int | None = None
        self._comparers: dict[int, Comparer] = {}

    def reconcile(self) -> int:
        """Take one step of the comparison that is due; return 0 if none is, or another process has it.

        Raises:
            RetryLaterError: Platform, broker or database are away or refuse us; what is done is recorded.
        """
        try:
            return self._take_step()
        except PlatformRefusedError as error:
            raise RetryLaterError(str(error), delay=REFUSED_SECONDS) from error
        except TakenOverError:
            self._comparers.clear()
            raise

    def _take_step(self) -> int:
        reconciliation = transact(self._engine, self._take_up) or self._begin()
        if reconciliation is None:
            self._comparers.clear()
            return 0
        if reconciliation.page is not None:
            self._list(reconciliation, reconciliation.page)
        elif not self._count(reconciliation):
            self._compare(reconciliation)
        return 1

    def _take_up(self, connection: Connection) -> Reconciliation | None:
        return take_up_reconciliation(connection, self._holder, self._clock.now_us())

    def _begin(self) -> Reconciliation | None:
        watermarks = transact(self._engine, read_watermarks)
        now_us = self._clock.now_us()
        if not is_due(watermarks, now_us, self._settings.interval_us):
            return None
        to_us = reach_of(self._engine, self._exchange, now_us, MARGIN_US)
        from_us = compared_from(watermarks, now_us, self._settings.horizon_us)

        def begin(connection: Connection) -> Reconciliation | None:
            list_own_conversations(connection, moment_of(from_us))
            return begin_reconciliation(
                connection,
                started_by=TIMER,
                compared_from_us=from_us,
                compared_to_us=to_us,
                page=FIRST_PAGE,
                holder=self._holder,
                now_us=now_us,
            )

        begun = transact(self._engine, begin)
        if begun is not None:
            log.info("reconciliation_started", reconciliation=begun.reconciliation_id)
        return begun

    def _list(self, reconciliation: Reconciliation, page: int) -> None:
        """Record a page of the platform's conversations."""
        watermarks = transact(self._engine, read_watermarks)
        started_from_us = listed_from(watermarks)
        from_us = max(reconciliation.compared_from_us, started_from_us or 0)
        try:
            ids, is_last = self._history.conversations(
                from_us, reconciliation.compared_to_us, page, started_from_us=started_from_us
            )
        except PlatformRefusedError as error:
            if not error.is_forbidden:
                raise
            self._go_on_unlisted(reconciliation, error)
            return

        def note(connection: Connection) -> None:
            list_conversations(connection, ids, self._clock.now_us())
            self._note(connection, reconciliation, page=None if is_last else page + 1)

        transact(self._engine, note)

    def _go_on_unlisted(self, reconciliation: Reconciliation, error: PlatformRefusedError) -> None:
        """Compare the conversations that are known; the next comparison asks for the list from here again."""
        log.warning(
            "reconciliation_unlisted",
            reason=str(error),
            consequence="conversations never heard of are not compared: give the OAuth client the permission"
            " Analytics > Conversation Detail > View",
        )

        def note(connection: Connection) -> None:
            self._note(connection, reconciliation, page=None, unlisted=str(error))

        transact(self._engine, note)

    def _count(self, reconciliation: Reconciliation) -> bool:
        """Ask analytics how many messages some conversations have; return whether any were left to count."""
        if self._counted == reconciliation.reconciliation_id:
            return False
        since = moment_of(reconciliation.compared_from_us)
        read = transact(
            self._engine,
            lambda connection: conversations_to_count(
                connection, reconciliation.started_us, since, COUNTED_AT_ONCE
            ),
        )
        if not read:
            self._counted = reconciliation.reconciliation_id
            return False
        counts = self._counts_of(sorted(read))

        def note(connection: Connection) -> None:
            note_counts(connection, read, counts, self._clock.now_us())
            self._note(connection, reconciliation)

        transact(self._engine, note)
        return True

    def _counts_of(self, ids: list[str]) -> dict[str, PlatformCount]:
        """Return what analytics report; nothing, so that all are read, if they refuse."""
        try:
            return self._history.counts(ids)
        except PlatformRefusedError as error:
            if error.is_of_credentials:
                raise
            log.warning("conversations_uncounted", reason=str(error))
            return {}

    def _compare(self, reconciliation: Reconciliation) -> None:
        number = reconciliation.reconciliation_id
        if number not in self._comparers:
            self._comparers = {number: self._comparer_of(reconciliation)}
        comparer = self._comparers[number]
        if not comparer.step():
            self._finish(reconciliation, comparer.mismatch)

    def _comparer_of(self, reconciliation: Reconciliation) -> Comparer:
        until_us = reconciliation.started_us + self._settings.interval_us
        return Comparer(
            self._engine,
            self._clock,
            Checker(self._engine, self._history),
            self._history,
            self._exchange,
            worklist=StoredWorklist(self._engine, self._clock, reconciliation, until_us),
            bounds=Bounds(reconciliation.compared_from_us, reconciliation.compared_to_us),
            record=Record(reconciliation.reconciliation_id, self._holder),
            report=log_found,
            ours=(reconciliation.ours, reconciliation.unmatched),
        )

    def _finish(self, reconciliation: Reconciliation, mismatch: str | None) -> None:
        since = moment_of(reconciliation.compared_from_us)

        def finish(connection: Connection) -> dict[str, object]:
            self._note(
                connection,
                reconciliation,
                finished_at=moment_of(self._clock.now_us()),
                unread=count_unread(connection, reconciliation.started_us, since),
                mismatch=mismatch,
            )
            row = reconciliation_row(connection, reconciliation.reconciliation_id)
            return {name: getattr(row, name) for name in REPORTED}

        report = transact(self._engine, finish)
        self._comparers.clear()
        level = log.info if mismatch is None else log.error
        level("reconciliation_finished", reconciliation=reconciliation.reconciliation_id, **report)

    def _note(self, connection: Connection, reconciliation: Reconciliation, **changes: object) -> None:
        note_reconciliation(
            connection, reconciliation.reconciliation_id, self._holder, self._clock.now_us(), **changes
        )
