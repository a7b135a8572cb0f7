"""Carry out a comparison for the timer or a command: check each conversation, and publish missing events."""

import secrets
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row

from messaging.clock import Clock
from messaging.envelope import RECONCILE, Envelope
from messaging.log import logger
from workers.db.engine import transact
from workers.db.models import reconciliations
from workers.db.reconcile import (
    KnownConversation,
    begin_reconciliation,
    find_known_gaps,
    record_gaps,
    record_progress,
    update_reconciliation,
)
from workers.genesys import PlatformRefusedError, PlatformUnavailableError
from workers.isolation import isolate
from workers.reconcile.bounds import MIN_COMPARED, Bounds, is_mismatch
from workers.reconcile.check import CheckResult, check_conversation
from workers.reconcile.platform_history import PlatformHistory
from workers.reconcile.publishing import EventsExchange
from workers.reconcile.reconstruction import ReconstructedEvent

MAX_HELD: Final = 1_000
"""Maximum number of missing events held until enough of ours are compared; an outage can leave too few."""

_R: Final = reconciliations.c

log = logger()


@dataclass(frozen=True, slots=True)
class ProgressRecord:
    """Records a comparison's progress in its row and, if *is_timer*, the progress of each conversation."""

    engine: Engine
    clock: Clock
    reconciliation_id: int
    holder: str
    is_timer: bool

    def update(self, *works: Callable[[Connection], object], **changes: object) -> Row[Any]:
        """Call *works* and record progress in one transaction; raise TakenOverError if the lease is lost."""

        def save(connection: Connection) -> Row[Any]:
            for work in works:
                work(connection)
            number, now_us = self.reconciliation_id, self.clock.now_us()
            return update_reconciliation(connection, number, self.holder, now_us, **changes)

        return transact(self.engine, save)


@dataclass(slots=True)
class Comparison:
    """Carries out one comparison; each step sends one or two requests.

    Nothing is published until enough of our events have been looked up in the history. If the history lacks
    too many of these events, the comparison itself is wrong, and `mismatch` is set to the reason.

    Args:
        report: Called with the result of each conversation.
        next_conversation: Returns the next conversation to check, leaving out the given ids; None at the end.
        record: Where progress is recorded; if it is None, nothing is changed or published.
        ours: Number of our events compared so far, by any process; the history lacks `unmatched` of them.
        ignores_mismatch: Whether an operator has decided to publish despite a mismatch.
    """

    engine: Engine
    clock: Clock
    history: PlatformHistory
    exchange: EventsExchange
    bounds: Bounds
    report: Callable[[CheckResult], None]
    next_conversation: Callable[[Collection[str]], KnownConversation | None] = lambda _: None
    record: ProgressRecord | None = None
    ours: int = 0
    unmatched: int = 0
    ignores_mismatch: bool = False
    mismatch: str | None = None
    _known: KnownConversation | None = None
    _check: Iterator[CheckResult | None] | None = None
    _held: list[CheckResult] = field(default_factory=list)

    def begin(self, operator: str) -> None:
        """Start recording progress in a new row, for a comparison that an operator has requested."""
        interval, holder = (self.bounds.from_us, self.bounds.to_us), secrets.token_hex(8)
        begun = transact(self.engine, begin_reconciliation, operator, interval, holder, self.clock.now_us())
        assert begun is not None
        self.record = ProgressRecord(self.engine, self.clock, begun.reconciliation_id, holder, is_timer=False)

    def step(self) -> bool:
        """Send the next one or two requests; return False if the comparison is complete.

        After an exception, the next step starts the same conversation again. RetryLaterError is raised if the
        platform, broker or database is away, and PlatformRefusedError if an operator has to act.
        """
        if self.mismatch is not None:
            return False
        if self._known is None:
            self._known = self.next_conversation({result.conversation_id for result in self._held})
            if self._known is None:
                self._release()
                return False
        try:
            isolate([self._known], self._advance, self._set_aside)
        except PlatformUnavailableError as error:
            self._check = None
            if not self.history.answers_others(error, self._known.conversation_id, self.clock.now_us()):
                raise
            self._skip(self._known, str(error))
        except BaseException:
            self._check = None
            raise
        return self.mismatch is None

    def _advance(self, known: Sequence[KnownConversation]) -> None:
        if self._check is None:
            now_us = self.clock.now_us()
            self._check = check_conversation(self.engine, self.history, known[0], self.bounds, now_us)
        result = next(self._check)
        if result is not None:
            self._accept(result)

    def _accept(self, result: CheckResult) -> None:
        """Settle a result, or hold it if too few of our events have been compared so far."""
        ours, unmatched = self.ours + result.ours, self.unmatched + result.unmatched
        if not self.ignores_mismatch and is_mismatch(ours, unmatched):
            self.mismatch = f"the history lacks {unmatched} of {ours} events that were received"
            self._held.clear()
            return
        is_full = sum(len(held.missing) for held in self._held) >= MAX_HELD
        is_decided = self.ignores_mismatch or ours >= MIN_COMPARED or is_full
        if is_decided:
            self._release()
        if is_decided or not result.missing:
            self._settle(result)
        else:
            self._held.append(result)
        self.ours, self.unmatched = ours, unmatched
        self._known = self._check = None

    def _release(self) -> None:
        """Settle the held results. After a failure, the next call continues with the remaining results."""
        while self._held:
            self._settle(self._held[0])
            del self._held[0]

    def _settle(self, result: CheckResult) -> None:
        """Publish missing events if progress is recorded, and report the result. Safe to call again."""
        self.report(result if self.record is None else self._publish(self.record, result))

    def _publish(self, record: ProgressRecord, result: CheckResult) -> CheckResult:
        found = transact(self.engine, find_known_gaps, {event.key for event in result.missing})
        # The timer skips known gaps: otherwise, an unprocessable event would be dead-lettered every time.
        new = [event for event in result.missing if not (record.is_timer and event.key in found)]
        published: list[ReconstructedEvent] = []

        def publish(gaps: Sequence[ReconstructedEvent]) -> None:
            now_us = self.clock.now_us()
            self.exchange.publish(
                [Envelope(gap.message_id, now_us, gap.message_id, RECONCILE, gap.body) for gap in gaps]
            )
            rows = [(gap.event, gap.message_id) for gap in gaps]
            # Update the count in the transaction that records the gaps: known gaps are not counted again.
            record.update(
                lambda connection: record_gaps(connection, record.reconciliation_id, rows, now_us),
                published=_R.published + sum(gap.key not in found for gap in gaps),
            )
            published.extend(gaps)

        isolate(new, publish, _log_unrecorded)
        failed = len(new) - len(published)
        first_found = sum(event.key not in found for event in published)
        result = replace(result, published=published, unreadable=result.unreadable + failed)
        missing = len(result.missing)
        counts = {
            **{name: getattr(result, name) for name in ("compared", "unreadable", "ours", "unmatched")},
            "missing": missing,
            "waiting": missing - first_found - failed,
            "conversations": int(result.is_compared),
            "passed_over": int(not result.is_compared),
        }
        known = KnownConversation(result.conversation_id, result.fingerprint)
        progress = (known, result.state, result.messages, result.read_at_us)
        works = [lambda connection: record_progress(connection, *progress)] if record.is_timer else []
        record.update(*works, **{name: _R[name] + count for name, count in counts.items()})
        return result

    def _set_aside(self, known: KnownConversation, error: Exception) -> None:
        if isinstance(error, PlatformRefusedError) and error.is_of_credentials:
            raise error
        self._skip(known, f"{type(error).__name__} was raised")

    def _skip(self, known: KnownConversation, reason: str) -> None:
        """Leave out a conversation; it stays open, and the next comparison reads it again."""
        log.warning("conversation_not_compared", conversation_id=known.conversation_id, reason=reason)
        self._settle(CheckResult(known.conversation_id, self.clock.now_us(), failed=reason))
        self._known = self._check = None


def _log_unrecorded(event: ReconstructedEvent, error: Exception) -> None:
    log.error("gap_not_recorded", message_id=event.message_id, reason=type(error).__name__)
