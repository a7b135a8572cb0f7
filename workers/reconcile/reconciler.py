"""Carry out the timer's comparisons step by step: list, count, compare, finish."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from typing import Final

from sqlalchemy import Connection, Engine

from messaging.clock import Clock
from messaging.environment import Environment
from messaging.errors import ConfigurationError, RetryLaterError
from messaging.log import logger
from messaging.settings import WorkerSettings, positive, setting
from workers.db import reconcile as records
from workers.db.engine import transact
from workers.genesys import (
    GenesysSettings,
    PlatformRefusedError,
    PlatformUnavailableError,
    read_genesys_settings,
)
from workers.parsing import moment_of
from workers.reconcile import bounds
from workers.reconcile.check import CheckResult
from workers.reconcile.comparison import Comparison, ProgressRecord
from workers.reconcile.platform_history import MAX_COUNTS, PlatformHistory
from workers.reconcile.publishing import EventsExchange
from workers.retain import EVENT_DAYS

INTERVAL_US: Final = 900_000_000
"""Interval between the starts of two comparisons; the guide says "every fifteen minutes"."""

REFUSED_SECONDS: Final = 60.0
"""Delay after a refusal; faster retries do not help until an operator corrects permissions or credentials."""

REPORTED: Final = (
    *("conversations", "compared", "missing", "published", "waiting"),
    *("unreadable", "unread", "unlisted", "passed_over", "mismatch"),
)

log = logger()


def _read_platform(environment: Environment, name: str, _: object) -> GenesysSettings:
    genesys = read_genesys_settings(environment)
    if genesys is None:
        raise ConfigurationError(f"{name} must name the platform whose history is compared")
    return genesys


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileSettings(WorkerSettings):
    """Settings of the reconcile role; deploy/environment.example explains each setting."""

    amqp_urls: tuple[str, ...] = setting("OM_AMQP_URL", Environment.strings, (), is_secret=True)
    genesys: GenesysSettings = setting("OM_GENESYS_REGION", _read_platform, None)
    retention_days: int = setting("OM_RETENTION_DAYS", positive, EVENT_DAYS)

    @property
    def horizon_us(self) -> int:
        """Maximum age of compared events. Older events, perhaps already deleted here, would look missing."""
        return round(min(bounds.HORIZON_DAYS, self.retention_days - 0.5) * bounds.DAY_US)


@dataclass(slots=True)
class Reconciler:
    """Starts the timer's comparisons when they are due, and resumes the comparison of a killed process."""

    engine: Engine
    clock: Clock
    history: PlatformHistory
    exchange: EventsExchange
    settings: ReconcileSettings
    holder: str
    _comparison: tuple[int, Comparison] | None = None

    def reconcile(self) -> int:
        """Carry out one step of a comparison; return 0 if none is due or another process holds the lease.

        RetryLaterError is raised if the platform, broker or database is away or refuses our requests.
        """
        try:
            held = transact(self.engine, records.resume_reconciliation, self.holder, self.clock.now_us())
            reconciliation = held or self._begin()
            if reconciliation is None:
                self._comparison = None
                return 0
            if reconciliation.page is not None:
                self._list(reconciliation, reconciliation.page)
            elif self._comparison is not None and self._comparison[0] == reconciliation.reconciliation_id:
                self._compare(reconciliation, self._comparison[1])
            elif not self._count(reconciliation):
                self._compare(reconciliation, self._begin_comparison(reconciliation))
        except PlatformRefusedError as error:
            raise RetryLaterError(str(error), delay=REFUSED_SECONDS) from error
        except records.TakenOverError:
            self._comparison = None
            raise
        return 1

    def _begin(self) -> records.Reconciliation | None:
        watermarks, now_us = transact(self.engine, records.read_watermarks), self.clock.now_us()
        if not bounds.is_due(watermarks, now_us, INTERVAL_US):
            return None
        to_us = bounds.safe_cutoff(self.engine, self.exchange, now_us)
        from_us = bounds.compare_from(watermarks, now_us, self.settings.horizon_us)

        def begin(connection: Connection) -> records.Reconciliation | None:
            records.record_own_conversations(connection, moment_of(from_us))
            bounds_us = (from_us, to_us)
            return records.begin_reconciliation(connection, records.TIMER, bounds_us, self.holder, now_us)

        begun = transact(self.engine, begin)
        if begun is not None:
            log.info("reconciliation_started", reconciliation=begun.reconciliation_id)
        return begun

    def _list(self, reconciliation: records.Reconciliation, page: int) -> None:
        """Record a page of the platform's list. If listing is forbidden, continue without the list."""
        listed_to_us = transact(self.engine, records.read_watermarks).compared_to_us
        # Conversations that started before this time were listed by an earlier comparison.
        started_from_us = None if listed_to_us is None else listed_to_us - bounds.OVERLAP_US
        from_us = max(reconciliation.compared_from_us, started_from_us or 0)
        try:
            ids, is_last = self.history.list_conversations(
                from_us, reconciliation.compared_to_us, page, started_from_us=started_from_us
            )
        except PlatformRefusedError as error:
            if not error.is_forbidden:
                raise
            log.warning(
                "reconciliation_unlisted",
                reason=str(error),
                consequence="conversations without any received event are not compared: give the OAuth client"
                " the permission Analytics > Conversation Detail > View",
            )
            self._record(reconciliation).update(page=None, unlisted=str(error))
            return
        listed = partial(records.record_listed_conversations, ids=ids, now_us=self.clock.now_us())
        self._record(reconciliation).update(listed, page=None if is_last else page + 1)

    def _count(self, reconciliation: records.Reconciliation) -> bool:
        """Query analytics for the message counts of some conversations; return False if none are left."""
        read = transact(self.engine, records.select_uncounted, reconciliation, MAX_COUNTS)
        if not read:
            return False
        try:
            counts = self.history.read_counts(sorted(read))
        except PlatformUnavailableError as error:
            if not self.history.answers_others(error, min(read), self.clock.now_us()):
                raise
            counts = {}  # Conversations without counts are read.
        counted = partial(records.record_counts, read=read, counts=counts, now_us=self.clock.now_us())
        self._record(reconciliation).update(counted)
        return True

    def _compare(self, reconciliation: records.Reconciliation, comparison: Comparison) -> None:
        self._comparison = (reconciliation.reconciliation_id, comparison)
        if not comparison.step():
            self._finish(reconciliation, comparison.mismatch)

    def _begin_comparison(self, reconciliation: records.Reconciliation) -> Comparison:
        return Comparison(
            self.engine,
            self.clock,
            self.history,
            self.exchange,
            bounds=bounds.Bounds(reconciliation.compared_from_us, reconciliation.compared_to_us),
            report=_log_gaps,
            next_conversation=partial(self._next_conversation, reconciliation),
            record=self._record(reconciliation),
            ours=reconciliation.ours,
            unmatched=reconciliation.unmatched,
        )

    def _next_conversation(
        self, reconciliation: records.Reconciliation, skip: Collection[str]
    ) -> records.KnownConversation | None:
        """Return an unread conversation; if the next comparison is due, only one whose count differs."""
        is_late = self.clock.now_us() >= reconciliation.started_us + INTERVAL_US
        return transact(self.engine, records.find_unread, reconciliation, skip, is_late=is_late)

    def _finish(self, reconciliation: records.Reconciliation, mismatch: str | None) -> None:
        unread = transact(self.engine, records.count_unread, reconciliation)
        finished_at = moment_of(self.clock.now_us())
        row = self._record(reconciliation).update(finished_at=finished_at, unread=unread, mismatch=mismatch)
        self._comparison = None
        level = log.info if mismatch is None else log.error
        report = {name: getattr(row, name) for name in REPORTED}
        level("reconciliation_finished", reconciliation=reconciliation.reconciliation_id, **report)

    def _record(self, reconciliation: records.Reconciliation) -> ProgressRecord:
        number = reconciliation.reconciliation_id
        return ProgressRecord(self.engine, self.clock, number, self.holder, is_timer=True)


def _log_gaps(result: CheckResult) -> None:
    """Log the events that were published, and a warning if the platform refused to show the conversation."""
    conversation_id = result.conversation_id
    if result.refused is not None:
        log.warning("conversation_refused", conversation_id=conversation_id, reason=result.refused)
    for event in result.published:
        log.warning(
            "event_missing",
            conversation_id=conversation_id,
            event_type=event.event.event_type,
            platform_message_id=event.event.platform_message_id,
            message_id=event.message_id,
        )
