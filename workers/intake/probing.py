"""Hold events while the brake is on; try one now and then, without any effect, to see whether it works."""

from __future__ import annotations

from typing import TYPE_CHECKING

from messaging.errors import RetryLaterError
from workers.intake.brake import PROBE_SECONDS
from workers.intake.report import log_brake_released
from workers.tables import forget_brake, note_brake, transact

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection, Engine

    from messaging.clock import Clock
    from messaging.consuming import Delivery
    from workers.intake.brake import Brake
    from workers.intake.dispatch import Dispatched


class Holding:
    """Says of each batch that comes while the brake is on whether it is held.

    Args:
        engine: The database, where it is put on record.
        clock: Our time.
        brake: What is on.
        worker: What the record calls this one.
    """

    def __init__(self, engine: Engine, clock: Clock, brake: Brake, worker: str) -> None:
        self._engine = engine
        self._clock = clock
        self._brake = brake
        self._worker = worker
        self._probes = 0

    def hold_or_release(
        self, deliveries: Sequence[Delivery], would_work: Callable[[Delivery], bool | None]
    ) -> None:
        """Release the brake if an event could be processed now, or where a person has said so.

        Returns with the brake on only where every one of the deliveries was tried and tells nothing. What is
        left to do is harmless then, and would hold up all behind it for ever: events that are known already,
        and poison, which is given up unopened.

        Args:
            deliveries: All that are neither dead nor given up already, and none is settled here; another one
                is tried first each time. What came back is among them: a worker may have nothing else.
            would_work: Tries one; None where that tells nothing, and the next has its turn.

        Raises:
            RetryLaterError: Hold them all, call again; or the database is away.
        """
        self._probes += 1
        first = self._probes % max(len(deliveries), 1)
        found = (would_work(each) for each in (*deliveries[first:], *deliveries[:first]))
        works = next((each for each in found if each is not None), None)
        if works is False:
            self._hold()
        elif works:
            self._release("an event can be processed again")

    def _hold(self) -> None:
        now_us = self._clock.now_us()
        until_us = transact(self._engine, lambda connection: self._note(connection, now_us))
        if until_us is not None and until_us > now_us:
            self._release("a person says so", until_us)
            return
        raise RetryLaterError(f"brake: {self._brake.died} of {self._brake.judged} events died", PROBE_SECONDS)

    def _note(self, connection: Connection, now_us: int) -> int | None:
        return note_brake(
            connection,
            self._worker,
            braked_us=self._brake.braked_us or now_us,
            judged=self._brake.judged,
            died=self._brake.died,
            now_us=now_us,
        )

    def _release(self, reason: str, until_us: int = 0) -> None:
        transact(self._engine, lambda connection: forget_brake(connection, self._worker))
        self._brake.release(until_us)
        log_brake_released(reason)


class _UndoneError(Exception):
    """Undo the transaction: it has told what it was to tell."""


def would_take_effect(engine: Engine, work: Callable[[Connection], Dispatched]) -> bool | None:
    """Do *work* for one event and undo it.

    Returns:
        Whether it would take effect; None where it did before, which tells nothing.

    Raises:
        RetryLaterError: The database is away.
    """
    dispatched: list[Dispatched] = []

    def work_and_undo(connection: Connection) -> None:
        dispatched.append(work(connection))
        raise _UndoneError

    try:
        transact(engine, work_and_undo)
    except _UndoneError:
        return True if dispatched[-1].new else None
    except RetryLaterError:
        raise
    except Exception:  # noqa: BLE001  # a handler may raise anything
        return False
    return None
