"""Query the platform about routing updates, and end the updates that its answers do not decide in time."""

import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import partial
from typing import Final

from sqlalchemy import Connection, Engine

from messaging.clock import Clock
from messaging.errors import RetryLaterError
from messaging.log import logger
from workers.db.engine import transact
from workers.db.stats import Figures
from workers.genesys import (
    REFUSED_SECONDS,
    ConversationStates,
    PlatformBusyError,
    PlatformRefusedError,
    PlatformState,
)
from workers.isolation import isolate
from workers.settle import conversations, updates
from workers.settle.plan import SUPERSEDED, UNDECIDED, Decision, PendingEvent
from workers.settle.settler import MAX_CONVERSATIONS, set_aside
from workers.settle.verification import (
    AGREES,
    SURE_AFTER_SECONDS,
    Verdict,
    describe_state,
    seconds_until_next_ask,
    verify,
)

LEASE_SECONDS: Final = 60.0
"""Duration of the lease on a conversation's updates during a query; a login and two requests take less."""

PATIENT_SECONDS: Final = 600.0
"""For this long after the budget was used up or the API lagged, the first query about an update is sent only
when its answer can decide the update. Each update then needs one request instead of two or three."""

CREDENTIALS_SECONDS: Final = 60.0
"""Delay before any further query after the platform refuses our credentials."""

ENDING_SECONDS: Final = 1.0
"""Interval between two searches for updates that have waited for `end_seconds`."""

UNVERIFIED: Final = "unverified"


@dataclass(slots=True)
class Verifier:
    """Decides routing updates according to the platform's answers. Its two steps may run in two threads.

    If no answer has decided an update after *end_seconds*, the update is recorded as undecided. It is applied
    instead if *applies_unverified* is true or *states* is None.
    """

    engine: Engine
    clock: Clock
    _: KW_ONLY
    states: ConversationStates | None
    end_seconds: float
    applies_unverified: bool = False
    _resume_at: float = 0.0
    _patient_until: float = 0.0
    _end_at: float = 0.0
    _counts: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def figures(self) -> Figures:
        """Return how many updates ended as undecided, and how many were applied without verification."""
        return {kind: self._counts[kind] for kind in (UNDECIDED, UNVERIFIED)}

    def settle_updates(self) -> int:
        """Query the platform about the conversation of the newest due update; return 1 if it answered.

        The answer is compared with all waiting updates of the conversation. No lock is held during the query.
        No update is leased while the request budget is used up.
        """
        if self.states is None or self.clock.monotonic() < self._resume_at:
            return 0
        return isolate(transact(self.engine, self._lease), partial(self._ask, self.states), self._set_aside)

    def end_updates(self) -> int:
        """End the updates that no answer has decided in time; return the number of their conversations."""
        if self.clock.monotonic() < self._end_at:
            return 0
        now_us = self.clock.now_us()
        ids = transact(self.engine, updates.find_overdue, now_us, now_us - self._end_us, MAX_CONVERSATIONS)
        isolate(ids, lambda some: self._count(transact(self.engine, self._end, some)), self._set_aside)
        if len(ids) < MAX_CONVERSATIONS:
            self._end_at = self.clock.monotonic() + ENDING_SECONDS
        return len(ids)

    @property
    def _end_us(self) -> int:
        return round(self.end_seconds * 1_000_000)

    def _set_aside(self, conversation_id: str, error: Exception) -> None:
        set_aside(self.engine, self.clock, conversation_id, error)

    def _lease(self, connection: Connection) -> list[str]:
        """Lease a conversation's due updates; choose the unlocked conversation with the newest due update."""
        now_us = self.clock.now_us()
        is_patient = self.clock.monotonic() < self._patient_until
        since_us = now_us - (round(SURE_AFTER_SECONDS * 1_000_000) if is_patient else 0)
        until_us = now_us + round(LEASE_SECONDS * 1_000_000)
        found = updates.lock_newest_due(connection, now_us, since_us)
        return [found] if found and updates.lease(connection, found, now_us, until_us) else []

    def _ask(self, states: ConversationStates, leased: Sequence[str]) -> int:
        """Query the platform about a conversation, and settle decided updates; return 1 if it answered."""
        [conversation_id] = leased
        waiting = transact(self.engine, updates.read_unanswered, conversation_id)
        asked_us = self.clock.now_us()
        try:
            # A cached answer may confirm updates; only a new answer may contradict them.
            platform = states.find(
                conversation_id,
                lambda state: all(verify(update, state, 0.0) is Verdict.CONFIRMED for update in waiting),
            )
        except (RetryLaterError, PlatformRefusedError) as error:
            self._wait(waiting, asked_us, error)
            return 0
        self._count(transact(self.engine, self._settle, conversation_id, platform, asked_us))
        return 1

    def _wait(
        self, waiting: Sequence[PendingEvent], asked_us: int, error: RetryLaterError | PlatformRefusedError
    ) -> None:
        """Postpone the next query about a conversation; pause all queries if none can succeed now."""
        now, delay = self.clock.monotonic(), 0.0
        if isinstance(error, PlatformBusyError):
            self._resume_at, self._patient_until = now + error.delay, now + PATIENT_SECONDS
        elif isinstance(error, RetryLaterError):
            newest_us = max((update.since_us for update in waiting), default=asked_us)
            delay = seconds_until_next_ask((asked_us - newest_us) / 1_000_000, error.delay)
        elif error.is_of_credentials:
            self._resume_at = now + CREDENTIALS_SECONDS
        else:
            delay = REFUSED_SECONDS
        if not isinstance(error, PlatformBusyError):
            logger().warning("routing_updates_wait", reason=str(error), updates=len(waiting))
        transact(self.engine, self._put_off, waiting, delay)

    def _put_off(self, connection: Connection, waiting: Iterable[PendingEvent], delay: float) -> None:
        """Schedule the next query about updates after *delay*, but no later than their end."""
        next_us = self.clock.now_us() + round(delay * 1_000_000)
        for update in waiting:
            updates.record_answer(connection, update, min(next_us, update.since_us + self._end_us))

    def _settle(
        self, connection: Connection, conversation_id: str, platform: PlatformState | None, asked_us: int
    ) -> list[Decision]:
        """Lock a conversation, and settle the updates that the answer decides; return the decisions."""
        rows = conversations.lock(connection, [conversation_id])
        waiting = updates.read_unanswered(connection, conversation_id)
        if not rows:
            self._put_off(connection, waiting, 0.0)
            return []
        confirmed, decisions = [], []
        for pending in waiting:
            age = (asked_us - pending.since_us) / 1_000_000
            verdict = verify(pending, platform, age)
            update = replace(pending, platform_status=describe_state(pending, platform))
            if verdict is Verdict.CONFIRMED:
                if pending.platform_status is not None:
                    # The platform contradicted the update at first, so its API lags behind its notifications.
                    self._patient_until = self.clock.monotonic() + PATIENT_SECONDS
                confirmed.append(replace(update, verified=update.routing_status in AGREES or None))
            elif verdict is Verdict.CONTRADICTED:
                decisions.append(Decision(replace(update, verified=False), SUPERSEDED))
            elif verdict is Verdict.TOO_LATE and not self.applies_unverified:
                decisions.append(Decision(update, UNDECIDED))
            elif age >= 0:
                # An update with a negative age arrived during the query; it is still due.
                self._put_off(connection, [update], seconds_until_next_ask(age))
        return conversations.apply(connection, rows[0], confirmed, decisions, self.clock.now_us())

    def _end(self, connection: Connection, ids: Sequence[str]) -> list[Decision]:
        now_us = self.clock.now_us()
        verified = None if self.states is None else False
        applies = self.applies_unverified or self.states is None
        decisions = []
        for row in conversations.lock(connection, ids):
            waiting = updates.read_unanswered(connection, row.conversation_id)
            overdue = [update for update in waiting if now_us - update.since_us >= self._end_us]
            applied = [replace(update, verified=verified) for update in overdue if applies]
            given_up = [Decision(update, UNDECIDED) for update in overdue if not applies]
            decisions += conversations.apply(connection, row, applied, given_up, now_us)
            decisions += [Decision(update, UNVERIFIED) for update in applied if verified is False]
        return decisions

    def _count(self, decisions: Iterable[Decision]) -> None:
        """Count and log the given decisions."""
        for decision in decisions:
            kind, update = decision.kind, decision.update
            logger().info("routing_update_settled", event_id=update.position.event_id, decision=kind)
            with self._lock:
                self._counts[kind] += 1
