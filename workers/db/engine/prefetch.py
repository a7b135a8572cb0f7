"""Do useful work while PostgreSQL runs a statement, and limit the wait for its answer.

The thread that processes batches would be idle while it waits for an answer. A second thread would not help,
because it would compete for the interpreter at each statement
(docs/decisions/0181-the-next-batch-is-read-meanwhile.md).
"""

import select
from collections.abc import Callable, Generator
from typing import Any, Final

import psycopg
from psycopg.errors import _WaitTimeout
from psycopg.waiting import WAIT_R
from sqlalchemy import Engine, event

ANSWER_SECONDS: Final = 40.0
"""Longer than every time limit of the server. A frozen server enforces none of them, and its operating system
keeps the connection alive. Another host of the URL may answer meanwhile."""


class PrefetchingConnection(psycopg.Connection[Any]):
    """A connection that works while it waits for an answer.

    psycopg 3 waits for the server only in `wait`. Its argument is a generator that sends the request and
    yields what it waits for.
    """

    prefetch: Callable[[], bool] | None = None
    """Does a little work, some microseconds long, and returns whether there is more."""

    def wait(self, gen: Any, *arguments: Any, **options: Any) -> Any:
        """Wait for the answer, and work until it arrives; raise OperationalError if it does not arrive."""
        if self.prefetch is not None:
            gen = _prefetch_meanwhile(gen, self.fileno(), self.prefetch)
        try:
            return super().wait(gen, *arguments, **{"timeout": ANSWER_SECONDS, **options})
        except _WaitTimeout:
            self.pgconn.finish()
            raise


def prefetch_while_waiting(engine: Engine, prefetch: Callable[[], bool]) -> None:
    """Call *prefetch*, which must not raise, while a connection of the engine waits; not on SQLite."""
    if engine.dialect.name != "postgresql":
        return

    def on_checkout(connection: PrefetchingConnection, _record: Any, _proxy: Any) -> None:
        connection.prefetch = prefetch

    # Not at "connect": the clock has already opened the pool's first connection.
    event.listen(engine, "checkout", on_checkout)


def _prefetch_meanwhile(gen: Any, fileno: int, prefetch: Callable[[], bool]) -> Generator[Any, Any, Any]:
    """Run a generator of psycopg, and prefetch while it waits only to read: the request has been sent then.

    The first statement of a transaction waits twice, because BEGIN is sent before it.
    """
    answer = select.poll()
    answer.register(fileno, select.POLLIN)
    try:
        state = next(gen)
        while True:
            if state == WAIT_R:
                while not answer.poll(0) and prefetch():
                    pass
            state = gen.send((yield state))
    except StopIteration as done:
        return done.value
