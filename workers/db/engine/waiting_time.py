"""Use the time in which a statement is on its way to PostgreSQL and back.

The one thread that processes batches has nothing else to do then, and a second one would fight it for the
interpreter at each statement (docs/decisions/0181-the-next-batch-is-read-meanwhile.md).
"""

from __future__ import annotations

import select
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.waiting import WAIT_R
from sqlalchemy import event

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from sqlalchemy import Engine


class WorkingConnection(psycopg.Connection[Any]):
    """A connection that works while it waits.

    `wait` is where psycopg 3 spends every wait for the server; it takes a generator that sends first and
    then says what it waits for.
    """

    work: Callable[[], bool] | None = None
    """Does a little, some microseconds long, and returns whether there is more."""

    def wait(self, gen: Any, *arguments: Any, **options: Any) -> Any:
        """Wait as ever, and work until the answer is there."""
        if self.work is None:
            return super().wait(gen, *arguments, **options)
        return super().wait(_working(gen, self.fileno(), self.work), *arguments, **options)


def work_while_waiting(engine: Engine, work: Callable[[], bool]) -> None:
    """Have the connections that an engine makes from now on do *work* while they wait.

    Args:
        engine: Of either database; SQLite does its work in our own thread and is not waited for.
        work: Raises nothing. Returns whether there is more to do.
    """
    if engine.dialect.name != "postgresql":
        return

    def connect(_dialect: Any, _record: Any, arguments: Any, options: Any) -> WorkingConnection:
        connection = WorkingConnection.connect(*arguments, **options)
        connection.work = work
        return connection

    event.listen(engine, "do_connect", connect)


def _working(gen: Any, fileno: int, work: Callable[[], bool]) -> Generator[Any, Any, Any]:
    """Go through a generator of psycopg's; whenever it waits for an answer alone, the request has left.

    The first statement of a transaction waits twice: BEGIN goes before it.
    """
    answer = select.poll()
    answer.register(fileno, select.POLLIN)
    try:
        state = next(gen)
        while True:
            if state == WAIT_R:
                while not answer.poll(0) and work():
                    pass
            state = gen.send((yield state))
    except StopIteration as done:
        return done.value
