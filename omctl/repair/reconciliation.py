"""Compare with the platform's history once, for an operator who waits for the result."""

import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from threading import Event
from typing import Final, TypeVar

from sqlalchemy import Connection, Engine

from messaging.clock import Clock
from messaging.errors import RetryLaterError
from workers import reconcile
from workers.db import reconcile as records
from workers.db.engine import transact
from workers.genesys import PlatformRefusedError
from workers.parsing import moment_of
from workers.reconcile import Bounds, Comparison, EventsExchange, ProgressRecord, ReconstructedEvent

Result = TypeVar("Result")

PAGE: Final = 1000
"""How many of our own conversations one query lists."""

MAX_ATTEMPTS: Final = 5
"""After this many consecutive requests without an answer, the platform counts as unavailable."""

POLL_SECONDS: Final = 0.5


@dataclass(slots=True)
class Findings:
    """The result of a comparison; why the platform listed no conversations, and why publishing stopped.

    `passed_over` are the skipped conversations, each with its id, a result and its reason. The result is
    "refused" if the platform refuses to show the conversation, and "failed" if it gives no answer.
    """

    done: int = 0
    conversations: int = 0
    unknown: int = 0
    compared: int = 0
    unreadable: int = 0
    passed_over: list[tuple[str, str, str]] = field(default_factory=list)
    unlisted: str | None = None
    mismatch: str | None = None
    missing: list[ReconstructedEvent] = field(default_factory=list)

    def add(self, result: reconcile.CheckResult) -> None:
        """Count the result of one conversation."""
        self.done += 1
        if result.failed is not None:
            self.passed_over.append((result.conversation_id, "failed", result.failed))
        elif result.refused is not None:
            self.passed_over.append((result.conversation_id, "refused", result.refused))
        else:
            self.conversations += 1
        self.unknown += result.state == records.STATE_UNKNOWN
        self.compared += result.compared
        self.unreadable += result.unreadable
        self.missing.extend(result.missing)


@dataclass(slots=True)
class Reconciliation:
    """One comparison for one operator. Setting `cancelled` ends it between two conversations."""

    engine: Engine
    clock: Clock
    history: reconcile.PlatformHistory
    exchange: EventsExchange
    bounds: Bounds
    cancelled: Event
    findings: Findings = field(default_factory=Findings)

    def list_conversations(self) -> list[str]:
        """Return every conversation of the period: our own, and the platform's if it lists them."""
        found, after, page, is_last = set[str](), "", 1, False
        since = moment_of(self.bounds.from_us)
        while ids := transact(self.engine, records.read_conversation_ids, after, since, PAGE):
            found.update(ids)
            after = ids[-1]
        try:
            while not is_last and not self.cancelled.is_set():
                interval = (self.bounds.from_us, self.bounds.to_us)
                ids, is_last = self._retry(partial(self.history.list_conversations, *interval, page))
                found.update(ids)
                page += 1
        except PlatformRefusedError as error:
            if not error.is_forbidden:
                raise
            self.findings.unlisted = str(error)
        return sorted(found)

    def compare(
        self, ids: Sequence[str], operator: str | None, *, is_waived: bool, is_of_all: bool
    ) -> Iterator[int]:
        """Compare conversations and publish missing events; yield the number done after each step.

        Without an operator, nothing is changed. If everything is compared without a mismatch, the reconcile
        worker continues.
        """
        known = map(records.KnownConversation, ids)
        record = None if operator is None else self._begin(operator)
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
        mismatch = self.findings.mismatch = comparison.mismatch
        yield self.findings.done
        if record is not None and (self.findings.done == len(ids) or mismatch is not None):
            transact(self.engine, self._end, record, operator if is_of_all and mismatch is None else None)

    def _end(self, connection: Connection, record: ProgressRecord, decided_by: str | None) -> None:
        now_us, found = self.clock.now_us(), self.findings
        end = {"finished_at": moment_of(now_us), "unlisted": found.unlisted, "mismatch": found.mismatch}
        records.update_reconciliation(connection, record.reconciliation_id, record.holder, now_us, **end)
        if decided_by is not None:
            records.decide_mismatches(connection, decided_by)

    def _begin(self, operator: str) -> ProgressRecord:
        holder = secrets.token_hex(8)
        begun = transact(
            self.engine,
            records.begin_reconciliation,
            operator,
            (self.bounds.from_us, self.bounds.to_us),
            holder,
            self.clock.now_us(),
        )
        assert begun is not None
        return ProgressRecord(begun.reconciliation_id, holder, is_timer=False)

    def wait_for_missing(self, seconds: float) -> list[ReconstructedEvent]:
        """Wait up to *seconds* until the missing events are processed; return those still missing."""
        deadline = self.clock.monotonic() + seconds
        missing = self.findings.missing
        keys = {event.key for event in missing}
        while True:
            known = transact(self.engine, records.find_processed_keys, keys)
            left = [event for event in missing if event.key not in known]
            if not left or self.clock.monotonic() >= deadline or self.cancelled.wait(POLL_SECONDS):
                return left

    def _retry(self, work: Callable[[], Result]) -> Result:
        """Call *work*, and repeat the call while the platform does not respond."""
        for _ in range(MAX_ATTEMPTS - 1):
            try:
                return work()
            except RetryLaterError as error:
                if self.cancelled.wait(error.delay):
                    raise
        return work()
