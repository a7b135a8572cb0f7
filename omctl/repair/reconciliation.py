"""Compare with the platform's history once, for an operator who waits for the result."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from threading import Event
from typing import Final, TypeVar

from sqlalchemy import Connection, Engine

from messaging.clock import Clock
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
from workers.reconcile import (
    Bounds,
    CheckResult,
    Comparison,
    EventsExchange,
    PlatformHistory,
    ProgressRecord,
    ReconstructedEvent,
)

Result = TypeVar("Result")

PAGE: Final = 1000
"""Conversations of our own that are listed at once."""

MAX_ATTEMPTS: Final = 5
"""Requests without an answer in a row; then the platform is away."""

POLL_SECONDS: Final = 0.5


@dataclass(slots=True)
class Findings:
    """The result of a comparison.

    Args:
        refused: Conversations that the platform refuses to show, with its reason.
        failed: Conversations that the platform has no answer for, with the reason.
        unlisted: Why the platform listed no conversations.
        mismatch: Why nothing more was published.
        missing: In the order in which they were found.
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


@dataclass(slots=True)
class Reconciliation:
    """One comparison for one operator; `cancelled` ends it between two conversations."""

    engine: Engine
    clock: Clock
    history: PlatformHistory
    exchange: EventsExchange
    bounds: Bounds
    cancelled: Event
    findings: Findings = field(default_factory=Findings)

    def list_conversations(self) -> list[str]:
        """Return every conversation of the time: our own, and the platform's if it lists them."""
        own = {*self._list_own()}
        try:
            return sorted({*self._list_platform(), *own})
        except PlatformRefusedError as error:
            if not error.is_forbidden:
                raise
            self.findings.unlisted = str(error)
            return sorted(own)

    def compare(self, ids: Sequence[str], record: ProgressRecord | None, *, is_waived: bool) -> Iterator[int]:
        """Compare conversations and publish missing events; yield the number done after each step.

        Without a record, nothing is changed.
        """
        known = map(KnownConversation, ids)
        comparison = Comparison(
            self.engine,
            self.clock,
            self.history,
            self.exchange,
            next_conversation=lambda _: next(known, None),
            bounds=self.bounds,
            record=record,
            report=self.findings.add,
            ignores_mismatch=is_waived,
        )
        while not self.cancelled.is_set() and self._retry(comparison.step):
            yield self.findings.done
        self.findings.mismatch = comparison.mismatch
        yield self.findings.done

    def begin(self, operator: str, holder: str) -> ProgressRecord:
        """Record that the operator's comparison begins."""
        begin = partial(
            begin_reconciliation,
            started_by=operator,
            compared_from_us=self.bounds.from_us,
            compared_to_us=self.bounds.to_us,
            page=None,
            holder=holder,
            now_us=self.clock.now_us(),
        )
        begun = transact(self.engine, begin)
        assert begun is not None
        return ProgressRecord(begun.reconciliation_id, holder, again=True)

    def finish(self, record: ProgressRecord, operator: str, *, is_of_all: bool) -> None:
        """Record the end. After a comparison of everything without a mismatch, the worker goes on."""

        def finish(connection: Connection) -> None:
            now_us, findings = self.clock.now_us(), self.findings
            update_reconciliation(
                connection,
                record.reconciliation_id,
                record.holder,
                now_us,
                finished_at=moment_of(now_us),
                unlisted=findings.unlisted,
                mismatch=findings.mismatch,
            )
            if is_of_all and findings.mismatch is None:
                decide_mismatches(connection, operator)

        transact(self.engine, finish)

    def wait_for_missing(self, seconds: float) -> list[ReconstructedEvent]:
        """Wait up to *seconds* until the missing events are processed; return those that are not."""
        deadline = self.clock.monotonic() + seconds
        while (left := self._find_unprocessed()) and self.clock.monotonic() < deadline:
            if self.cancelled.wait(POLL_SECONDS):
                break
        return left

    def _find_unprocessed(self) -> list[ReconstructedEvent]:
        keys = {event.key for event in self.findings.missing}
        known = transact(self.engine, lambda connection: find_processed_keys(connection, keys))
        return [event for event in self.findings.missing if event.key not in known]

    def _retry(self, work: Callable[[], Result]) -> Result:
        """Call *work*, again while the platform does not answer."""
        for _ in range(MAX_ATTEMPTS - 1):
            try:
                return work()
            except RetryLaterError as error:
                if self.cancelled.wait(error.delay):
                    raise
        return work()

    def _list_platform(self) -> Iterator[str]:
        page, is_last = 1, False
        while not is_last and not self.cancelled.is_set():
            ask = partial(self.history.list_conversations, self.bounds.from_us, self.bounds.to_us, page)
            ids, is_last = self._retry(ask)
            yield from ids
            page += 1

    def _list_own(self) -> Iterator[str]:
        after, since = "", moment_of(self.bounds.from_us)
        while page := transact(
            self.engine,
            lambda connection: read_conversation_ids(connection, after, since, PAGE),  # noqa: B023  # called at once
        ):
            yield from page
            after = page[-1]
