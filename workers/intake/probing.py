"""Try an event without any effect, to see whether it could be processed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from messaging.errors import RetryLaterError
from workers.tables import transact

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection, Engine

    from workers.intake.dispatch import Dispatched


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
