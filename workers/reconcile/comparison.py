"""Carry out one comparison, for the timer or a command: check each conversation, publish missing events."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from sqlalchemy import Connection, Engine

from messaging.clock import Clock
from messaging.log import logger
from workers.db.engine import transact
from workers.db.models import reconciliations
from workers.db.reconcile import KnownConversation, find_known_gaps, record_progress, update_reconciliation
from workers.genesys import PlatformRefusedError, PlatformUnavailableError
from workers.isolation import isolate
from workers.reconcile.bounds import DAY_US, MIN_COMPARED, Bounds, is_mismatch
from workers.reconcile.check import CheckResult, check_conversation
from workers.reconcile.platform_history import PlatformHistory
from workers.reconcile.publishing import EventsExchange, publish_gaps

MAX_HELD: Final = 1_000
"""Missing events held in memory until enough of ours are compared; after an outage we may have none."""

_R: Final = reconciliations.c

log = logger()


@dataclass(frozen=True, slots=True)
class ProgressRecord:
    """The row that progress is written to.

    Args:
        is_timer: Record how far each conversation is compared, and publish no gap that was published before;
            an operator's comparison publishes all.
    """

    reconciliation_id: int
    holder: str
    is_timer: bool


@dataclass(slots=True)
class Comparison:
    """One comparison, carried out a request or two at a time.

    It publishes nothing before enough of our own events were found in the history. If the history lacks too
    many of them, the comparison itself is wrong, and `mismatch` is the reason.

    Args:
        next_conversation: Returns the next conversation to check, other than those given; None at the end.
        record: Where progress is recorded; None to change nothing.
        ours: Number of our events compared so far, by any process; the history lacks `unmatched` of them.
        ignores_mismatch: Whether an operator has decided to publish despite a mismatch.
    """

    engine: Engine
    clock: Clock
    history: PlatformHistory
    exchange: EventsExchange
    bounds: Bounds
    next_conversation: Callable[[Collection[str]], KnownConversation | None]
    record: ProgressRecord | None
    report: Callable[[CheckResult], None]
    ours: int = 0
    unmatched: int = 0
    ignores_mismatch: bool = False
    mismatch: str | None = None
    _known: KnownConversation | None = None
    _check: Iterator[CheckResult | None] | None = None
    _held: list[CheckResult] = field(default_factory=list)
    _has_failed_once: bool = False

    def step(self) -> bool:
        """Send the next request or two; return whether there is more to do.

        After an exception, the next step starts the same conversation again. RetryLaterError: the platform,
        broker or database is away. PlatformRefusedError: an operator has to act.
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
            self._skip_if_alone(self._known, error)
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
        """Settle a result, or hold it while too few events of ours are compared."""
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
        self._finish_conversation()

    def _finish_conversation(self) -> None:
        self._known = self._check = None
        self._has_failed_once = False

    def _release(self) -> None:
        """Settle the held results. A failure leaves the rest to the next call."""
        while self._held:
            self._settle(self._held[0])
            del self._held[0]

    def _settle(self, result: CheckResult) -> None:
        """Publish the missing events and record the result, unless nothing is to be changed.

        A process that is killed between the two publishes them once more, which has no effect.
        """
        self.report(result if self.record is None else self._publish(self.record, result))

    def _publish(self, record: ProgressRecord, result: CheckResult) -> CheckResult:
        new = result.missing
        if record.is_timer:
            # Otherwise an event that cannot be processed would become a dead letter in each comparison.
            found = transact(self.engine, find_known_gaps, {event.key for event in new})
            new = [event for event in new if event.key not in found]
        number = record.reconciliation_id
        published = publish_gaps(self.engine, self.exchange, self.clock, number, new)
        failed = len(new) - len(published)
        is_compared = result.refused is None and result.failed is None
        result = replace(result, published=published, unreadable=result.unreadable + failed)
        missing = len(result.missing)
        counts = {
            **{name: getattr(result, name) for name in ("compared", "unreadable", "ours", "unmatched")},
            "missing": missing,
            "published": len(published),
            "waiting": missing - len(published) - failed,
            "conversations": int(is_compared),
            "passed_over": int(not is_compared),
        }
        changes: dict[str, Any] = {name: _R[name] + count for name, count in counts.items()}

        def save(connection: Connection) -> None:
            if record.is_timer:
                known = KnownConversation(result.conversation_id, result.fingerprint)
                record_progress(connection, known, result.state, result.messages, result.read_at_us)
            update_reconciliation(connection, number, record.holder, self.clock.now_us(), **changes)

        transact(self.engine, save)
        return result

    def _set_aside(self, known: KnownConversation, error: Exception) -> None:
        if isinstance(error, PlatformRefusedError) and error.is_of_credentials:
            raise error
        self._skip(known, f"{type(error).__name__} was raised")

    def _skip_if_alone(self, known: KnownConversation, error: PlatformUnavailableError) -> None:
        """Skip a conversation whose requests failed twice, if the platform answers another request."""
        if not error.may_have_arrived or not self._has_failed_once:
            self._has_failed_once = error.may_have_arrived
            raise error
        now_us = self.clock.now_us()
        try:
            self.history.list_conversations(now_us - DAY_US, now_us, 1)
        except PlatformRefusedError as refusal:
            if refusal.is_of_credentials:
                raise
        self._skip(known, str(error))

    def _skip(self, known: KnownConversation, reason: str) -> None:
        """Continue without a conversation: it stays open, and the next comparison asks for it again."""
        log.warning("conversation_not_compared", conversation_id=known.conversation_id, reason=reason)
        self._settle(CheckResult(known.conversation_id, self.clock.now_us(), failed=reason))
        self._finish_conversation()
