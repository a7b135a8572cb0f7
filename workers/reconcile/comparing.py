"""Compare conversation after conversation, for the timer and for a command: publish what is missing."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from messaging.envelope import RECONCILE, Envelope
from messaging.log import logger
from workers.db.engine import transact
from workers.db.models import reconciliations
from workers.db.reconcile import STATE_OPEN, known_gaps, note_gaps, note_reconciliation
from workers.genesys import PlatformRefusedError, PlatformUnavailableError
from workers.isolation import isolate
from workers.reconcile.bounds import DAY_US, MIN_COMPARED, is_mismatch
from workers.reconcile.checking import Checked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import Connection, Engine

    from messaging.clock import Clock
    from workers.db.reconcile import KnownConversation
    from workers.reconcile.broker import EventsExchange
    from workers.reconcile.checking import Bounds, Checker
    from workers.reconcile.copies import Copy
    from workers.reconcile.platform_history import PlatformHistory
    from workers.reconcile.worklists import Worklist

MAX_HELD: Final = 1_000
"""Missing events that wait in memory until enough of ours are compared; an outage may leave none of ours."""

_R: Final = reconciliations.c

log = logger()


@dataclass(frozen=True, slots=True)
class Record:
    """Where a comparison's progress goes.

    Args:
        reconciliation_id: The row.
        holder: This process.
        again: Whether gaps that were published before, and are not processed, are published once more.
    """

    reconciliation_id: int
    holder: str
    again: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """What a comparison found in one conversation, or in a piece of it.

    Args:
        checked: What there was.
        published: The missing events that were published.
        failed: Why it could not be compared; None if it was, or the platform refused it.
    """

    checked: Checked
    published: tuple[Copy, ...] = ()
    failed: str | None = None


class Comparer:
    """Carries out one comparison, a request or two at a time.

    Nothing is published before enough of our own events were found in the history; if it lacks too many of
    them, the comparison itself is wrong, and `mismatch` says so.

    Args:
        engine: The database.
        clock: The database's.
        checker: Compares a conversation.
        history: The platform's.
        exchange: Where missing events go.
        worklist: The conversations.
        bounds: What is compared.
        record: Where progress goes; None: change nothing.
        report: Called with everything that was found.
        ours: Our events compared before, by another process, and of these those unmatched.
        is_waived: Whether an operator has decided to publish whatever the history lacks.
    """

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        checker: Checker,
        history: PlatformHistory,
        exchange: EventsExchange,
        *,
        worklist: Worklist,
        bounds: Bounds,
        record: Record | None,
        report: Callable[[Found], None],
        ours: tuple[int, int] = (0, 0),
        is_waived: bool = False,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._checker = checker
        self._history = history
        self._exchange = exchange
        self._worklist = worklist
        self._bounds = bounds
        self._record = record
        self._report = report
        self._ours, self._unmatched = ours
        self._is_waived = is_waived
        self._known: KnownConversation | None = None
        self._pieces: Iterator[Checked] = iter(())
        self._began_us = 0
        self._held: list[tuple[Checked, int]] = []
        self._unanswered = ""
        self.mismatch: str | None = None

    def step(self) -> bool:
        """Compare the next piece; return whether there is more to do.

        Whatever is raised leaves the conversation to the next step, which begins where its record ends.

        Raises:
            RetryLaterError: Platform, broker or database are away.
            PlatformRefusedError: Our credentials: an operator has to look.
        """
        if self.mismatch is not None:
            return False
        try:
            if self._known is None:
                skip = {checked.conversation_id for checked, _ in self._held}
                self._known = self._worklist.first(skip)
                if self._known is None:
                    self._release()
                    return False
                self._began_us = self._clock.now_us()
                self._pieces = self._checker.check(self._known, self._bounds)
            isolate([self._known], self._advance, self._set_aside)
        except PlatformUnavailableError as error:
            self._pass_over_if_alone(error)
        except BaseException:
            self._known = None
            raise
        return self.mismatch is None

    def _advance(self, _: Sequence[KnownConversation]) -> None:
        piece = next(self._pieces)
        ours, unmatched = self._ours + piece.ours, self._unmatched + piece.unmatched
        if not self._is_waived and is_mismatch(ours, unmatched):
            self.mismatch = f"the history lacks {unmatched} of {ours} events that were received"
            self._held.clear()
            return
        if self._is_waived or ours >= MIN_COMPARED or self._is_full():
            self._release()
            self._settle(piece, self._began_us)
        elif piece.missing or self._is_held(piece):
            self._held.append((piece, self._began_us))
        else:
            self._settle(piece, self._began_us)
        self._ours, self._unmatched = ours, unmatched
        if piece.through is None:
            self._known = None

    def _is_full(self) -> bool:
        return sum(len(checked.missing) for checked, _ in self._held) >= MAX_HELD

    def _is_held(self, piece: Checked) -> bool:
        return any(checked.conversation_id == piece.conversation_id for checked, _ in self._held)

    def _release(self) -> None:
        """Publish what was held. A failure leaves the rest to the next call."""
        while self._held:
            self._settle(*self._held[0])
            del self._held[0]

    def _settle(self, piece: Checked, began_us: int) -> None:
        """Publish what is missing, then record that the piece is compared.

        A process that is killed between the two publishes it once more, which has no effect.
        """
        published, failed = self._publish_all(piece.missing)
        unreadable = piece.unreadable + failed
        is_whole = piece.through is None and piece.refused is None

        def note(connection: Connection) -> None:
            self._worklist.note(connection, piece, began_us)
            self._note(
                connection,
                conversations=_R.conversations + int(is_whole),
                compared=_R.compared + piece.compared,
                missing=_R.missing + len(piece.missing),
                published=_R.published + len(published),
                waiting=_R.waiting + len(piece.missing) - len(published) - failed,
                unreadable=_R.unreadable + unreadable,
                ours=_R.ours + piece.ours,
                unmatched=_R.unmatched + piece.unmatched,
                passed_over=_R.passed_over + int(piece.refused is not None),
            )

        transact(self._engine, note)
        self._report(Found(piece, tuple(published)))

    def _publish_all(self, missing: Sequence[Copy]) -> tuple[list[Copy], int]:
        """Publish the new gaps; return them, and how many could not be recorded."""
        if self._record is None or not missing:
            return [], 0
        record = self._record
        published: list[Copy] = []
        failed: list[Copy] = []

        def publish(copies: Sequence[Copy]) -> None:
            self._exchange.publish([self._envelope_of(copy) for copy in copies])
            gaps = [(copy.event, message_id_of(copy)) for copy in copies]
            now_us = self._clock.now_us()
            transact(
                self._engine,
                lambda connection: note_gaps(connection, record.reconciliation_id, gaps, now_us),
            )
            published.extend(copies)

        def set_aside(copy: Copy, error: Exception) -> None:
            log.error("gap_not_recorded", message_id=message_id_of(copy), reason=type(error).__name__)
            failed.append(copy)

        isolate(self._new_of(missing), publish, set_aside)
        return published, len(failed)

    def _new_of(self, missing: Sequence[Copy]) -> list[Copy]:
        """Return what is to be published: what was not before, unless all of it is.

        A copy that cannot be processed would otherwise become a dead letter each time anew.
        """
        if self._record is None or self._record.again:
            return list(missing)
        keys = {copy.event.idempotency_key for copy in missing}
        before = transact(self._engine, lambda connection: known_gaps(connection, keys))
        return [copy for copy in missing if copy.event.idempotency_key not in before]

    def _envelope_of(self, copy: Copy) -> Envelope:
        message_id = message_id_of(copy)
        return Envelope(message_id, self._clock.now_us(), message_id, RECONCILE, copy.body)

    def _set_aside(self, known: KnownConversation, error: Exception) -> None:
        if isinstance(error, PlatformRefusedError) and error.is_of_credentials:
            raise error
        self._pass_over(known, f"{type(error).__name__} was raised")

    def _pass_over_if_alone(self, error: PlatformUnavailableError) -> None:
        """Pass over a conversation that has no answer twice, if the platform answers anything else."""
        known, self._known = self._known, None
        if known is None or not error.may_have_arrived or self._unanswered != known.conversation_id:
            self._unanswered = known.conversation_id if known else ""
            raise error
        now_us = self._clock.now_us()
        try:
            self._history.conversations(now_us - DAY_US, now_us, 1)
        except PlatformRefusedError as refusal:
            if refusal.is_of_credentials:
                raise
        self._pass_over(known, str(error))

    def _pass_over(self, known: KnownConversation, reason: str) -> None:
        """Go on without it: it stays open, and the next comparison asks for it again."""
        self._known = None
        log.warning("conversation_not_compared", conversation_id=known.conversation_id, reason=reason)
        checked = Checked(known.conversation_id, STATE_OPEN)
        began_us = self._clock.now_us()

        def note(connection: Connection) -> None:
            self._worklist.note(connection, checked, began_us)
            self._note(connection, passed_over=_R.passed_over + 1)

        transact(self._engine, note)
        self._report(Found(checked, failed=reason))

    def _note(self, connection: Connection, **changes: Any) -> None:
        if self._record is not None:
            now_us, record = self._clock.now_us(), self._record
            note_reconciliation(connection, record.reconciliation_id, record.holder, now_us, **changes)


def message_id_of(copy: Copy) -> str:
    """Return a copy's message id, the same each time it is published."""
    return f"reconcile-{hashlib.sha256(copy.event.idempotency_key.encode()).hexdigest()[:32]}"


def log_found(found: Found) -> None:
    """Log what was missing, and what the platform does not show."""
    conversation_id, refused = found.checked.conversation_id, found.checked.refused
    if refused is not None:
        log.warning("conversation_refused", conversation_id=conversation_id, reason=refused)
    for copy in found.published:
        log.warning(
            "event_missing",
            conversation_id=conversation_id,
            event_type=copy.event.event_type,
            platform_message_id=copy.event.platform_message_id,
            message_id=message_id_of(copy),
        )
