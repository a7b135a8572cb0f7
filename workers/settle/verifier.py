"""Verify routing updates: ask the platform about each conversation, and end what no answer decides."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from messaging.errors import RetryLaterError
from messaging.log import logger
from workers.db.engine import transact
from workers.genesys import REFUSED_SECONDS, PlatformBusyError, PlatformRefusedError
from workers.isolation import isolate
from workers.settle import conversations, updates
from workers.settle.agreement import (
    AGREES,
    CONFIRMED,
    CONTRADICTED,
    SURE_AFTER_SECONDS,
    TOO_LATE,
    judge,
    seconds_until_next_ask,
    state_name,
)
from workers.settle.plan import SUPERSEDED, UNDECIDED, Decision
from workers.settle.settler import CONVERSATIONS_AT_ONCE, set_aside

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection, Engine

    from messaging.clock import Clock
    from workers.db.stats import Figures
    from workers.genesys import ConversationStates, PlatformState
    from workers.settle.plan import Pending

LEASE_SECONDS: Final = 60.0
"""For a process to ask the platform about a conversation; a login and two requests take less."""

PATIENT_SECONDS: Final = 600.0
"""After the budget was used up, or the API was seen to lag, updates are first asked about when the answer
counts: one request each instead of two or three."""

CREDENTIALS_SECONDS: Final = 60.0
"""Until the platform is asked again after it refused our credentials."""

ENDING_SECONDS: Final = 1.0
"""Between two looks for updates that have waited long enough."""

UNVERIFIED: Final = "unverified"

log = logger()


class Verifier:
    """Has routing updates confirmed, contradicted or ended; its two steps may run in two threads.

    Args:
        engine: The database.
        clock: The database's time.
        states: The platform's states of conversations; None: updates are applied as they are notified.
        end_seconds: The age at which an update ends that no answer has decided.
        applies_unverified: Whether it is applied as notified then; otherwise it is recorded as undecided.
    """

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        *,
        states: ConversationStates | None,
        end_seconds: float,
        applies_unverified: bool = False,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._states = states
        self._end_us = round(end_seconds * 1_000_000)
        self._applies = applies_unverified or states is None
        self._resume_at = self._patient_until = self._end_at = 0.0
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def figures(self) -> Figures:
        """Return how many updates were decided without an answer, by their outcome."""
        return {word: self._counts[word] for word in (UNDECIDED, UNVERIFIED)}

    def settle_updates(self) -> int:
        """Ask the platform about the conversation of the newest update that is due; return 1 if it answered.

        The answer decides on all waiting updates of the conversation. No lock is held meanwhile. While the
        request budget is used up, nothing is touched.

        Raises:
            RetryLaterError: The database is away.
        """
        if self._states is None or self._clock.monotonic() < self._resume_at:
            return 0
        conversation_id = transact(self._engine, self._lease)
        if conversation_id is None:
            return 0
        try:
            return self._verify(self._states, conversation_id)
        except RetryLaterError:
            raise
        except Exception as error:  # noqa: BLE001  # one conversation's fault, whatever it is: the others go on
            set_aside(self._engine, self._clock, conversation_id, error)
            return 0

    def end_updates(self) -> int:
        """End updates that no answer has decided in time; return how many conversations they were of.

        Raises:
            RetryLaterError: The database is away.
        """
        if self._clock.monotonic() < self._end_at:
            return 0
        now_us = self._clock.now_us()
        since_us = now_us - self._end_us
        ids = transact(
            self._engine,
            lambda connection: updates.overdue(connection, now_us, since_us, CONVERSATIONS_AT_ONCE),
        )
        isolate(ids, self._end, partial(set_aside, self._engine, self._clock))
        if len(ids) < CONVERSATIONS_AT_ONCE:
            self._end_at = self._clock.monotonic() + ENDING_SECONDS
        return len(ids)

    def _lease(self, connection: Connection) -> str | None:
        """Take the conversation of the newest update that is due, unless another process has it."""
        now_us = self._clock.now_us()
        is_patient = self._clock.monotonic() < self._patient_until
        min_age_us = round(SURE_AFTER_SECONDS * 1_000_000) if is_patient else 0
        found = updates.newest_due(connection, now_us, min_age_us)
        until_us = now_us + round(LEASE_SECONDS * 1_000_000)
        if found is None or not conversations.try_to_lock(connection, found):
            return None
        return found if updates.lease(connection, found, now_us, until_us) else None

    def _verify(self, states: ConversationStates, conversation_id: str) -> int:
        """Ask the platform, and settle what its answer decides; return 1 if it answered."""
        waiting = transact(self._engine, lambda connection: updates.unanswered(connection, conversation_id))
        asked_us = self._clock.now_us()
        try:
            # A remembered answer may confirm updates; only a new one contradicts them.
            platform = states.find(
                conversation_id,
                lambda state: all(judge(update, state, 0.0) == CONFIRMED for update in waiting),
            )
        except (RetryLaterError, PlatformRefusedError) as error:
            self._wait(waiting, asked_us, error)
            return 0
        decisions = transact(
            self._engine,
            lambda connection: self._settle(connection, conversation_id, platform, asked_us),
        )
        self._count(decisions)
        return 1

    def _wait(
        self, waiting: Sequence[Pending], asked_us: int, error: RetryLaterError | PlatformRefusedError
    ) -> None:
        """Ask about a conversation again later; while nothing at all can be asked, have the lane sleep."""
        now, pause = self._clock.monotonic(), 0.0
        if isinstance(error, PlatformBusyError):
            self._resume_at, self._patient_until = now + error.delay, now + PATIENT_SECONDS
        elif isinstance(error, RetryLaterError):
            newest_us = max((update.since_us for update in waiting), default=asked_us)
            pause = seconds_until_next_ask((asked_us - newest_us) / 1_000_000, error.delay)
        elif error.is_of_credentials:
            self._resume_at = now + CREDENTIALS_SECONDS
        else:
            pause = REFUSED_SECONDS
        if not isinstance(error, PlatformBusyError):
            log.warning("routing_updates_wait", reason=str(error), updates=len(waiting))
        transact(self._engine, lambda connection: self._put_off(connection, waiting, pause))

    def _put_off(self, connection: Connection, waiting: Iterable[Pending], pause: float) -> None:
        """Ask about updates again after a pause, or look at them when they end."""
        next_us = self._clock.now_us() + round(pause * 1_000_000)
        for update in waiting:
            at_us = min(next_us, update.since_us + self._end_us)
            updates.ask_again(connection, update, at_us)

    def _settle(
        self,
        connection: Connection,
        conversation_id: str,
        platform: PlatformState | None,
        asked_us: int,
    ) -> list[Decision]:
        """Settle what an answer decides, under the conversation's lock; return the decisions."""
        row = next(iter(conversations.lock(connection, [conversation_id])), None)
        waiting = updates.unanswered(connection, conversation_id)
        if row is None:
            self._put_off(connection, waiting, 0.0)
            return []
        confirmed, decisions = [], []
        for pending in waiting:
            age = (asked_us - pending.since_us) / 1_000_000
            verdict = judge(pending, platform, age)
            update = replace(pending, platform_status=state_name(pending, platform))
            if verdict == CONFIRMED:
                if pending.platform_status is not None:
                    # Contradicted at first: the API is behind its own notifications.
                    self._patient_until = self._clock.monotonic() + PATIENT_SECONDS
                confirmed.append(replace(update, verified=update.routing_status in AGREES or None))
            elif verdict == CONTRADICTED:
                decisions.append(_without_effect(update, SUPERSEDED))
            elif verdict == TOO_LATE and not self._applies:
                decisions.append(_without_effect(update, UNDECIDED))
            elif age >= 0:
                # One that came while the platform was asked is due already.
                self._put_off(connection, [update], seconds_until_next_ask(age))
        return conversations.apply(connection, row, confirmed, decisions, self._clock.now_us())

    def _end(self, ids: Sequence[str]) -> None:
        self._count(transact(self._engine, lambda connection: self._end_some(connection, ids)))

    def _end_some(self, connection: Connection, ids: Sequence[str]) -> list[Decision]:
        """End the overdue updates of conversations; return the decisions."""
        now_us = self._clock.now_us()
        verified = None if self._states is None else False
        decisions = []
        for row in conversations.lock(connection, ids):
            waiting = updates.unanswered(connection, row.conversation_id)
            overdue = [update for update in waiting if update.since_us <= now_us - self._end_us]
            applied = [replace(update, verified=verified) for update in overdue if self._applies]
            given_up = [_without_effect(update, UNDECIDED) for update in overdue if not self._applies]
            decisions += conversations.apply(connection, row, applied, given_up, now_us)
        return decisions

    def _count(self, decisions: Iterable[Decision]) -> None:
        """Count and log decisions, those that a window is to make left out."""
        for decision in decisions:
            log.info("routing_update_settled", event_id=decision.event_id, decision=decision.word)
            is_unverified = decision.word not in {SUPERSEDED, UNDECIDED} and decision.verified is False
            with self._lock:
                self._counts[UNVERIFIED if is_unverified else decision.word] += 1


def _without_effect(update: Pending, word: str) -> Decision:
    verified = False if word == SUPERSEDED else None
    return Decision(update.moment.event_id, word, update.platform_status, verified)
