"""Settle what is due: closed windows by themselves, routing updates with the platform's word."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from messaging.errors import RetryLaterError
from messaging.log import logger
from workers.genesys import PlatformRefusedError
from workers.settle import conversations, updates
from workers.settle.agreement import judged
from workers.settle.pauses import pause_refused, pause_unanswered
from workers.settle.plan import SUPERSEDED, Moment, Pending, Settlement, fitting, settle_window
from workers.tables import put_in_outbox, transact

if TYPE_CHECKING:
    from typing import Any

    from sqlalchemy import Connection, Engine, Row

    from messaging.clock import Clock
    from workers.genesys import ConversationStates, PlatformState
    from workers.tables import WindowBounds

CONVERSATIONS_AT_ONCE: Final = 100
"""One transaction's: its locks hold up the intake of these conversations for some milliseconds."""

EVENTS_AT_ONCE: Final = 10_000
"""One transaction's, but for one conversation that has more: what piled up while no settler ran shall neither
fill the memory nor outlast a statement's time."""

LEASE_SECONDS: Final = 30.0
"""How long an update is left to the process that asks the platform about it: above any request's time."""

LOOK_SECONDS: Final = 60.0
"""Between two looks for updates that wait though nobody is asked any more: that happens once, if ever."""

log = logger()


class Settler:
    """Settles conversations, batch by batch.

    Args:
        engine: The database.
        clock: Our time.
        window: How long a window is open; bounds which of them are looked at.
        states: The platform's word on conversations; None applies updates as they are notified.
    """

    def __init__(
        self, engine: Engine, clock: Clock, *, window: WindowBounds, states: ConversationStates | None
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._window = window
        self._states = states
        self._look_again_at = 0.0

    def settle_windows(self) -> int:
        """Settle up to a batch of closed windows; return how many conversations it were.

        Raises:
            RetryLaterError: The database is away; nothing is half-settled.
        """
        started = self._clock.monotonic()
        settlements = transact(self._engine, self._settle_closed)
        if settlements:
            entries = [entry for each in settlements for entry in each.entries]
            log.info(
                "windows_settled",
                conversations=len(settlements),
                entries=len(entries),
                late=sum(entry.late for entry in entries),
                superseded=sum(each.word == SUPERSEDED for one in settlements for each in one.decisions),
                duration_s=round(self._clock.monotonic() - started, 4),
            )
        return len(settlements)

    def settle_updates(self) -> int:
        """Ask the platform about one update that is due; return how many it were.

        Its conversation's window settles it in its place, or where that has closed, it is settled by itself.
        No lock is held while the platform is asked. What it does not answer is tried again later. Where the
        platform is not asked any more, a window applies what waits as it was notified.

        Raises:
            RetryLaterError: The database is away.
        """
        if self._states is None:
            return self._open_windows_left()
        due = transact(
            self._engine,
            lambda connection: updates.lease(connection, self._clock.now_us(), LEASE_SECONDS),
        )
        if due is None:
            return 0
        event_id, conversation_id, attempts = due.event_id, due.conversation_id, due.attempts + 1
        try:
            platform = self._states.of(
                conversation_id,
                event_id=event_id,
                newest=due.newest,
                fits=lambda said: judged(_notified(due), said).verified is not False,
            )
        except RetryLaterError as error:
            self._put_off(due, str(error), pause_unanswered(attempts, error.delay))
            return 0
        except PlatformRefusedError as error:
            # Until a person mends our rights or credentials nothing is guessed.
            pause = pause_refused(attempts, is_of_credentials=error.is_of_credentials)
            self._put_off(due, str(error), pause)
            return 0
        settlement = transact(
            self._engine,
            lambda connection: self._settle_one(connection, conversation_id, event_id, attempts, platform),
        )
        if settlement is not None:
            for decision in settlement.decisions:
                log.info("routing_update_settled", event_id=event_id, decision=decision.word)
        return 1

    def _open_windows_left(self) -> int:
        """Have the windows settle, now and then, what has waited since the platform was asked."""
        if self._clock.monotonic() < self._look_again_at:
            return 0
        now_us = self._clock.now_us()
        opened = transact(
            self._engine,
            lambda connection: conversations.open_windows_left(
                connection, now_us, limit=CONVERSATIONS_AT_ONCE
            ),
        )
        if not opened:
            self._look_again_at = self._clock.monotonic() + LOOK_SECONDS
        return opened

    def _settle_closed(self, connection: Connection) -> list[Settlement]:
        now_us = self._clock.now_us()
        closed = conversations.lock_closed(
            connection, now_us, opened_before_us=now_us - self._window.quiet_us, limit=CONVERSATIONS_AT_ONCE
        )
        rows = closed[: fitting([row.event_count - row.settled_count for row in closed], EVENTS_AT_ONCE)]
        if not rows:
            return []
        ids = [row.conversation_id for row in rows]
        waiting = conversations.waiting_messages(connection, ids)
        # Whoever is asked may be away; what it has not answered yet holds up no message.
        asked = updates.waiting(connection, ids, answered=self._states is not None)
        for conversation_id, of_conversation in asked.items():
            waiting.setdefault(conversation_id, []).extend(of_conversation)
        settlements = {
            row.conversation_id: (
                int(row.event_count),
                settle_window(conversations.state_of(row), waiting.get(row.conversation_id, ())),
            )
            for row in rows
        }
        self._commit(connection, settlements, now_us)
        conversations.close_windows(connection, ids)
        return [settlement for _, settlement in settlements.values()]

    def _put_off(self, due: Row[Any], reason: str, pause: float) -> None:
        at_us = self._clock.now_us() + round(pause * 1_000_000)
        transact(
            self._engine,
            lambda connection: updates.reschedule(connection, due.event_id, due.attempts + 1, at_us),
        )
        log.warning("routing_update_waits", event_id=due.event_id, reason=reason, retry_in_s=round(pause, 1))

    def _settle_one(
        self,
        connection: Connection,
        conversation_id: str,
        event_id: int,
        attempts: int,
        platform: PlatformState | None,
    ) -> Settlement | None:
        """Settle one update under its conversation's lock, or leave it to the window that is open.

        None where the window, or another process, settles it.
        """
        row = conversations.lock_one(connection, conversation_id)
        if row is None:
            updates.reschedule(connection, event_id, attempts, self._clock.now_us())
            return None
        waiting = updates.waiting(connection, [conversation_id], answered=False).get(conversation_id, [])
        pending = next((each for each in waiting if each.moment.event_id == event_id), None)
        if pending is None:
            return None
        update_ = judged(pending, platform)
        if row.window_opened_at is not None:
            updates.note_answer(connection, update_)
            return None
        settlement = settle_window(conversations.state_of(row), [update_])
        self._commit(
            connection, {conversation_id: (int(row.settled_count), settlement)}, self._clock.now_us()
        )
        return settlement

    def _commit(
        self, connection: Connection, settlements: dict[str, tuple[int, Settlement]], now_us: int
    ) -> None:
        put_in_outbox(
            connection,
            [
                (
                    conversation_id,
                    each.event_id,
                    each.event_type,
                    each.occurred_at_us,
                    each.late,
                    each.verified,
                    now_us,
                )
                for conversation_id, (_, settlement) in sorted(settlements.items())
                for each in settlement.entries
            ],
        )
        conversations.write(connection, settlements, now_us)


def _notified(due: Row[Any]) -> Pending:
    """Return what an update says, for a comparison alone: its place in its window is not read."""
    return Pending(Moment(0), due.routing_status, due.routing_queue)
