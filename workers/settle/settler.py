"""Settle the conversations whose window has closed."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from typing import Final

from sqlalchemy import Connection, Engine

from messaging.clock import Clock
from messaging.errors import RejectedEventError
from messaging.log import logger
from workers.db.engine import MISSING_PERMISSION, sqlstate, transact
from workers.db.ingest import WindowBounds
from workers.isolation import isolate
from workers.settle import conversations, updates
from workers.settle.plan import SettledWindow, count_fitting, settle_window

MAX_CONVERSATIONS: Final = 100
"""Maximum number of conversations in one transaction, whose locks delay intake by a few milliseconds."""

MAX_EVENTS: Final = 10_000
"""Maximum number of events in one transaction, unless a single conversation has more. Without this limit, a
backlog could fill the memory, or its statements could exceed their time limit."""

ASIDE_SECONDS: Final = 300.0
"""Delay before settle retries a conversation that could not be settled."""


@dataclass(frozen=True, slots=True)
class Settler:
    """Settles conversations in batches; if *verifies* is true, updates wait for the platform's answer."""

    engine: Engine
    clock: Clock
    _: KW_ONLY
    verifies: bool
    window: WindowBounds = field(default_factory=WindowBounds)

    def settle_windows(self) -> int:
        """Settle at most MAX_CONVERSATIONS closed windows; return how many were settled."""
        try:
            return self._settle_some(None)
        except Exception:  # noqa: BLE001  # an error in one conversation must not stop the others
            # If the database is away, the next statement raises RetryLaterError.
            ids = transact(self.engine, self._lock_closed)
            return isolate(ids, self._settle_some, partial(set_aside, self.engine, self.clock))

    def _settle_some(self, ids: Sequence[str] | None) -> int:
        settlements = transact(self.engine, self._settle, ids)
        if settlements:
            late = [entry.late for settlement in settlements for entry in settlement.entries]
            counts = {"conversations": len(settlements), "entries": len(late), "late": sum(late)}
            logger().info("windows_settled", **counts)
        return len(settlements)

    def _lock_closed(self, connection: Connection, among: Sequence[str] | None = None) -> list[str]:
        now_us = self.clock.now_us()
        before_us = now_us - self.window.quiet_us
        return conversations.lock_closed(connection, now_us, before_us, MAX_CONVERSATIONS, among)

    def _settle(self, connection: Connection, among: Sequence[str] | None) -> list[SettledWindow]:
        """Settle conversations whose window has closed; if *among* is not None, only conversations in it."""
        locked = conversations.lock(connection, self._lock_closed(connection, among))
        rows = locked[: count_fitting([row.event_count - row.settled_count for row in locked], MAX_EVENTS)]
        if not rows:
            return []
        ids = [row.conversation_id for row in rows]
        waiting = conversations.read_messages(connection, ids)
        # If the platform is queried, read only updates about which it has answered; messages need no answer.
        answered = updates.read_waiting(connection, ids, is_answered=True if self.verifies else None)
        for conversation_id, pending in answered.items():
            waiting.setdefault(conversation_id, []).extend(pending)
        settlements = {
            row.conversation_id: (
                int(row.event_count),
                settle_window(conversations.read_state(row), waiting.get(row.conversation_id, ())),
            )
            for row in rows
        }
        conversations.write(connection, settlements, self.clock.now_us())
        return [settlement for _, settlement in settlements.values()]


def set_aside(engine: Engine, clock: Clock, conversation_id: str, error: Exception) -> None:
    """Record that a conversation cannot be settled now, so that it is retried later without delaying others.

    If a permission is missing, re-raises the error: no conversation is at fault, so all of them must wait.
    """
    if sqlstate(error.__cause__) == MISSING_PERMISSION:
        raise error
    code = error.code if isinstance(error, RejectedEventError) else "unreadable_row"
    until_us = clock.now_us() + round(ASIDE_SECONDS * 1_000_000)
    transact(engine, conversations.set_aside, conversation_id, code, until_us)
    logger().error(
        "conversation_set_aside",
        conversation_id=conversation_id,
        reason=code,
        error=type(error).__name__,
        retry_in_s=ASIDE_SECONDS,
    )
