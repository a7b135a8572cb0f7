"""Compare everything with the platform every so often, a step at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from messaging.errors import BrokerUnavailableError, ConfigurationError, RetryLaterError
from messaging.log import logger
from workers.genesys import PlatformRefusedError, PlatformUnavailableError
from workers.parsing import moment_of
from workers.reconcile.bounds import DAY_US, compared_from, is_due, listed_from
from workers.reconcile.checking import Bounds
from workers.reconcile.comparing import tell, tell_finished
from workers.reconcile.reach import reach_of
from workers.reconcile.unanswered import Unanswered
from workers.tables import (
    TIMER,
    begin_reconciliation,
    conversations_to_compare,
    list_conversations,
    note_reconciliation,
    read_watermarks,
    reconciliation_row,
    reconciliations,
    take_up_reconciliation,
    transact,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection, Engine, Row

    from messaging.clock import Clock
    from workers.reconcile.broker import EventsExchange
    from workers.reconcile.comparing import Comparer
    from workers.reconcile.platform_history import PlatformHistory
    from workers.reconcile.settings import ReconcileSettings
    from workers.tables import KnownConversation, Reconciliation

CONVERSATIONS_AT_ONCE: Final = 5
"""Of one step; where none of so many has an answer, the platform is away."""

REFUSED_SECONDS: Final = 60.0
"""Rights or credentials are a person's matter; until it is mended nothing is gained by asking more often."""

FIRST_PAGE: Final = 1

log = logger()


class Reconciler:
    """The timer's comparisons: begun when they are due, taken over where another process was killed.

    Args:
        engine: The database.
        clock: Our time.
        history: The platform's.
        comparer: Compares a conversation.
        exchange: The broker.
        settings: How often, and what.
        holder: This process, in the records.
        is_stopped: Whether no further conversation is to be begun.
    """

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        history: PlatformHistory,
        comparer: Comparer,
        *,
        exchange: EventsExchange,
        settings: ReconcileSettings,
        holder: str,
        is_stopped: Callable[[], bool],
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._history = history
        self._comparer = comparer
        self._exchange = exchange
        self._settings = settings
        self._holder = holder
        self._is_stopped = is_stopped
        self._unanswered = Unanswered()

    def reconcile(self) -> int:
        """Take one step of the comparison that is due; return 0 where none is, or another process has it.

        Raises:
            RetryLaterError: Platform, broker or database are away or refuse us; what is done is on record.
        """
        try:
            return self._take_step()
        except PlatformRefusedError as error:
            raise RetryLaterError(str(error), delay=REFUSED_SECONDS) from error
        except (BrokerUnavailableError, ConfigurationError) as error:
            # A broker also refuses while a node boots or a password changes.
            raise RetryLaterError(str(error)) from None

    def _take_step(self) -> int:
        reconciliation = transact(self._engine, self._take_up) or self._begin()
        if reconciliation is None:
            return 0
        if reconciliation.page is None:
            self._compare(reconciliation)
        else:
            self._list(reconciliation, reconciliation.page)
        return 1

    def _take_up(self, connection: Connection) -> Reconciliation | None:
        return take_up_reconciliation(connection, self._holder, self._clock.now_us())

    def _begin(self) -> Reconciliation | None:
        watermarks = transact(self._engine, read_watermarks)
        now_us = self._clock.now_us()
        if not is_due(watermarks, now_us, self._settings.interval_us):
            return None
        to_us = reach_of(self._engine, self._exchange, now_us, self._settings.margin_us)
        begun = transact(
            self._engine,
            lambda connection: begin_reconciliation(
                connection,
                started_by=TIMER,
                compared_from_us=compared_from(watermarks, now_us, self._settings.horizon_days * DAY_US),
                compared_to_us=to_us,
                page=FIRST_PAGE,
                holder=self._holder,
                now_us=now_us,
            ),
        )
        if begun is not None:
            log.info("reconciliation_started", reconciliation=begun.reconciliation_id)
        return begun

    def _list(self, reconciliation: Reconciliation, page: int) -> None:
        """Record a page of the platform's conversations."""
        watermarks = transact(self._engine, read_watermarks)
        from_us = listed_from(watermarks, reconciliation.compared_from_us)
        try:
            ids, is_last = self._history.conversations(from_us, reconciliation.compared_to_us, page)
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

    def _compare(self, reconciliation: Reconciliation) -> None:
        """Compare the next conversations, each on record by itself; finish where none is left.

        One that has no answer time after time is passed over once a later one has one. Until then the
        platform may be away, and the comparison stays where it is.
        """
        active_since = moment_of(reconciliation.compared_from_us)
        known = transact(
            self._engine,
            lambda connection: conversations_to_compare(
                connection, reconciliation.read_through, active_since, CONVERSATIONS_AT_ONCE
            ),
        )
        failures = self._compare_each(reconciliation, known)
        if failures and (len(known) == CONVERSATIONS_AT_ONCE or self._is_stopped()):
            raise failures[-1]
        if failures:
            self._pass_over_the_last(reconciliation, known[-1].conversation_id, len(failures))
        if not known:
            self._finish(reconciliation)

    def _compare_each(
        self, reconciliation: Reconciliation, known: Sequence[KnownConversation]
    ) -> list[PlatformUnavailableError]:
        """Compare until stopped; return why those at the end had no answer, empty where the last had one."""
        bounds = Bounds(reconciliation.compared_from_us, reconciliation.compared_to_us)
        failures: list[PlatformUnavailableError] = []
        for each in known:
            if self._is_stopped():
                break
            try:
                tell(self._comparer.compare(reconciliation, each, bounds, unanswered=len(failures)))
            except PlatformUnavailableError as error:
                if not self._unanswered.may_be_passed_over(each.conversation_id, error):
                    raise
                failures.append(error)
            else:
                self._unanswered.answered(each.conversation_id)
                failures.clear()
        return failures

    def _pass_over_the_last(self, reconciliation: Reconciliation, last: str, unanswered: int) -> None:
        """Go on behind the last ones, since none comes after them, if the platform answers anything."""
        now_us = self._clock.now_us()
        try:
            self._history.conversations(now_us - DAY_US, now_us, FIRST_PAGE)
        except PlatformRefusedError as error:
            if error.is_of_credentials:
                raise

        def note(connection: Connection) -> None:
            passed_over = reconciliations.c.passed_over + unanswered
            self._note(connection, reconciliation, read_through=last, passed_over=passed_over)

        transact(self._engine, note)

    def _finish(self, reconciliation: Reconciliation) -> None:
        self._unanswered.clear()

        def finish(connection: Connection) -> Row[Any]:
            self._note(connection, reconciliation, finished_at=moment_of(self._clock.now_us()))
            return reconciliation_row(connection, reconciliation.reconciliation_id)

        tell_finished(transact(self._engine, finish))

    def _note(self, connection: Connection, reconciliation: Reconciliation, **changes: object) -> None:
        note_reconciliation(
            connection, reconciliation.reconciliation_id, self._holder, self._clock.now_us(), **changes
        )
